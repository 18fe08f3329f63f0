using System.Collections.Frozen;
using System.Collections.Immutable;
using Patching.Model.Pickle;

namespace Patching.Model.Weights;

/// <summary>
/// The names in PyTorch's pickles. The constructors of tensors and storages are understood. Any other name may only be the class of an
/// object, which becomes an inert <see cref="PythonObject"/>; a file that wants such a name to be called is refused, and so is one that
/// only mentions a module whose purpose is to run code.
/// </summary>
/// <param name="file">The file the pickle is part of.</param>
/// <param name="isNested">Whether the pickle lies inside another one.</param>
internal sealed class TorchVocabulary(MappedFile file, bool isNested = false) : PickleVocabulary
{
    private const int MostDimensions = 64;

    private static readonly FrozenDictionary<string, SafetensorsType> StorageTypes = new Dictionary<string, SafetensorsType>
    {
        ["DoubleStorage"] = SafetensorsType.F64,
        ["FloatStorage"] = SafetensorsType.F32,
        ["HalfStorage"] = SafetensorsType.F16,
        ["BFloat16Storage"] = SafetensorsType.BF16,
        ["LongStorage"] = SafetensorsType.I64,
        ["IntStorage"] = SafetensorsType.I32,
        ["ShortStorage"] = SafetensorsType.I16,
        ["CharStorage"] = SafetensorsType.I8,
        ["ByteStorage"] = SafetensorsType.U8,
        ["BoolStorage"] = SafetensorsType.BOOL,
        ["UntypedStorage"] = SafetensorsType.U8,
    }.ToFrozenDictionary(StringComparer.Ordinal);

    private static readonly FrozenDictionary<string, SafetensorsType> ElementTypes = new Dictionary<string, SafetensorsType>
    {
        ["float64"] = SafetensorsType.F64,
        ["float32"] = SafetensorsType.F32,
        ["float16"] = SafetensorsType.F16,
        ["bfloat16"] = SafetensorsType.BF16,
        ["int64"] = SafetensorsType.I64,
        ["int32"] = SafetensorsType.I32,
        ["int16"] = SafetensorsType.I16,
        ["int8"] = SafetensorsType.I8,
        ["uint8"] = SafetensorsType.U8,
        ["uint16"] = SafetensorsType.U16,
        ["uint32"] = SafetensorsType.U32,
        ["uint64"] = SafetensorsType.U64,
        ["bool"] = SafetensorsType.BOOL,
    }.ToFrozenDictionary(StringComparer.Ordinal);

    // No weights need them, every known attack does. Refusing them by sight is a courtesy: nothing in a file can be called anyway.
    private static readonly FrozenSet<string> CodeRunners = FrozenSet.ToFrozenSet(
        [
            "os", "posix", "nt", "subprocess", "sys", "builtins", "__builtin__", "shutil", "socket", "importlib", "runpy", "pty", "code",
            "codeop", "ctypes", "commands", "pickle",
            "_pickle", "cPickle", "marshal", "types", "operator", "asyncio", "multiprocessing", "timeit", "pdb", "bdb", "cProfile",
            "webbrowser", "urllib", "http", "requests",
            "tempfile", "site", "pip", "pydoc", "doctest", "imp", "zipimport", "platform", "signal", "threading", "inspect", "nturl2path",
        ],
        StringComparer.Ordinal);

    private static readonly FrozenSet<string> HarmlessBuiltins =
        FrozenSet.ToFrozenSet(
            [
                "set", "frozenset", "list", "dict", "tuple", "slice", "complex", "range", "bytearray", "object", "int", "float", "bool",
                "str",
            ],
            StringComparer.Ordinal);

    // Python would call these, too, and get plain values that no tensor depends on.
    private static readonly FrozenSet<(string Module, string Name)> HarmlessCalls = FrozenSet.ToFrozenSet<(string, string)>(
        [
            ("torch", "device"), ("torch", "Size"), ("functools", "partial"), ("collections", "defaultdict"), ("collections", "Counter"),
            ("numpy.core.multiarray", "scalar"),
            ("numpy._core.multiarray", "scalar"), ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"),
            ("numpy", "dtype"), ("pathlib", "PosixPath"),
            ("pathlib", "PurePosixPath"), ("pathlib", "WindowsPath"), ("datetime", "datetime"), ("datetime", "timedelta"),
            ("datetime", "date"),
        ]);

    private readonly Dictionary<string, TorchStorage> _storages = new(StringComparer.Ordinal);
    private long _nestedBytes;

    private enum Constructor
    {
        OrderedDictionary, EncodeLatin1, Tensor, TensorOfType, Parameter, StorageFromBytes, FirstArgument, Reconstructed, Attribute,
    }

    /// <summary>The storages that the pickle refers to, by key.</summary>
    public IReadOnlyDictionary<string, TorchStorage> Storages => _storages;

    /// <inheritdoc/>
    public override object Named(PickleReader reader, string module, string name)
    {
        switch (module, name)
        {
            case ("collections", "OrderedDict"): return Constructor.OrderedDictionary;
            case ("_codecs", "encode"): return Constructor.EncodeLatin1;
            case ("torch._utils", "_rebuild_tensor" or "_rebuild_tensor_v2"): return Constructor.Tensor;
            case ("torch._utils", "_rebuild_tensor_v3"): return Constructor.TensorOfType;
            case ("torch._utils", "_rebuild_parameter" or "_rebuild_parameter_with_state"): return Constructor.Parameter;
            case ("torch.storage", "_load_from_bytes"): return Constructor.StorageFromBytes;
            case ("torch.jit._pickle", _): return Constructor.FirstArgument;
            case ("copyreg" or "copy_reg", "_reconstructor"): return Constructor.Reconstructed;
            case ("builtins" or "__builtin__", "getattr"): return Constructor.Attribute;
        }
        if (module is "torch" or "torch.cuda" or "torch.storage")
        {
            if (StorageTypes.TryGetValue(name, out SafetensorsType storage)) return new StorageType(storage);
            if (module == "torch" && ElementTypes.TryGetValue(name, out SafetensorsType element)) return new ElementType(element);
        }
        int dot = module.IndexOf('.', StringComparison.Ordinal);
        bool isHarmless = module is "builtins" or "__builtin__" && HarmlessBuiltins.Contains(name);
        if (!isHarmless && CodeRunners.Contains(dot < 0 ? module : module[..dot]))
            throw reader.Refuse(
                $"it asks for {PickleReader.Printable(module, name)}: loaded in Python the file would run code; it is refused and nothing was run");
        return new PythonName(module, name);
    }

    /// <inheritdoc/>
    public override object? Call(PickleReader reader, object? callee, object?[] arguments) => (callee, arguments) switch
    {
        (Constructor.OrderedDictionary, []) => new Dictionary<string, object?>(StringComparer.Ordinal),
        (Constructor.OrderedDictionary, [List<object?> pairs]) => Dictionary(reader, pairs),
        (Constructor.EncodeLatin1, [string text, string and "latin1"]) => reader.EncodeLatin1(text),
        (Constructor.Tensor, [TorchStorageView view, long first, object?[] shape, object?[] strides, ..]) =>
            Tensor(reader, view, view.Type, first, shape, strides),
        (Constructor.TensorOfType, [TorchStorageView view, long first, object?[] shape, object?[] strides, _, _, ElementType type, ..]) =>
            Tensor(reader, view, type.Type, first, shape, strides),
        (Constructor.Parameter, [TorchTensor tensor, ..]) => tensor,
        (Constructor.StorageFromBytes, [ReadOnlyMemory<byte> bytes]) => Nested(reader, bytes),
        (Constructor.FirstArgument, [var value, ..]) => value,
        (Constructor.Reconstructed, [PythonName type, ..]) => new PythonObject(type),
        (Constructor.Attribute, [PythonName type, string]) when IsHarmless(type) => new PythonObject(type),
        (PythonName type, _) when IsHarmless(type) => new PythonObject(type),
        (PythonName name, _) => throw reader.Refuse(
            $"it wants {PickleReader.Printable(name.Module, name.Name)} to be called:"
            + " loaded in Python the file would run code; it is refused and nothing was run"),
        (Constructor known, _) => throw reader.Refuse($"PyTorch's constructor {known} is called in a way that is not known"),
        _ => throw reader.Refuse("it calls something that is no constructor"),
    };

    /// <inheritdoc/>
    public override object Create(PickleReader reader, object? type, object?[] arguments) => type switch
    {
        PythonName name => new PythonObject(name),
        Constructor.OrderedDictionary => new Dictionary<string, object?>(StringComparer.Ordinal),
        _ => throw reader.Refuse("it creates an object of something that is no class"),
    };

    /// <inheritdoc/>
    public override void Build(PickleReader reader, object? target, object? state)
    {
        // Attributes of dictionaries (a state dict's _metadata) and of tensors carry no weights.
        if (target is PythonObject record) record.State = state;
        else if (target is not (Dictionary<string, object?> or TorchTensor or TorchStorageView))
            throw reader.Refuse("it gives a state to something that is no object");
    }

    /// <inheritdoc/>
    public override object? Persistent(PickleReader reader, object? id)
    {
        if (id is object?[] parts and [var kind, ..])
        {
            string? what = PickleReader.Text(kind);
            // Old files carry the source text of a module's class along.
            if (what == "module" && parts is [_, PythonName type, ..]) return type;
            if (what == "storage" && parts is [_, StorageType storage, var key, _, long elements, ..] && PickleReader.Text(key) is { } name)
                return View(reader, storage.Type, name, elements, parts.Length > 5 ? parts[5] : null);
        }
        throw reader.Refuse("it refers to something outside the pickle that is no storage");
    }

    private static bool IsHarmless(PythonName name) =>
        name.Module is "builtins" or "__builtin__" || name.Module.StartsWith("torchvision.transforms", StringComparison.Ordinal)
            || HarmlessCalls.Contains((name.Module, name.Name));

    private static Dictionary<string, object?> Dictionary(PickleReader reader, List<object?> pairs)
    {
        var dictionary = new Dictionary<string, object?>(StringComparer.Ordinal);
        foreach (object? pair in pairs)
        {
            object?[]? items = pair as object?[] ?? (pair as List<object?>)?.Take(3).ToArray();
            if (items is not [_, _]) throw reader.Refuse("an ordered dictionary is made of something else than pairs");
            reader.Fill(dictionary, items);
        }
        return dictionary;
    }

    /// <param name="reader">For errors.</param>
    /// <param name="type">Element type.</param>
    /// <param name="key">The storage's name.</param>
    /// <param name="elements">Elements of the whole storage.</param>
    /// <param name="view">Null, or (key, first element, elements) of a part of it, in files before 1.6.</param>
    private TorchStorageView View(PickleReader reader, SafetensorsType type, string key, long elements, object? view)
    {
        int size = TensorEntry.ElementSize(type);
        if (elements < 0 || elements > file.Length / size)
            throw reader.Refuse(
                $"storage '{HostileText.Show(key)}' announces {elements} elements of {size} bytes; the file has {file.Length} bytes");
        if (!_storages.TryGetValue(key, out TorchStorage? storage)) _storages.Add(key, storage = new TorchStorage(key, elements * size));
        if (storage.Length != elements * size) throw reader.Refuse($"storage '{HostileText.Show(key)}' is announced with two sizes");
        if (view is null) return new TorchStorageView(storage, type, 0, elements);
        if (view is not (object?[] and [_, long first, long count]))
            throw reader.Refuse($"the view of storage '{HostileText.Show(key)}' is damaged");
        if (first < 0 || count < 0 || first > elements || count > elements - first)
            throw reader.Refuse($"the view of storage '{HostileText.Show(key)}' reaches beyond its {elements} elements");
        return new TorchStorageView(storage, type, first * size, count);
    }

    private static TorchTensor Tensor(
        PickleReader reader, TorchStorageView view, SafetensorsType type, long first, object?[] shape, object?[] strides)
    {
        ImmutableArray<long> sizes = Numbers(reader, shape), steps = Numbers(reader, strides);
        if (sizes.Length != steps.Length) throw reader.Refuse($"a tensor has {sizes.Length} sizes and {steps.Length} strides");
        int size = TensorEntry.ElementSize(type);
        // The storage in elements of the tensor's own type; the two differ where the storage is untyped.
        long available = view.Elements * TensorEntry.ElementSize(view.Type) / size;
        Int128 elements = 1, last = first;
        for (int i = 0; i < sizes.Length; i++)
        {
            elements *= sizes[i];
            last += (Int128)Math.Max(0, sizes[i] - 1) * steps[i];
            if (elements > available || last > long.MaxValue) break;
        }
        if (first < 0 || first > available || elements > available || (elements > 0 && last >= available))
            throw reader.Refuse(
                $"a tensor of {type} [{string.Join(", ", sizes.Take(8))}] from element {first} reaches beyond or repeats"
                + $" the {available} elements of its storage");
        return new TorchTensor(view.Storage, type, view.FirstByte + first * size, sizes, steps);
    }

    private static ImmutableArray<long> Numbers(PickleReader reader, object?[] items)
    {
        if (items.Length > MostDimensions) throw reader.Refuse($"a tensor has {items.Length} dimensions; {MostDimensions} are allowed");
        return [.. items.Select(
            item => item is long and >= 0 ? (long)item : throw reader.Refuse("a tensor has a size or stride that is no positive number"))];
    }

    /// <summary>A storage that was saved into the pickle as the bytes of a file of its own: what pickle.dump makes of tensors.</summary>
    private object Nested(PickleReader reader, ReadOnlyMemory<byte> bytes)
    {
        if (isNested) throw reader.Refuse("storages are nested in one another, which no program writes");
        _nestedBytes += bytes.Length;
        if (_nestedBytes > file.Length) throw reader.Refuse("the same storage is unpacked over and over");
        long start = file.OffsetOf(bytes.Span)
            ?? throw reader.Refuse("a storage is written as text; save the file again with a newer pickle protocol");
        return TorchStream.Read(file, start, bytes.Length, isNested: true) as TorchStorageView
            ?? throw reader.Refuse("the bytes of a storage hold something else");
    }

    private sealed record StorageType(SafetensorsType Type);

    private sealed record ElementType(SafetensorsType Type);
}
