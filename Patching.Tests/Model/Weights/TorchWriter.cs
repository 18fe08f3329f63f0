using System.Buffers.Binary;
using Patching.Model.Weights;
using Patching.Tests.Model.Data;

namespace Patching.Tests.Model.Weights;

/// <summary>The three containers that PyTorch has had.</summary>
public enum TorchForm
{
    /// <summary>A zip archive.</summary>
    Archive,

    /// <summary>Pickles and storages one after the other.</summary>
    Stream,

    /// <summary>pickle.dump, with every storage as a stream of its own inside.</summary>
    Pickle,
}

/// <summary>Writes what torch.save and pickle.dump write, opcode by opcode, or what they never would.</summary>
internal sealed class TorchWriter
{
    private readonly TorchForm _form;

    public TorchWriter(TorchForm form)
    {
        _form = form;
        Pickle = new PickleWriter((byte)(form == TorchForm.Pickle ? 4 : 2));
    }

    public PickleWriter Pickle { get; private set; }

    public List<(string Key, string Type, byte[] Bytes)> Storages { get; } = [];

    public static string StorageName(SafetensorsType type) => type switch
    {
        SafetensorsType.F64 => "DoubleStorage",
        SafetensorsType.F32 => "FloatStorage",
        SafetensorsType.F16 => "HalfStorage",
        SafetensorsType.BF16 => "BFloat16Storage",
        SafetensorsType.I64 => "LongStorage",
        _ => "ByteStorage",
    };

    /// <summary>A tensor over a new storage of exactly its bytes.</summary>
    public void Tensor(SafetensorsType type, IReadOnlyList<long> shape, byte[] bytes)
    {
        long[] strides = new long[shape.Count];
        long step = 1;
        for (int axis = shape.Count - 1; axis >= 0; axis--)
        {
            strides[axis] = step;
            step *= shape[axis];
        }
        string key = $"{Storages.Count}";
        Storages.Add((key, StorageName(type), bytes));
        View(key, type, shape, strides, 0);
    }

    /// <summary>A tensor over part of a storage, in any order; <paramref name="elements"/> lies about the storage's length.</summary>
    public void View(string key, SafetensorsType type, IReadOnlyList<long> shape, IReadOnlyList<long> strides, int offset, int? elements = null)
    {
        Pickle.Global("torch._utils", "_rebuild_tensor_v2").Op('(');
        Storage(key, type, elements);
        Pickle.Int(offset);
        Numbers(shape);
        Numbers(strides);
        Pickle.Raw(0x89).Global("collections", "OrderedDict").Op(')', 'R', 't', 'R');
    }

    public void Storage(string key, SafetensorsType type, int? elements = null)
    {
        byte[] bytes = Storages.Single(storage => storage.Key == key).Bytes;
        int count = elements ?? bytes.Length / TensorEntry.ElementSize(type);
        if (_form == TorchForm.Pickle)
        {
            var nested = new TorchWriter(TorchForm.Stream);
            nested.Storages.Add((key, StorageName(type), bytes));
            nested.Storage(key, type, elements);
            byte[] stream = nested.ToStream();
            Pickle.Global("torch.storage", "_load_from_bytes").Op('B').UInt32((uint)stream.Length).Raw(stream).Raw(0x85).Op('R');
            return;
        }
        Pickle.Op('(').Unicode("storage").Global("torch", StorageName(type)).Unicode(key).Unicode("cpu").Int(count);
        if (_form == TorchForm.Stream) Pickle.Op('N');
        Pickle.Op('t', 'Q');
    }

    /// <summary>An ordered dictionary of tensors.</summary>
    public void StateDict(IEnumerable<(string Name, SafetensorsType Type, long[] Shape, byte[] Bytes)> tensors, string prefix = "")
    {
        Pickle.Global("collections", "OrderedDict").Op(')', 'R', '(');
        foreach ((string name, SafetensorsType type, long[] shape, byte[] bytes) in tensors)
        {
            Pickle.Unicode(prefix + name);
            Tensor(type, shape, bytes);
        }
        Pickle.Op('u');
    }

    /// <summary>A module with its parts, found by the dots in the names; <paramref name="script"/> as TorchScript keeps them.</summary>
    public void Module(IReadOnlyList<(string Name, SafetensorsType Type, long[] Shape, byte[] Bytes)> tensors, string module, string name, bool script)
    {
        Pickle.Global(module, name).Op(')').Raw(0x81).Op('}', '(').Unicode("training").Raw(0x88);
        var own = tensors.Where(tensor => !tensor.Name.Contains('.', StringComparison.Ordinal)).ToArray();
        var below = tensors.Where(tensor => tensor.Name.Contains('.', StringComparison.Ordinal)).GroupBy(tensor => tensor.Name[..tensor.Name.IndexOf('.')]).ToArray();
        if (!script) Pickle.Unicode("_buffers").Global("collections", "OrderedDict").Op(')', 'R').Unicode("_parameters").Op('}', '(');
        foreach (var tensor in own)
        {
            Pickle.Unicode(tensor.Name);
            if (!script) Pickle.Global("torch._utils", "_rebuild_parameter").Op('(');
            Tensor(tensor.Type, tensor.Shape, tensor.Bytes);
            if (!script) Pickle.Raw(0x88).Global("collections", "OrderedDict").Op(')', 'R', 't', 'R');
        }
        if (!script) Pickle.Unicode("none").Op('N', 'u').Unicode("_modules").Op('}', '(');
        foreach (var part in below)
        {
            Pickle.Unicode(part.Key);
            Module([.. part.Select(tensor => tensor with { Name = tensor.Name[(part.Key.Length + 1)..] })], module, part.Key == "mlp" ? "QuickGELU" : "Part", script);
        }
        if (!script) Pickle.Op('u');
        Pickle.Op('u', 'b');
    }

    public void Numbers(IReadOnlyList<long> numbers)
    {
        Pickle.Op('(');
        foreach (long number in numbers) Pickle.Raw([0x8A, 8, .. BitConverter.GetBytes(number)]);
        Pickle.Op('t');
    }

    /// <summary>The finished file.</summary>
    public byte[] ToArray() => _form switch
    {
        TorchForm.Archive => Zip(ToEntries()),
        TorchForm.Stream => ToStream(),
        _ => Finished(),
    };

    /// <summary>What the archive holds.</summary>
    public List<ZipPart> ToEntries() =>
        [new("archive/data.pkl", Finished()), new("archive/byteorder", "little"u8.ToArray()), .. Storages.Select(storage => new ZipPart($"archive/data/{storage.Key}", storage.Bytes)), new("archive/version", "3\n"u8.ToArray())];

    public byte[] ToStream(bool littleEndian = true, string[]? keys = null, byte[]? protocol = null)
    {
        using var stream = new MemoryStream();
        stream.Write(TorchStream.Magic);
        stream.Write(protocol ?? new PickleWriter().Op('M').Raw(0xE9, 3).Op('.').ToArray());
        stream.Write(new PickleWriter().Op('}', '(').Unicode("protocol_version").Op('M').Raw(0xE9, 3).Unicode("little_endian").Raw((byte)(littleEndian ? 0x88 : 0x89)).Op('u', '.').ToArray());
        stream.Write(Finished());
        PickleWriter list = new PickleWriter().Op(']', '(');
        foreach (string key in keys ?? [.. Storages.Select(storage => storage.Key)]) list.Unicode(key);
        stream.Write(list.Op('e', '.').ToArray());
        foreach ((_, string type, byte[] bytes) in Storages)
        {
            int size = type switch { "DoubleStorage" or "LongStorage" => 8, "FloatStorage" => 4, "ByteStorage" => 1, _ => 2 };
            stream.Write(BitConverter.GetBytes((long)bytes.Length / size));
            stream.Write(bytes);
        }
        return stream.ToArray();
    }

    /// <summary>A zip archive with its lies.</summary>
    public static byte[] Zip(IReadOnlyList<ZipPart> parts, int? count = null, bool zip64 = false)
    {
        using var stream = new MemoryStream();
        using var directory = new MemoryStream();
        foreach (ZipPart part in parts)
        {
            byte[] name = System.Text.Encoding.UTF8.GetBytes(part.Name), bytes = part.Packed ?? part.Bytes;
            uint local = part.Local ?? (uint)stream.Position, stored = part.StoredLength ?? (uint)bytes.Length, length = part.Length ?? (uint)part.Bytes.Length;
            ushort method = part.Method ?? (ushort)(part.Packed is null ? 0 : 8);
            // As PyTorch does it: sizes follow later, and an extra field brings the bytes to a multiple of 64.
            int padding = (int)(-(stream.Position + 30 + name.Length + 4) & 63);
            byte[] localName = part.LocalName is { } other ? System.Text.Encoding.UTF8.GetBytes(other) : name;
            Write(stream, [0x04034b50], [20, part.Flags, method, 0, 0], [0, stored, length], [(ushort)localName.Length, (ushort)(padding + 4)]);
            stream.Write(localName);
            Write(stream, [], [0x4246, (ushort)padding], [], []);
            stream.Write(new byte[padding]);
            stream.Write(bytes);
            Write(directory, [0x02014b50], [20, 20, part.Flags, method, 0, 0], [0, stored, length], [(ushort)name.Length, 0, 0, 0, 0]);
            Write(directory, [0, local], [], [], []);
            directory.Write(name);
        }
        uint start = (uint)stream.Position;
        directory.WriteTo(stream);
        ushort entries = (ushort)(count ?? parts.Count);
        if (zip64)
        {
            ulong end = (ulong)stream.Position;
            Write(stream, [0x06064b50, 44, 0], [45, 45], [0, 0], []);
            foreach (ulong number in (ulong[])[entries, entries, (ulong)directory.Length, start]) stream.Write(BitConverter.GetBytes(number));
            Write(stream, [0x07064b50, 0], [], [], []);
            stream.Write(BitConverter.GetBytes(end));
            Write(stream, [1], [], [], []);
            Write(stream, [0x06054b50], [0, 0, ushort.MaxValue, ushort.MaxValue], [uint.MaxValue, uint.MaxValue], [0]);
        }
        else
        {
            Write(stream, [0x06054b50], [0, 0, entries, entries], [(uint)directory.Length, start], [0]);
        }
        return stream.ToArray();
    }

    private byte[] Finished()
    {
        byte[] pickle = [.. Pickle.ToArray(), (byte)'.'];
        return pickle;
    }

    private static void Write(Stream stream, ReadOnlySpan<uint> words, ReadOnlySpan<ushort> halves, ReadOnlySpan<uint> moreWords, ReadOnlySpan<ushort> moreHalves)
    {
        Span<byte> four = stackalloc byte[4];
        foreach (uint word in words) { BinaryPrimitives.WriteUInt32LittleEndian(four, word); stream.Write(four); }
        foreach (ushort half in halves) { BinaryPrimitives.WriteUInt16LittleEndian(four, half); stream.Write(four[..2]); }
        foreach (uint word in moreWords) { BinaryPrimitives.WriteUInt32LittleEndian(four, word); stream.Write(four); }
        foreach (ushort half in moreHalves) { BinaryPrimitives.WriteUInt16LittleEndian(four, half); stream.Write(four[..2]); }
    }
}

/// <summary>An entry of an archive and what it claims about itself.</summary>
internal sealed record ZipPart(
    string Name, byte[] Bytes, byte[]? Packed = null, uint? StoredLength = null, uint? Length = null, uint? Local = null, ushort? Method = null, ushort Flags = 0, string? LocalName = null);
