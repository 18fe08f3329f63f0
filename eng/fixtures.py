#!/usr/bin/env python3
"""Cuts Patching.Tests/Fixtures/model out of the shared reference values: python3 eng/fixtures.py ../shared/golden

The tiny model's image tower in Hugging Face layout (F16, which holds its values exactly), the images of all training steps as bytes, activations of the
first two images, a few whole gradients and the norm of every one. Less than 2 MB; nothing of the vocabulary or the text tower.
"""
import json
import os
import struct
import sys

IMAGES = 2
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
ACTIVATIONS = ("visual.conv1_NPD", "visual.embed_plus_pos_NLD", "visual.ln_pre_NLD", "visual.block0.c_fc_NLD", "visual.block0_NLD", "visual.block1_NLD",
               "visual.block2_NLD", "visual.ln_post_ND", "image_features")
LARGE_GRADIENTS = ("grad0.visual.proj", "grad0.visual.conv1.weight", "grad0.visual.positional_embedding",
                   "grad0.visual.transformer.resblocks.1.attn.out_proj.weight")
LARGEST_SMALL_GRADIENT = 4096


def read(path):
    """Tensors of a safetensors file as name -> (type, shape, bytes)."""
    with open(path, "rb") as file:
        data = file.read()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    header.pop("__metadata__", None)
    body = 8 + length
    return {name: (t["dtype"], t["shape"], data[body + t["data_offsets"][0]:body + t["data_offsets"][1]]) for name, t in header.items()}


def write(path, tensors):
    header, offset = {}, 0
    for name, (dtype, shape, data) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(data)]}
        offset += len(data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + b"".join(data for _, _, data in tensors.values()))


def floats(data):
    return struct.unpack(f"<{len(data) // 4}f", data)


def half(tensor):
    dtype, shape, data = tensor
    values = floats(data)
    packed = struct.pack(f"<{len(values)}e", *values)
    assert dtype == "F32" and struct.unpack(f"<{len(values)}e", packed) == values, "not exact in F16"
    return "F16", shape, packed


def first_images(tensor):
    dtype, shape, data = tensor
    return dtype, [IMAGES] + shape[1:], data[:len(data) // shape[0] * IMAGES]


def pixels(tensor):
    """Normalised planes [steps, n, 3, S, S] back to the bytes [steps, n, S, S, 3] they came from."""
    _, (steps, n, channels, side, _), data = tensor
    values, plane = floats(data), side * side
    result = bytearray(len(values))
    for image in range(steps * n):
        for c in range(channels):
            for p in range(plane):
                value = (values[(image * channels + c) * plane + p] * STD[c] + MEAN[c]) * 255
                assert abs(value - round(value)) < 1e-3
                result[(image * plane + p) * channels + c] = round(value)
    return "U8", [steps, n, side, side, channels], bytes(result)


def rounded(value):
    return float(f"{value:.9g}") if isinstance(value, float) else value


def main(golden):
    source = os.path.join(golden, "tiny")
    target = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Patching.Tests", "Fixtures", "model")
    vision = {name: half(t) for name, t in read(os.path.join(source, "hf", "model.safetensors")).items()
              if (name.startswith("vision_model.") or name == "visual_projection.weight") and t[0] == "F32"}
    write(os.path.join(target, "hf", "model.safetensors"), vision)
    with open(os.path.join(source, "hf", "config.json")) as file:
        both = json.load(file)
    config = dict(both["vision_config"], architectures=["CLIPVisionModelWithProjection"], projection_dim=both["projection_dim"], torch_dtype="float16")
    with open(os.path.join(source, "hf", "preprocessor_config.json")) as file:
        preprocessing = json.load(file)
    with open(os.path.join(source, "golden.json")) as file:
        reference = json.load(file)
    numbers = {key: reference[key] for key in ("hp", "loss_ce")}
    numbers["finetune_float64"] = {key: reference["finetune_float64"][key] for key in ("lr", "loss", "grad_norm_before_clip")}
    numbers["grad_norms_step0"] = {name: rounded(value) for name, value in reference["grad_norms_step0"].items()}
    numbers["grad_first4_step0"] = {name: [rounded(v) for v in values] for name, values in reference["grad_first4_step0"].items()}
    for name, content in (("hf/config.json", config), ("hf/preprocessor_config.json", preprocessing), ("golden.json", numbers)):
        with open(os.path.join(target, name), "w") as file:
            json.dump(content, file, indent=1)
            file.write("\n")

    inputs = read(os.path.join(source, "inputs.safetensors"))
    write(os.path.join(target, "inputs.safetensors"), {"labels": inputs["labels"], "pixels": pixels(inputs["images"])})
    forward = read(os.path.join(source, "forward.safetensors"))
    write(os.path.join(target, "forward.safetensors"), {**{name: first_images(forward[name]) for name in ACTIVATIONS}, "head_mnist": forward["head_mnist"]})
    train = read(os.path.join(source, "train.safetensors"))
    kept = {name: t for name, t in train.items()
            if name.startswith("logits_") or name in LARGE_GRADIENTS or (name.startswith("grad0.visual.") and len(t[2]) <= LARGEST_SMALL_GRADIENT)}
    write(os.path.join(target, "train.safetensors"), kept)


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "shared", "golden"))
