#!/usr/bin/env python3
"""Makes ../torch/*: what torch.save and pickle.dump write, with Python's own pickle and zipfile, so that the reader is tested against encoders
that are not ours. PyTorch itself is not needed: a few stand-ins carry the names that it pickles. Run it in this folder; the output never changes.

The tensors: proj is float32 [2, 3] = 0 .. 5 over a storage of 8 elements, from element 1; turned is its transpose; half is float16 [4] = 0, 0.5, 1, 1.5.
"""
import collections, io, os, pickle, struct, sys, types, zipfile

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "torch")


def module(name):
    sys.modules[name] = types.ModuleType(name)
    return sys.modules[name]


def named(where, name, value):
    value.__module__, value.__name__, value.__qualname__ = where.__name__, name, name
    setattr(where, name, value)
    return value


for package in ["src", "clip", "torchvision", "torchvision.transforms"]:
    module(package)
torch, utils, storage_module, modeling, clip, transforms, functional = map(
    module, ["torch", "torch._utils", "torch.storage", "src.modeling", "clip.model", "torchvision.transforms.transforms", "torchvision.transforms.functional"])
rebuild = named(utils, "_rebuild_tensor_v2", lambda *arguments: None)
parameter = named(utils, "_rebuild_parameter", lambda *arguments: None)
load_bytes = named(storage_module, "_load_from_bytes", lambda data: None)


class Storage:
    def __init__(self, key, data):
        self.key, self.data = key, data

    def persistent(self, stream):
        return ("storage", type(self), self.key, "cpu", len(self.data) // self.size) + ((None,) if stream else ())

    def __reduce__(self):
        return load_bytes, (stream(self),)


FloatStorage = named(torch, "FloatStorage", type("FloatStorage", (Storage,), {"size": 4}))
HalfStorage = named(torch, "HalfStorage", type("HalfStorage", (Storage,), {"size": 2}))


class Tensor:
    def __init__(self, storage, offset, size, stride, is_parameter=False):
        self.arguments, self.is_parameter = (storage, offset, size, stride), is_parameter

    def __reduce_ex__(self, protocol):
        if self.is_parameter:
            return parameter, (Tensor(*self.arguments), True, collections.OrderedDict())
        return rebuild, (*self.arguments, False, collections.OrderedDict())


class Pickler(pickle.Pickler):
    def __init__(self, file, as_stream):
        super().__init__(file, protocol=2)
        self.as_stream, self.seen = as_stream, {}

    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        self.seen[value.key] = value
        return value.persistent(self.as_stream)


def dump(value, as_stream):
    file = io.BytesIO()
    pickler = Pickler(file, as_stream)
    pickler.dump(value)
    return file.getvalue(), pickler.seen


def stream(value):
    system = dict(protocol_version=1001, little_endian=True, type_sizes=dict(short=2, int=4, long=4))
    data, seen = dump(value, True)
    head = b"".join(pickle.dumps(part, protocol=2) for part in (0x1950A86A20F9469CFC6C, 1001, system))
    keys = sorted(seen)
    return head + data + pickle.dumps(keys, protocol=2) + b"".join(
        struct.pack("<q", len(seen[key].data) // seen[key].size) + seen[key].data for key in keys)


def archive(value, path):
    data, seen = dump(value, False)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as out:
        entries = [("data.pkl", data), ("byteorder", b"little")] + [(f"data/{key}", seen[key].data) for key in sorted(seen)] + [("version", b"3\n")]
        for name, content in entries:
            out.writestr(zipfile.ZipInfo(f"tiny/{name}"), content)


def tensors():
    floats = FloatStorage("0", struct.pack("<8f", 9, 0, 1, 2, 3, 4, 5, 9))
    halves = HalfStorage("1", struct.pack("<4e", 0, 0.5, 1, 1.5))
    return dict(proj=Tensor(floats, 1, (2, 3), (3, 1), True), turned=Tensor(floats, 1, (3, 2), (1, 3)), half=Tensor(halves, 0, (4,), (1,)))


def image_encoder():
    """The original's ImageEncoder as pickle.dump sees it: modules, preprocessing with an enumeration and a function, a cache directory."""
    Mode = named(functional, "InterpolationMode", type("InterpolationMode", (), {"__reduce_ex__": lambda self, protocol: (Mode, ("bicubic",))}))
    classes = {name: named(where, name, type(name, (), {})) for where, name in [(modeling, "ImageEncoder"), (clip, "CLIP"), (clip, "QuickGELU"), (transforms, "Compose"), (transforms, "Resize")]}
    to_rgb = named(clip, "_convert_image_to_rgb", lambda image: image)

    def make(name, **attributes):
        value = classes[name]()
        value.__dict__.update(attributes)
        return value

    def make_module(name, parameters={}, modules={}, **attributes):
        ordered = collections.OrderedDict
        return make(name, training=False, _parameters=ordered(parameters), _buffers=ordered(), _non_persistent_buffers_set=set(),
                    _backward_hooks=ordered(), _modules=ordered(modules), **attributes)

    clip_model = make_module("CLIP", tensors(), {"gelu": make_module("QuickGELU")}, context_length=77)
    preprocess = make("Compose", transforms=[make("Resize", size=224, interpolation=Mode()), to_rgb])
    return make_module("ImageEncoder", modules={"model": clip_model}, train_preprocess=preprocess, val_preprocess=preprocess, cache_dir=None)


os.makedirs(OUT, exist_ok=True)
archive(collections.OrderedDict(tensors()), os.path.join(OUT, "archive.pt"))
archive({"epoch": 1, "state_dict": {f"module.{name}": tensor for name, tensor in tensors().items()}}, os.path.join(OUT, "training.pt"))
for name, data in [("stream.pt", stream(collections.OrderedDict(tensors()))), ("module-stream.pt", stream(image_encoder())),
                   *((f"module-protocol{p}.pkl", pickle.dumps(image_encoder(), protocol=p)) for p in (3, 4, 5))]:
    with open(os.path.join(OUT, name), "wb") as file:
        file.write(data)
