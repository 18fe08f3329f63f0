#!/usr/bin/env python3
"""Makes Fixtures/resnet: a tiny CLIP ResNet with features and gradients computed by PyTorch in double precision.

Needs PyTorch (Debian: python3-torch). From the repository's root:

    python3 Patching.Tests/Fixtures/generators/make_resnet.py Patching.Tests/Fixtures/resnet

model.safetensors      the weights in OpenAI's names, exact in F16, and the integer buffers
reference.safetensors  pixels U8 [n, S, S, 3]; MODE.features and MODE.grad.NAME of the loss 0.5 sum(features^2) for MODE frozen (running statistics) and batch
                       (statistics of the batch), and the running statistics after one pass with those of the batch

With a folder of reference values of the original's own code as second argument (golden/rn-visual) it checks this tower against them and writes nothing.
"""
import json
import math
import os
import struct
import sys

import torch
import torch.nn.functional as F

WIDTH, BLOCKS, SIZE, EMBEDDING, IMAGES = 2, (1, 2, 1, 1), 64, 5, 3
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
TYPES = {torch.float32: "F32", torch.float16: "F16", torch.int64: "I64", torch.uint8: "U8"}
FROM = {"F32": torch.float32, "F16": torch.float16, "I64": torch.int64}


def convolutions(width, blocks):
    """Every convolution with its normalisation: name, name of the norm, inputs, outputs, window."""
    half = width // 2
    yield "visual.conv1", "visual.bn1", 3, half, 3
    yield "visual.conv2", "visual.bn2", half, half, 3
    yield "visual.conv3", "visual.bn3", half, width, 3
    channels = width
    for stage, count in enumerate(blocks):
        planes = width << stage
        for block in range(count):
            name = f"visual.layer{stage + 1}.{block}"
            yield f"{name}.conv1", f"{name}.bn1", channels, planes, 1
            yield f"{name}.conv2", f"{name}.bn2", planes, planes, 3
            yield f"{name}.conv3", f"{name}.bn3", planes, 4 * planes, 1
            if block == 0:
                yield f"{name}.downsample.0", f"{name}.downsample.1", channels, 4 * planes, 1
            channels = 4 * planes


def weights(seed):
    """Random weights of about the size that training leaves, each exact in F16."""
    generator = torch.Generator().manual_seed(seed)

    def normal(shape, scale, offset=0.0):
        return (offset + scale * torch.randn(shape, generator=generator, dtype=torch.float64)).half()

    state = {}
    for name, norm, inputs, outputs, window in convolutions(WIDTH, BLOCKS):
        state[f"{name}.weight"] = normal((outputs, inputs, window, window), math.sqrt(2 / (inputs * window * window)))
        state[f"{norm}.weight"] = normal((outputs,), 0.2, 1)
        state[f"{norm}.bias"] = normal((outputs,), 0.2, 0.1)
        state[f"{norm}.running_mean"] = normal((outputs,), 0.3)
        state[f"{norm}.running_var"] = normal((outputs,), 0.2, 1).abs()
        state[f"{norm}.num_batches_tracked"] = torch.tensor(7)
    features, tokens = 32 * WIDTH, (SIZE // 32) ** 2 + 1
    state["visual.attnpool.positional_embedding"] = normal((tokens, features), 0.3)
    for part, outputs in ("q", features), ("k", features), ("v", features), ("c", EMBEDDING):
        state[f"visual.attnpool.{part}_proj.weight"] = normal((outputs, features), features ** -0.5)
        state[f"visual.attnpool.{part}_proj.bias"] = normal((outputs,), 0.1)
    return state


class Tower:
    """The tower as a function of its state."""

    def __init__(self, state, width, blocks, heads, batch_statistics):
        self.state, self.width, self.blocks, self.heads, self.batch = state, width, blocks, heads, batch_statistics

    def piece(self, x, name, norm, stride=1):
        s = self.state
        weight = s[f"{name}.weight"]
        x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
        return F.batch_norm(x, s[f"{norm}.running_mean"], s[f"{norm}.running_var"], s[f"{norm}.weight"], s[f"{norm}.bias"], self.batch, 0.1, 1e-5)

    def block(self, x, name, stride):
        y = F.relu(self.piece(x, f"{name}.conv1", f"{name}.bn1"))
        y = F.relu(self.piece(y, f"{name}.conv2", f"{name}.bn2"))
        if stride > 1:
            y = F.avg_pool2d(y, stride)
        y = self.piece(y, f"{name}.conv3", f"{name}.bn3")
        if f"{name}.downsample.0.weight" in self.state:
            x = self.piece(F.avg_pool2d(x, stride) if stride > 1 else x, f"{name}.downsample.0", f"{name}.downsample.1")
        return F.relu(y + x)

    def pool(self, x):
        s, prefix = self.state, "visual.attnpool."
        x = x.flatten(2).transpose(1, 2)
        x = torch.cat([x.mean(1, keepdim=True), x], 1) + s[prefix + "positional_embedding"]
        size = x.shape[-1] // self.heads

        def project(part, rows):
            y = F.linear(rows, s[f"{prefix}{part}_proj.weight"], s[f"{prefix}{part}_proj.bias"])
            return y.unflatten(-1, (self.heads, size)).transpose(1, 2)

        q, k, v = project("q", x[:, :1]), project("k", x), project("v", x)
        y = torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(size), -1) @ v
        y = y.transpose(1, 2).flatten(2)[:, 0]
        return F.linear(y, s[prefix + "c_proj.weight"], s[prefix + "c_proj.bias"])

    def __call__(self, x):
        for i in 1, 2, 3:
            x = F.relu(self.piece(x, f"visual.conv{i}", f"visual.bn{i}", 2 if i == 1 else 1))
        x = F.avg_pool2d(x, 2)
        for stage, count in enumerate(self.blocks):
            for block in range(count):
                x = self.block(x, f"visual.layer{stage + 1}.{block}", 2 if stage > 0 and block == 0 else 1)
        return self.pool(x)


def run(state, images, width, blocks, heads, batch):
    """Features, gradients and the state afterwards, in double precision."""
    state = {name: value.double() if value.is_floating_point() else value.clone() for name, value in state.items()}
    trained = [name for name, value in state.items() if value.is_floating_point() and "running" not in name]
    for name in trained:
        state[name].requires_grad_()
    features = Tower(state, width, blocks, heads, batch)(images.double())
    (0.5 * features.square().sum()).backward()
    return features.detach(), {name: state[name].grad for name in trained}, state


def read(path):
    with open(path, "rb") as file:
        data = file.read()
    length = struct.unpack("<Q", data[:8])[0]
    header, tensors = json.loads(data[8:8 + length]), {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        first, end = (8 + length + offset for offset in entry["data_offsets"])
        tensors[name] = torch.frombuffer(bytearray(data[first:end]), dtype=FROM[entry["dtype"]]).reshape(entry["shape"])
    return tensors


def write(path, tensors):
    header, parts, offset = {}, [], 0
    # The 8-byte integers first, so that every tensor is aligned.
    for name in sorted(tensors, key=lambda name: (tensors[name].dtype != torch.int64, name)):
        data = tensors[name].detach().contiguous().numpy().tobytes()
        header[name] = {"dtype": TYPES[tensors[name].dtype], "shape": list(tensors[name].shape), "data_offsets": [offset, offset + len(data)]}
        parts.append(data)
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(parts))


def check(folder):
    golden, state = read(os.path.join(folder, "golden.safetensors")), read(os.path.join(folder, "openai.safetensors"))
    with open(os.path.join(folder, "golden.json")) as file:
        config = json.load(file)
    shape = config["width"], config["layers"], config["heads"]
    frozen, _, _ = run(state, golden["images"], *shape, batch=False)
    batch, gradients, after = run(state, golden["images"], *shape, batch=True)
    pairs = [("eval_features", frozen), ("train_features", batch)]
    pairs += [(f"grad_half_sq_sum.{name}", value) for name, value in gradients.items()]
    pairs += [(f"after_train_forward.{name}", value) for name, value in after.items()]
    for name, value in pairs:
        if name in golden:
            print(f"{(value.detach() - golden[name].double()).norm() / golden[name].double().norm():.1e}  {name}")


def main(folder):
    os.makedirs(folder, exist_ok=True)
    state = weights(5)
    pixels = torch.randint(0, 256, (IMAGES, SIZE // 4, SIZE // 4, 3), generator=torch.Generator().manual_seed(6), dtype=torch.uint8)
    # Squares of four pixels, so that something is left after five halvings.
    pixels = pixels.repeat_interleave(4, 1).repeat_interleave(4, 2)
    images = (pixels.float() / 255 - torch.tensor(MEAN)) / torch.tensor(STD)
    images = images.permute(0, 3, 1, 2)
    reference = {"pixels": pixels}
    for mode in "frozen", "batch":
        features, gradients, after = run(state, images, WIDTH, BLOCKS, WIDTH * 32 // 64, mode == "batch")
        reference[f"{mode}.features"] = features.float()
        for name, value in gradients.items():
            reference[f"{mode}.grad.{name}"] = value.float()
        if mode == "batch":
            for name, value in after.items():
                if "running" in name:
                    reference[f"{mode}.{name}"] = value.float()
    write(os.path.join(folder, "model.safetensors"), state)
    write(os.path.join(folder, "reference.safetensors"), reference)


if __name__ == "__main__":
    if len(sys.argv) > 2:
        check(sys.argv[2])
    else:
        main(sys.argv[1])
