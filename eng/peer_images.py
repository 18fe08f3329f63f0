#!/usr/bin/env python3
"""Pillow and torchvision's DataLoader on the same images as patching: our own script, for `Patching.Benchmarks data`.

    python3 eng/peer_images.py --serve      reads a JSON job per line from standard input and answers each with a JSON line

A job is {"work": "decode", "files": [...], "size": 224}: the answer {"ok": true, "seconds": 0.0123} is the time for all files once. Works:
  versions    what is installed, in words
  decode      Image.open(f).convert("RGB"), pixels in memory
  resize      Resize(size, bicubic) and CenterCrop(size) of images that are decoded already
  both        decode, Resize, CenterCrop
  digest      SHA-256 of all squares of uint8 one after the other, to compare bits
  loader      torchvision's Resize, CenterCrop, PILToTensor in a DataLoader with "workers" processes and batches of "batch": uint8 batches
  normalized  the same with ToTensor and Normalize instead, as the original has it: float32 batches
The works up to digest run in one thread and use Pillow only. Worker processes start once, before anything is timed. A failure is
{"ok": false, "error": "..."} and the next job goes on. Needs python3-pil, the last two python3-torchvision.
"""

import hashlib
import io
import json
import sys
import time

try:
    import PIL
    from PIL import Image
except ImportError:  # the caller gets a line, not a stack trace
    PIL = None
try:
    import torch
    import torchvision
    from torchvision import transforms
except ImportError:
    torch = None

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
loaders = {}


def decode(path):
    with open(path, "rb") as file:
        return Image.open(io.BytesIO(file.read())).convert("RGB")


def square(image, size):
    """What torchvision's Resize(size, BICUBIC) and CenterCrop(size) do with Pillow."""
    width, height = image.size
    short, long = min(width, height), max(width, height)
    other = int(size * long / short)
    resized = (size, other) if width <= height else (other, size)
    if resized != image.size:
        image = image.resize(resized, Image.BICUBIC)
    left, top = int(round((resized[0] - size) / 2.0)), int(round((resized[1] - size) / 2.0))
    return image.crop((left, top, left + size, top + size))


def to_rgb(image):
    return image.convert("RGB")


if torch is not None:

    class Files(torch.utils.data.Dataset):
        def __init__(self, files, size, normalized):
            last = [transforms.ToTensor(), transforms.Normalize(MEAN, STD)] if normalized else [transforms.PILToTensor()]
            self.files = files
            self.transform = transforms.Compose(
                [to_rgb, transforms.Resize(size, interpolation=transforms.InterpolationMode.BICUBIC), transforms.CenterCrop(size)] + last)

        def __len__(self):
            return len(self.files)

        def __getitem__(self, index):
            with open(self.files[index], "rb") as file:
                return self.transform(Image.open(file)), index


def loader(job, normalized):
    if torch is None:
        raise RuntimeError("torchvision is not installed")
    key = (len(job["files"]), job["size"], job["workers"], job["batch"], normalized)
    if key not in loaders:
        torch.set_num_threads(1)
        loaders[key] = torch.utils.data.DataLoader(
            Files(job["files"], job["size"], normalized), batch_size=job["batch"], num_workers=job["workers"], persistent_workers=True)
        for _ in loaders[key]:
            pass
    start = time.perf_counter()
    seen = sum(batch.shape[0] for batch, _ in loaders[key])
    seconds = time.perf_counter() - start
    if seen != len(job["files"]):
        raise RuntimeError(f"{seen} images came, not {len(job['files'])}")
    return {"seconds": seconds}


def run(job):
    work = job["work"]
    if work == "versions":
        missing = "no torchvision" if torch is None else f"torchvision {torchvision.__version__}, PyTorch {torch.__version__}"
        return {"text": f"Pillow {PIL.__version__ if PIL else 'missing'}, {missing}, Python {sys.version.split()[0]}"}
    if PIL is None:
        raise RuntimeError("Pillow is not installed")
    files, size = job["files"], job["size"]
    if work == "digest":
        return {"text": hashlib.sha256(b"".join(square(decode(f), size).tobytes() for f in files)).hexdigest()}
    if work in ("loader", "normalized"):
        return loader(job, work == "normalized")
    decoded = [decode(f) for f in files] if work == "resize" else None
    start = time.perf_counter()
    if work == "decode":
        for f in files:
            decode(f)
    elif work == "resize":
        for image in decoded:
            square(image, size)
    elif work == "both":
        for f in files:
            square(decode(f), size)
    else:
        raise RuntimeError(f"unknown work {work}")
    return {"seconds": time.perf_counter() - start}


def main():
    if sys.argv[1:] != ["--serve"]:
        sys.exit(__doc__)
    for line in sys.stdin:
        try:
            answer = {"ok": True, **run(json.loads(line))}
        except Exception as error:  # the caller goes on with its own work
            answer = {"ok": False, "error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
