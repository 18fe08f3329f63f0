using System.Buffers.Binary;

namespace Patching.Model.Weights;

/// <summary>
/// A safetensors file, mapped into memory and read on demand. The header is checked completely when the file is opened
/// (<see cref="SafetensorsHeader"/>), so that nothing is allocated on the word of a lying file. Reading is safe from several threads;
/// disposing while another thread reads is not.
/// </summary>
public sealed class SafetensorsFile : TensorFile
{
    private readonly MappedFile _file;
    private readonly SafetensorsHeader _header;

    private SafetensorsFile(MappedFile file)
        : base(file.Path)
    {
        _header = ReadHeader(file);
        _file = file;
    }

    /// <inheritdoc/>
    public override string Container => "safetensors";

    /// <inheritdoc/>
    public override IReadOnlyDictionary<string, TensorEntry> Tensors => _header.Tensors;

    /// <summary>The texts of the header's <c>__metadata__</c>; empty where there is none.</summary>
    public override IReadOnlyDictionary<string, string> Metadata => _header.Metadata;

    /// <summary>Opens a file and checks its header.</summary>
    /// <exception cref="InputException">The file cannot be read or is not valid; the message says why in one line.</exception>
    public static new SafetensorsFile Open(string path)
    {
        MappedFile file = MappedFile.Open(path);
        try
        {
            return new SafetensorsFile(file);
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <summary>The bytes of a tensor of less than 2 GiB, valid until the file is disposed.</summary>
    public ReadOnlySpan<byte> Bytes(string name)
    {
        var entry = (SafetensorsEntry)Find(name);
        return _file.Span(entry.Offset, checked((int)entry.Length));
    }

    /// <summary>Unmaps and closes the file.</summary>
    public override void Dispose() => _file.Dispose();

    internal override void Copy(TensorEntry entry, long first, Span<byte> destination) =>
        _file.Read(((SafetensorsEntry)entry).Offset + first * TensorEntry.ElementSize(entry.DType), destination);

    private static SafetensorsHeader ReadHeader(MappedFile file)
    {
        if (file.Length < sizeof(ulong)) throw new InputException($"{file.Path}: {file.Length} bytes are too few for a safetensors file");
        ulong headerLength = BinaryPrimitives.ReadUInt64LittleEndian(file.Span(0, sizeof(ulong)));
        if (headerLength > (ulong)(file.Length - sizeof(ulong)))
            throw new InputException(
                $"{file.Path}: the header claims {headerLength} bytes but the file has {file.Length}; it is cut short or of another kind");
        if (headerLength > SafetensorsHeader.MaxBytes)
            throw new InputException(
                $"{file.Path}: the header claims {headerLength} bytes; the format allows {SafetensorsHeader.MaxBytes}");
        byte[] json = file.Span(sizeof(ulong), (int)headerLength).ToArray();
        long dataOffset = sizeof(ulong) + (long)headerLength;
        return SafetensorsHeader.Parse(file.Path, json, dataOffset, file.Length - dataOffset);
    }
}
