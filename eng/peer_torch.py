#!/usr/bin/env python3
"""PyTorch doing the same work as patching on the same GPU: our own script, for `Patching.Benchmarks gpu` and for people.

    python3 eng/peer_torch.py [--only step,inference,gemm,attention,optimizer,interpolate,copy] [--models ViT-B/32,ViT-B/16,ViT-L/14]
                              [--modes eager,compiled] [--batch 128] [--classes 1000] [--rounds 7]      a JSON line per measurement
                              [--device cpu]
    python3 eng/peer_torch.py --serve [--device cpu]      reads a JSON job per line from standard input and answers each with a JSON line

A job is {"work": "step", "model": "ViT-B/32", "batch": 128, "classes": 1000, "mode": "eager"}; the first of its kind builds and warms it up, every one
measures once: {"ok": true, "seconds": 0.0123, ...}. {"work": "drop"} frees everything. {"work": "gradients", "folder": ...} compares gradients, see there.
A failure is {"ok": false, "error": "..."} and the next job goes on.

What is measured: bfloat16 autocast with fp32 master weights, scaled_dot_product_attention, fused AdamW, clip_grad_norm_, QuickGELU, uint8 images in pinned
memory normalised on the device, a frozen cosine head and cross-entropy; `compiled` is torch.compile of the tower with its default mode. `--device cpu` tries
everything out on the processor (and is how gradients are compared without a GPU); PyTorch before 2.0 lacks some of the work and says so.
"""

import argparse
import gc
import json
import math
import os
import statistics
import struct
import sys
import time

try:
    import torch
    import torch.nn.functional as F
    from torch import nn
except ImportError:  # the caller gets a line, not a stack trace
    torch = None

MODELS = {
    #            image, patch, width, layers, heads, embedding
    "tiny": (64, 32, 128, 2, 2, 64),
    "ViT-B/32": (224, 32, 768, 12, 12, 512),
    "ViT-B/16": (224, 16, 768, 12, 12, 512),
    "ViT-L/14": (224, 14, 1024, 24, 16, 768),
}
WORKS = ["copy", "gemm", "attention", "interpolate", "optimizer", "inference", "step"]
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
LEAST_SECONDS = 0.2
DEVICE = "cuda"  # or "cpu": see main

if torch is not None:

    class LayerNorm(nn.LayerNorm):
        """In the precision of its parameters, as autocast has it on a GPU; on the processor autocast leaves it to the caller."""

        def forward(self, x):
            return super().forward(x.to(self.weight.dtype))

    class Block(nn.Module):
        """Pre-norm transformer block with QuickGELU, as CLIP has it."""

        def __init__(self, width, heads, mlp):
            super().__init__()
            self.heads = heads
            self.ln_1, self.ln_2 = LayerNorm(width), LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.c_fc, self.c_proj = nn.Linear(width, mlp), nn.Linear(mlp, width)

        def forward(self, x):
            b, t, c = x.shape
            q, k, v = self.qkv(self.ln_1(x)).view(b, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4)
            y = attention(q, k, v)
            x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
            z = self.c_fc(self.ln_2(x))
            return x + self.c_proj(z * torch.sigmoid(1.702 * z))

    class Tower(nn.Module):
        """CLIP's image tower from normalised pixels to features."""

        def __init__(self, image, patch, width, layers, heads, embedding):
            super().__init__()
            self.conv1 = nn.Conv2d(3, width, patch, patch, bias=False)
            self.class_embedding = nn.Parameter(torch.randn(width) * width**-0.5)
            self.positional_embedding = nn.Parameter(torch.randn((image // patch) ** 2 + 1, width) * width**-0.5)
            self.ln_pre, self.ln_post = LayerNorm(width), LayerNorm(width)
            self.blocks = nn.ModuleList(Block(width, heads, 4 * width) for _ in range(layers))
            self.proj = nn.Linear(width, embedding, bias=False)

        def forward(self, pixels):
            x = self.conv1(pixels).flatten(2).transpose(1, 2)
            token = self.class_embedding.to(x.dtype).expand(x.shape[0], 1, -1)
            x = self.ln_pre(torch.cat([token, x], 1) + self.positional_embedding.to(x.dtype))
            for block in self.blocks:
                x = block(x)
            return self.proj(self.ln_post(x[:, 0]))


def attention(q, k, v):
    """Written out where PyTorch is older than its fused attention; then only what is computed is comparable, not how fast."""
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v)
    return torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1]), dim=-1) @ v


def synchronize():
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def pinned(tensor):
    return tensor.pin_memory() if DEVICE == "cuda" else tensor


def autocast(enabled=True):
    return torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=enabled)


def adamw(parameters):
    """Fused on a GPU; on the processor as it is."""
    options = {"fused": True} if DEVICE == "cuda" else {}
    return torch.optim.AdamW(parameters, lr=1e-6, weight_decay=0.1, **options)


def normalised(images, dtype):
    """uint8 [B, 3, S, S] on the device -> normalised planes."""
    mean = torch.tensor(MEAN, device=images.device, dtype=dtype).view(1, 3, 1, 1)
    std = torch.tensor(STD, device=images.device, dtype=dtype).view(1, 3, 1, 1)
    return (images.to(dtype) / 255 - mean) / std


def timed(run, repeat=None):
    """Seconds of one call: wall clock over enough calls, the device idle before and after."""
    if repeat is None:
        synchronize()
        start = time.perf_counter()
        run()
        synchronize()
        repeat = max(1, math.ceil(LEAST_SECONDS / max(time.perf_counter() - start, 1e-6)))
    synchronize()
    start = time.perf_counter()
    for _ in range(repeat):
        run()
    synchronize()
    return (time.perf_counter() - start) / repeat


def captured(run, calls):
    """The same calls as one CUDA graph, so that launching them costs neither engine anything; on the processor one after the other."""
    if DEVICE != "cuda":
        return lambda: [run() for _ in range(calls)]
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(calls):
            run()
    return lambda: graph.replay()


class Inference:
    """Pixels in pinned memory to features on the device."""

    def __init__(self, job):
        shape = MODELS[job["model"]]
        torch.manual_seed(1)
        self.tower = Tower(*shape).to(DEVICE)
        self.run_tower = self.compiled() if job["mode"] == "compiled" else self.tower
        self.host = pinned(torch.randint(0, 256, (job["batch"], 3, shape[0], shape[0]), dtype=torch.uint8))
        if DEVICE == "cuda":
            torch.cuda.reset_peak_memory_stats()
        for _ in range(4):
            self.run()

    def compiled(self):
        if not hasattr(torch, "compile"):
            raise RuntimeError(f"PyTorch {torch.__version__} has no torch.compile")
        return torch.compile(self.tower)

    def run(self):
        with torch.no_grad(), autocast():
            self.run_tower(normalised(self.host.to(DEVICE, non_blocking=True), torch.float32))

    def measure(self):
        seconds = timed(self.run)
        if DEVICE != "cuda":
            return {"seconds": seconds}
        return {"seconds": seconds, "peak_bytes": torch.cuda.max_memory_allocated(), "reserved_bytes": torch.cuda.max_memory_reserved()}


class Step(Inference):
    """A fine-tune step under a frozen head; the loss stays on the device, as ours does between reports."""

    def __init__(self, job):
        shape = MODELS[job["model"]]
        head = torch.randn(job["classes"], shape[5])
        self.head = (100 * F.normalize(head, dim=-1)).to(DEVICE)
        self.labels = pinned(torch.arange(job["batch"]) * 7919 % job["classes"])
        self.optimizer = None
        super().__init__(job)

    def run(self):
        if self.optimizer is None:
            self.optimizer = adamw(self.tower.parameters())
        images, labels = self.host.to(DEVICE, non_blocking=True), self.labels.to(DEVICE, non_blocking=True)
        self.optimizer.zero_grad(set_to_none=True)
        with autocast():
            loss = F.cross_entropy(F.normalize(self.run_tower(normalised(images, torch.float32)).float(), dim=-1) @ self.head.T, labels)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.tower.parameters(), 1.0)
        self.optimizer.step()


class Gemm:
    """cuBLAS through torch.matmul: {"rows", "inputs", "outputs", "form"} with the forms of our Gemm."""

    CALLS = 20

    def __init__(self, job):
        n, i, o = job["rows"], job["inputs"], job["outputs"]
        make = lambda rows, columns: torch.randn(rows, columns, device=DEVICE, dtype=torch.bfloat16)
        x, w, dy = make(n, i), make(o, i), make(n, o)
        y, dx, dw = make(n, o), make(n, i), make(o, i)
        forms = {
            "forward": lambda: torch.matmul(x, w.T, out=y),
            "backward input": lambda: torch.matmul(dy, w, out=dx),
            "backward weight": lambda: torch.matmul(dy.T, x, out=dw),
        }
        self.replay = captured(forms[job["form"]], self.CALLS)

    def measure(self):
        return {"seconds": timed(self.replay) / self.CALLS}


class Attention:
    """scaled_dot_product_attention as PyTorch chooses it (flash), forward alone or forward and backward."""

    CALLS = 10

    def __init__(self, job):
        b, t, h, d = job["batch"], job["tokens"], job["heads"], job["head_size"]
        qkv = torch.randn(b, t, 3, h, d, device=DEVICE, dtype=torch.bfloat16, requires_grad=job["backward"])
        dy = torch.randn(b, h, t, d, device=DEVICE, dtype=torch.bfloat16)

        def run():
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            y = attention(q, k, v)
            if job["backward"]:
                torch.autograd.grad(y, qkv, dy)

        self.replay = captured(run, self.CALLS)

    def measure(self):
        return {"seconds": timed(self.replay) / self.CALLS}


class Optimizer:
    """Clip to norm 1 and fused AdamW over the tower's parameters; `clip` says whether the norm is part of it."""

    def __init__(self, job):
        tower = Tower(*MODELS[job["model"]]).to(DEVICE)
        self.parameters = list(tower.parameters())
        for parameter in self.parameters:
            parameter.grad = torch.randn_like(parameter)
        self.optimizer = adamw(self.parameters)
        self.clip = job.get("clip", False)
        self.run()

    def run(self):
        if self.clip:
            torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()

    def measure(self):
        return {"seconds": timed(self.run), "parameters": sum(p.numel() for p in self.parameters)}


class Interpolate:
    """theta = (1 - alpha) theta0 + alpha theta1, with torch._foreach_lerp (before 2.1 tensor by tensor), and a bfloat16 copy."""

    def __init__(self, job):
        shapes = [p.shape for p in Tower(*MODELS[job["model"]]).parameters()]
        self.zero = [torch.randn(s, device=DEVICE) for s in shapes]
        self.one = [torch.randn(s, device=DEVICE) for s in shapes]
        self.rounded = [torch.empty(s, device=DEVICE, dtype=torch.bfloat16) for s in shapes]
        self.run()

    def run(self):
        if hasattr(torch, "_foreach_lerp") and hasattr(torch, "_foreach_copy_"):
            torch._foreach_copy_(self.rounded, torch._foreach_lerp(self.zero, self.one, 0.3))
            return
        for rounded, zero, one in zip(self.rounded, self.zero, self.one):
            rounded.copy_(torch.lerp(zero, one, 0.3))

    def measure(self):
        return {"seconds": timed(self.run), "parameters": sum(t.numel() for t in self.zero)}


class Copy:
    """Device to device; the bandwidth counts bytes read and bytes written."""

    BYTES = 1 << 30

    def __init__(self, job):
        self.source = torch.empty(self.BYTES, dtype=torch.uint8, device=DEVICE).random_()
        self.target = torch.empty_like(self.source)

    def measure(self):
        seconds = timed(lambda: self.target.copy_(self.source))
        return {"seconds": seconds, "bytes_per_second": 2 * self.BYTES / seconds}


def read_safetensors(path):
    """Tensors of a safetensors file on the device; the few types that our files have."""
    with open(path, "rb") as file:
        header = json.loads(file.read(struct.unpack("<Q", file.read(8))[0]))
        data = file.read()
    types = {"F32": torch.float32, "F64": torch.float64, "I32": torch.int32, "U8": torch.uint8}
    tensors = {}
    for name, entry in header.items():
        if name != "__metadata__":
            first, end = entry["data_offsets"]
            flat = torch.frombuffer(bytearray(data[first:end]), dtype=types[entry["dtype"]])
            tensors[name] = flat.reshape(entry["shape"]).to(DEVICE)
    return tensors


def names_of(tower):
    """Our canonical parameter names and the tower's parameters."""
    block = {
        "ln_1": "ln_1", "ln_2": "ln_2", "attn.in_proj_": "qkv", "attn.out_proj": "out", "mlp.c_fc": "c_fc", "mlp.c_proj": "c_proj",
    }
    named = dict(tower.named_parameters())
    pairs = {"visual.proj": named["proj.weight"]}
    for name in ["conv1.weight", "class_embedding", "positional_embedding", "ln_pre.weight", "ln_pre.bias", "ln_post.weight", "ln_post.bias"]:
        pairs[f"visual.{name}"] = named[name]
    for layer in range(len(tower.blocks)):
        for ours, theirs in block.items():
            for part in ("weight", "bias"):
                separator = "" if ours.endswith("_") else "."
                pairs[f"visual.transformer.resblocks.{layer}.{ours}{separator}{part}"] = named[f"blocks.{layer}.{theirs}.{part}"]
    return pairs


def gradients(job):
    """
    Relative errors ||g - g64|| / ||g64|| over all parameters against this script's own double-precision gradient, of PyTorch's bfloat16 autocast and of every
    file gradients-*.safetensors in job["folder"], which also holds inputs.safetensors: the weights by our names, `pixels` [B, S, S, 3], `labels`, `head`.
    """
    folder = job["folder"]
    inputs = read_safetensors(os.path.join(folder, "inputs.safetensors"))
    pixels, labels, head = inputs["pixels"].permute(0, 3, 1, 2), inputs["labels"].long(), inputs["head"]

    def gradient(dtype, mixed):
        tower = Tower(*MODELS[job["model"]]).to(DEVICE, dtype)
        pairs = names_of(tower)
        with torch.no_grad():
            for name, parameter in pairs.items():
                parameter.copy_(inputs[name].reshape(parameter.shape))
        with autocast(mixed):
            features = tower(normalised(pixels, dtype))
        features = features.to(dtype)
        loss = F.cross_entropy(F.normalize(features, dim=-1) @ head.to(dtype).T, labels)
        loss.backward()
        return {name: parameter.grad.double() for name, parameter in pairs.items()}, loss.item()

    exact, loss = gradient(torch.float64, False)
    results = {"torch bf16 autocast": gradient(torch.float32, True)[0]}
    for file in sorted(os.listdir(folder)):
        if file.startswith("gradients-") and file.endswith(".safetensors"):
            results[file[len("gradients-"):-len(".safetensors")]] = {n: t.double() for n, t in read_safetensors(os.path.join(folder, file)).items()}
    norm = math.sqrt(sum(g.square().sum().item() for g in exact.values()))
    distance = lambda g: math.sqrt(sum((g[n].reshape(e.shape) - e).square().sum().item() for n, e in exact.items()))
    return {"loss": loss, "errors": {name: distance(g) / norm for name, g in results.items()}}


KINDS = {"step": Step, "inference": Inference, "gemm": Gemm, "attention": Attention, "optimizer": Optimizer, "interpolate": Interpolate, "copy": Copy}


class Server:
    """Builds each kind of work once and measures it whenever asked."""

    def __init__(self):
        self.built = {}

    def answer(self, job):
        try:
            if torch is None:
                return {"ok": False, "error": "PyTorch is not installed for this python3"}
            if DEVICE == "cuda" and not torch.cuda.is_available():
                return {"ok": False, "error": f"PyTorch {torch.__version__} sees no CUDA device"}
            if job["work"] == "facts" and DEVICE != "cuda":
                return {"ok": True, "torch": torch.__version__, "cuda": torch.version.cuda or "none", "device": f"cpu, {torch.get_num_threads()} threads"}
            if job["work"] == "facts":
                free, total = torch.cuda.mem_get_info()
                return {"ok": True, "torch": torch.__version__, "cuda": torch.version.cuda, "device": torch.cuda.get_device_name(), "free": free, "total": total}
            if job["work"] == "drop":
                self.drop()
                return {"ok": True}
            if job["work"] == "gradients":
                return {"ok": True, **gradients(job)}
            key = json.dumps(job, sort_keys=True)
            if key not in self.built:
                self.built[key] = KINDS[job["work"]](job)
            return {"ok": True, **self.built[key].measure()}
        except Exception as error:  # noqa: BLE001, whatever it is, the other side reports it
            self.drop()
            return {"ok": False, "error": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"}

    def drop(self):
        self.built.clear()
        if torch is not None and torch.cuda.is_available():
            if hasattr(torch, "_dynamo"):
                torch._dynamo.reset()
            gc.collect()
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def serve():
    # Libraries print to standard output; the answers must stand alone there.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    server = Server()
    for line in sys.stdin:
        if line.strip():
            answers.write(json.dumps(server.answer(json.loads(line))) + "\n")


def layers(model):
    """The five kinds of matrix products of a tower: name, rows per image, inputs, outputs."""
    image, patch, width, _, _, _ = MODELS[model]
    patches = (image // patch) ** 2
    return [
        ("qkv", patches + 1, width, 3 * width), ("attention out", patches + 1, width, width), ("mlp up", patches + 1, width, 4 * width),
        ("mlp down", patches + 1, 4 * width, width), ("patch embedding", patches, 3 * patch * patch, width),
    ]


def jobs(arguments):
    """Every measurement of the command line."""
    only, models, modes = (getattr(arguments, name).split(",") for name in ("only", "models", "modes"))
    if "copy" in only:
        yield {"work": "copy"}
    for model in models:
        image, patch, width, _, heads, _ = MODELS[model]
        if "gemm" in only:
            for name, rows, inputs, outputs in layers(model):
                for form in ("forward", "backward input", "backward weight"):
                    yield {"work": "gemm", "name": f"{model} {name}", "rows": arguments.batch * rows, "inputs": inputs, "outputs": outputs, "form": form}
        if "attention" in only:
            for backward in (False, True):
                yield {
                    "work": "attention", "name": model, "batch": arguments.batch, "tokens": (image // patch) ** 2 + 1, "heads": heads,
                    "head_size": width // heads, "backward": backward,
                }
        for work in ("interpolate", "optimizer"):
            if work in only:
                yield {"work": work, "model": model}
        for work in ("inference", "step"):
            for mode in modes:
                if work in only:
                    yield {"work": work, "model": model, "batch": arguments.batch, "classes": arguments.classes, "mode": mode}


def main():
    global DEVICE
    parser = argparse.ArgumentParser(description="PyTorch on the work that patching is compared in.")
    parser.add_argument("--serve", action="store_true", help="answer jobs from standard input")
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="where to compute")
    parser.add_argument("--only", default=",".join(WORKS))
    parser.add_argument("--models", default="ViT-B/32,ViT-B/16,ViT-L/14")
    parser.add_argument("--modes", default="eager,compiled")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--classes", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    DEVICE = arguments.device
    if arguments.serve:
        serve()
        return 0
    server = Server()
    failed = False
    print(json.dumps(server.answer({"work": "facts"})), flush=True)
    for job in jobs(arguments):
        rounds = []
        for _ in range(arguments.rounds):
            rounds.append(server.answer(job))
            if not rounds[-1]["ok"]:
                break
        result = dict(rounds[-1])
        if result["ok"]:
            result["seconds"] = statistics.median(answer["seconds"] for answer in rounds)
        failed |= not result["ok"]
        print(json.dumps({"job": job, "rounds": len(rounds), **result}), flush=True)
        server.drop()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
