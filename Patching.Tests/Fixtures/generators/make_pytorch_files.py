#!/usr/bin/env python3
"""Makes Fixtures/pytorch: files written by PyTorch itself, in every container that it has had since 0.4.

Needs PyTorch (Debian: python3-torch). From the repository's root:

    python3 Patching.Tests/Fixtures/generators/make_pytorch_files.py Patching.Tests/Fixtures/pytorch

script.pt                 a TorchScript archive in the manner of OpenAI's downloads: the tests' tiny CLIP (TinyModel.cs), F16, with the three scalars
dtypes.pt, dtypes-old.pt  a state dict of F64, F32, F16, BF16 and integer tensors, as an archive and as a stream of before 1.6
views.pt, views-old.pt    tensors that share a storage, with offsets and strides
encoder.pt, encoder-old.pt, encoder.pkl   the original's ImageEncoder as a whole object: torch.save, torch.save as before 1.6, pickle.dump
head.pt                   the original's ClassificationHead as a whole object
"""
import os
import pickle
import sys
import types

import torch
from torch import nn

EMBEDDING, VISION, TEXT = 6, dict(width=64, layers=2, mlp=10), dict(width=128, layers=1, mlp=12)
CONTEXT, VOCABULARY, PATCH, TOKENS = 5, 11, 4, 5


class Node(nn.Module):
    """A module that only holds others."""

    def forward(self, x):
        return x


class QuickGELU(nn.Module):
    def forward(self, x):
        return x * torch.sigmoid(1.702 * x)


def fill(name, count):
    """TinyModel.Fill: different values for every name and position, exact in F16."""
    state, values = 17, []
    for letter in name:
        state = (state * 31 + ord(letter)) & 0xFFFFFFFF
    for _ in range(count):
        state = (state * 1664525 + 1013904223) & 0xFFFFFFFF
        values.append(((state >> 24) - 128) / 64)
    return torch.tensor(values)


def block(prefix, width, mlp):
    shapes = {"ln_1.weight": (width,), "ln_1.bias": (width,), "attn.in_proj_weight": (3 * width, width), "attn.in_proj_bias": (3 * width,),
              "attn.out_proj.weight": (width, width), "attn.out_proj.bias": (width,), "ln_2.weight": (width,), "ln_2.bias": (width,),
              "mlp.c_fc.weight": (mlp, width), "mlp.c_fc.bias": (mlp,), "mlp.c_proj.weight": (width, mlp), "mlp.c_proj.bias": (width,)}
    return {f"{prefix}.{name}": shape for name, shape in shapes.items()}


def clip_tensors():
    """Names and values of the tiny CLIP, the projections the other way round than the program keeps them."""
    width, text = VISION["width"], TEXT["width"]
    shapes = {"visual.conv1.weight": (width, 3, PATCH, PATCH), "visual.class_embedding": (width,), "visual.positional_embedding": (TOKENS, width)}
    for norm in "visual.ln_pre", "visual.ln_post":
        shapes.update({f"{norm}.weight": (width,), f"{norm}.bias": (width,)})
    for layer in range(VISION["layers"]):
        shapes.update(block(f"visual.transformer.resblocks.{layer}", width, VISION["mlp"]))
    shapes.update({"token_embedding.weight": (VOCABULARY, text), "positional_embedding": (CONTEXT, text), "ln_final.weight": (text,), "ln_final.bias": (text,)})
    for layer in range(TEXT["layers"]):
        shapes.update(block(f"transformer.resblocks.{layer}", text, TEXT["mlp"]))
    shapes.update({"visual.proj": (EMBEDDING, width), "text_projection": (EMBEDDING, text), "logit_scale": ()})
    tensors = {}
    for name, shape in shapes.items():
        count = 1
        for size in shape:
            count *= size
        value = fill(name, count).reshape(shape)
        tensors[name] = value.t().contiguous() if name in ("visual.proj", "text_projection") else value
    return tensors


def tree(tensors, integers):
    """Modules whose state_dict has these names."""
    root = Node()
    for name, value in list(tensors.items()) + list(integers.items()):
        node, parts = root, name.split(".")
        for part in parts[:-1]:
            if part not in node._modules:
                node.add_module(part, Node())
            node = node._modules[part]
        if name in integers:
            node.register_buffer(parts[-1], torch.tensor(value))
        else:
            node.register_parameter(parts[-1], nn.Parameter(value, requires_grad=False))
    root.visual.transformer.resblocks._modules["0"].mlp.add_module("gelu", QuickGELU())
    return root


def dtypes():
    values = torch.tensor([0.0, 1.0, -2.5, 0.15625])
    state = {name: values.to(kind) for name, kind in [("f64", torch.float64), ("f32", torch.float32), ("f16", torch.float16), ("bf16", torch.bfloat16)]}
    state["f64"][3] = 0.1
    state["i64"] = torch.tensor([1 << 40, -1])
    state["scalar"] = torch.tensor(4.5)
    state["empty"] = torch.zeros(0, 3)
    return state


def views():
    whole = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    return {"whole": whole, "transposed": whole[1].t(), "column": whole[0, :, 2:3], "every_other": whole.flatten()[1::2], "last": whole[1, 2, 3],
            "parameter": nn.Parameter(whole[0])}


def original():
    """Classes under the names that the original's pickles carry."""
    package, modeling = types.ModuleType("src"), types.ModuleType("src.modeling")
    sys.modules["src"], sys.modules["src.modeling"] = package, modeling

    class ImageEncoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = Node()
            self.model.visual = Node()
            self.model.visual.proj = nn.Parameter(torch.arange(6.0).reshape(2, 3))
            self.model.visual.gelu = QuickGELU()
            self.model.visual.norm = Node()
            self.model.visual.norm.register_buffer("running_mean", torch.tensor([3.0, 4.0]))
            self.model.visual.norm.register_buffer("num_batches_tracked", torch.tensor(7))
            self.cache_dir = None

    class ClassificationHead(nn.Linear):
        def __init__(self):
            super().__init__(2, 3)
            self.normalize = True
            self.weight = nn.Parameter(torch.arange(6.0).reshape(3, 2))
            self.bias = nn.Parameter(torch.zeros(3))

    for kind in ImageEncoder, ClassificationHead:
        kind.__module__, kind.__qualname__ = "src.modeling", kind.__name__
        setattr(modeling, kind.__name__, kind)
    clip = types.ModuleType("clip")
    clip.model = types.ModuleType("clip.model")
    sys.modules["clip"], sys.modules["clip.model"] = clip, clip.model
    for kind in Node, QuickGELU:
        kind.__module__, kind.__qualname__ = "clip.model", kind.__name__
        setattr(clip.model, kind.__name__, kind)
    return ImageEncoder(), ClassificationHead()


def main(folder):
    os.makedirs(folder, exist_ok=True)

    def path(name):
        return os.path.join(folder, name)

    integers = {"input_resolution": 8, "context_length": CONTEXT, "vocab_size": VOCABULARY}
    torch.jit.script(tree({name: value.half() for name, value in clip_tensors().items()}, integers)).save(path("script.pt"))
    for name, state in ("dtypes", dtypes()), ("views", views()):
        torch.save(state, path(f"{name}.pt"))
        torch.save(state, path(f"{name}-old.pt"), _use_new_zipfile_serialization=False)
    encoder, head = original()
    torch.save(encoder, path("encoder.pt"))
    torch.save(encoder, path("encoder-old.pt"), _use_new_zipfile_serialization=False)
    with open(path("encoder.pkl"), "wb") as file:
        pickle.dump(encoder, file)
    torch.save(head, path("head.pt"))


if __name__ == "__main__":
    main(sys.argv[1])
