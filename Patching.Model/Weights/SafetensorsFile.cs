using System.Buffers.Binary;
using System.IO.MemoryMappedFiles;

namespace Patching.Model.Weights;

/// <summary>
/// A safetensors file, mapped into memory and read on demand. The header is checked completely when the file is opened
/// (<see cref="SafetensorsHeader"/>), so that nothing is allocated on the word of a lying file. Reading is safe from several threads;
/// disposing while another thread reads is not.
/// </summary>
public sealed unsafe class SafetensorsFile : IDisposable
{
    private const int ChunkElements = 1 << 20;

    private readonly MemoryMappedFile _map;
    private readonly MemoryMappedViewAccessor _view;
    private readonly SafetensorsHeader _header;
    private byte* _start;

    private SafetensorsFile(string path, FileStream stream)
    {
        Path = path;
        _header = ReadHeader(path, stream);
        _map = MemoryMappedFile.CreateFromFile(stream, null, 0, MemoryMappedFileAccess.Read, HandleInheritability.None, leaveOpen: false);
        _view = _map.CreateViewAccessor(0, 0, MemoryMappedFileAccess.Read);
        byte* start = null;
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref start);
        _start = start + _view.PointerOffset;
    }

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>The tensors by name.</summary>
    public IReadOnlyDictionary<string, SafetensorsEntry> Tensors => _header.Tensors;

    /// <summary>The texts of the header's <c>__metadata__</c>; empty where there is none.</summary>
    public IReadOnlyDictionary<string, string> Metadata => _header.Metadata;

    /// <summary>Opens a file and checks its header.</summary>
    /// <exception cref="InputException">The file cannot be read or is not valid; the message says why in one line.</exception>
    public static SafetensorsFile Open(string path)
    {
        FileStream? stream = null;
        try
        {
            stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
            return new SafetensorsFile(path, stream);
        }
        catch (Exception error)
        {
            stream?.Dispose();
            if (error is FileNotFoundException or DirectoryNotFoundException)
                throw new InputException($"{path}: there is no such file", error);
            if (error is IOException or UnauthorizedAccessException or NotSupportedException or ArgumentException)
                throw new InputException($"{path}: cannot be read ({HostileText.Show(error.Message)})", error);
            throw;
        }
    }

    /// <summary>Reads a whole tensor as float32.</summary>
    /// <param name="name">A tensor of type F32, F16, BF16 or F64.</param>
    /// <param name="destination">As many values as the tensor has elements.</param>
    public void ReadFloat32(string name, Span<float> destination)
    {
        long elements = Find(name).Elements;
        if (destination.Length != elements)
            throw new ArgumentException($"{name} has {elements} elements, the destination {destination.Length}", nameof(destination));
        ReadFloat32(name, 0, destination);
    }

    /// <summary>Reads consecutive elements of a tensor as float32.</summary>
    /// <param name="name">A tensor of type F32, F16, BF16 or F64.</param>
    /// <param name="first">First element, in row-major order.</param>
    /// <param name="destination">Receives as many elements as it has room for; they must exist.</param>
    /// <exception cref="InputException">The tensor has another type.</exception>
    public void ReadFloat32(string name, long first, Span<float> destination)
    {
        SafetensorsEntry entry = Find(name);
        if (!SafetensorsEntry.IsFloat(entry.DType))
            throw new InputException($"{Path}: tensor '{HostileText.Show(name)}' is {entry.DType}; expected F32, F16, BF16 or F64");
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(first, entry.Elements - destination.Length);
        int size = SafetensorsEntry.ElementSize(entry.DType);
        for (int done = 0; done < destination.Length; done += ChunkElements)
        {
            Span<float> part = destination.Slice(done, Math.Min(ChunkElements, destination.Length - done));
            var bytes = new ReadOnlySpan<byte>(_start + entry.Offset + (first + done) * size, part.Length * size);
            FloatConversion.ToFloat32(part, bytes, entry.DType);
        }
    }

    /// <summary>Reads an I64 tensor of one element.</summary>
    /// <exception cref="InputException">The tensor has another type or number of elements.</exception>
    public long ReadInt64Scalar(string name)
    {
        SafetensorsEntry entry = Find(name);
        if (entry.DType != SafetensorsType.I64 || entry.Elements != 1)
            throw new InputException($"{Path}: tensor '{HostileText.Show(name)}' is {entry.DType} {entry.ShapeText}; expected one I64");
        return BinaryPrimitives.ReadInt64LittleEndian(Bytes(name));
    }

    /// <summary>The bytes of a tensor of less than 2 GiB, valid until the file is disposed.</summary>
    public ReadOnlySpan<byte> Bytes(string name)
    {
        SafetensorsEntry entry = Find(name);
        return new ReadOnlySpan<byte>(_start + entry.Offset, checked((int)entry.Length));
    }

    /// <summary>Unmaps and closes the file.</summary>
    public void Dispose()
    {
        if (_start == null) return;
        _start = null;
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _map.Dispose();
    }

    private SafetensorsEntry Find(string name)
    {
        ObjectDisposedException.ThrowIf(_start == null, this);
        return Tensors.TryGetValue(name, out SafetensorsEntry? entry)
            ? entry
            : throw new ArgumentException($"{Path} has no tensor {name}", nameof(name));
    }

    private static SafetensorsHeader ReadHeader(string path, FileStream stream)
    {
        long fileLength = stream.Length;
        Span<byte> prefix = stackalloc byte[sizeof(ulong)];
        if (fileLength < prefix.Length) throw new InputException($"{path}: {fileLength} bytes are too few for a safetensors file");
        stream.ReadExactly(prefix);
        ulong headerLength = BinaryPrimitives.ReadUInt64LittleEndian(prefix);
        if (headerLength > (ulong)(fileLength - prefix.Length))
            throw new InputException(
                $"{path}: the header claims {headerLength} bytes but the file has {fileLength}; it is cut short or of another kind");
        if (headerLength > SafetensorsHeader.MaxBytes)
            throw new InputException($"{path}: the header claims {headerLength} bytes; the format allows {SafetensorsHeader.MaxBytes}");
        byte[] json = new byte[headerLength];
        stream.ReadExactly(json);
        long dataOffset = prefix.Length + (long)headerLength;
        return SafetensorsHeader.Parse(path, json, dataOffset, fileLength - dataOffset);
    }
}
