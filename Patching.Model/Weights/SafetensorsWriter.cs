using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Text.Json;
using Microsoft.Win32.SafeHandles;

namespace Patching.Model.Weights;

/// <summary>A tensor to be written: name, element type, shape.</summary>
/// <param name="Name">Name in the file.</param>
/// <param name="DType">Element type.</param>
/// <param name="Shape">Sizes, outermost first; empty for a scalar.</param>
public readonly record struct SafetensorsTensor(string Name, SafetensorsType DType, IReadOnlyList<long> Shape)
{
    /// <summary>Bytes of the tensor.</summary>
    public long Length => Shape.Aggregate((long)TensorEntry.ElementSize(DType), (bytes, size) => checked(bytes * size));
}

/// <summary>
/// Writes a safetensors file tensor by tensor, in the order announced, holding no more than a small buffer in memory. The bytes go to a
/// temporary file in the same folder, which gets its name in <see cref="Complete"/>; disposing before that leaves nothing behind. The same
/// arguments give the same bytes. Room on the disk is reserved at the beginning, and the disk works from the beginning, not only when all has been handed to the system.
/// </summary>
/// <example><code>
/// using var writer = new SafetensorsWriter(path, metadata, [new("weight", SafetensorsType.BF16, [2, 3])]);
/// writer.Write(values);   // in as many pieces as convenient; the next tensor begins when this one is full
/// writer.Complete();
/// </code></example>
public sealed class SafetensorsWriter : IDisposable
{
    private const int BufferElements = 1 << 16;

    // Between two requests to write out what the system holds: large enough for the disk, small enough that little is left at the end.
    private const long FlushInterval = 32 << 20;

    private readonly string _path;
    private readonly string _temporary;
    private readonly bool _overwrite;
    private readonly SafeFileHandle _handle;
    private readonly IReadOnlyList<SafetensorsTensor> _tensors;
    private readonly byte[] _buffer = new byte[BufferElements * sizeof(float)];
    private readonly int _headerLength;
    private long _position;
    private long _flushedAt;
    private Task _flush = Task.CompletedTask;
    private int _tensor;
    private long _left;
    private bool _completed;

    /// <summary>Creates the temporary file and writes the header.</summary>
    /// <param name="path">The file to be created; its folder must exist.</param>
    /// <param name="metadata">Texts for <c>__metadata__</c>, written in ordinal order of their keys.</param>
    /// <param name="tensors">The tensors, in the order in which their values will be written.</param>
    /// <param name="overwrite">Whether an existing file may be replaced.</param>
    /// <exception cref="InputException">The file exists or cannot be created.</exception>
    public SafetensorsWriter(
        string path, IReadOnlyDictionary<string, string> metadata, IReadOnlyList<SafetensorsTensor> tensors, bool overwrite = false)
    {
        _path = path;
        _overwrite = overwrite;
        _tensors = tensors;
        if (!overwrite && File.Exists(path))
            throw new InputException($"{path}: exists already; name another file or ask for it to be overwritten");
        _temporary = $"{path}.{Guid.NewGuid():N}.tmp";
        byte[] header = Header(metadata, tensors);
        _headerLength = header.Length;
        try
        {
            _handle = File.OpenHandle(
                _temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None, preallocationSize: header.Length + tensors.Sum(tensor => tensor.Length));
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{path}: cannot be written ({error.Message})", error);
        }
        try
        {
            Put(header);
        }
        catch
        {
            Dispose();
            throw;
        }
        _left = tensors.Count > 0 ? tensors[0].Length : 0;
        SkipFull();
    }

    /// <summary>Appends values to the current F32, F16 or BF16 tensor, rounding to nearest even.</summary>
    /// <exception cref="InputException">A finite value is too large for the tensor's type.</exception>
    public void Write(ReadOnlySpan<float> values)
    {
        while (!values.IsEmpty)
        {
            SafetensorsTensor tensor = Current();
            int size = TensorEntry.ElementSize(tensor.DType);
            int count = (int)Math.Min(Math.Min(values.Length, BufferElements), _left / size);
            if (tensor.DType == SafetensorsType.F32)
            {
                Append(MemoryMarshal.AsBytes(values[..count]));
                values = values[count..];
                continue;
            }
            Span<byte> bytes = _buffer.AsSpan(0, count * size);
            FloatConversion.FromFloat32(bytes, values[..count], tensor.DType);
            RefuseOverflow(tensor, values[..count], bytes);
            Append(bytes);
            values = values[count..];
        }
    }

    /// <summary>Appends one element to the current I64 tensor.</summary>
    public void WriteInt64(long value)
    {
        if (Current().DType != SafetensorsType.I64) throw new InvalidOperationException($"{Current().Name} is {Current().DType}");
        BinaryPrimitives.WriteInt64LittleEndian(_buffer, value);
        Append(_buffer.AsSpan(0, sizeof(long)));
    }

    /// <summary>Appends elements to the current tensor bit by bit.</summary>
    /// <typeparam name="T">A type as wide as the tensor's elements.</typeparam>
    public void WriteBits<T>(ReadOnlySpan<T> values)
        where T : unmanaged
    {
        while (!values.IsEmpty)
        {
            int size = TensorEntry.ElementSize(Current().DType);
            if (Unsafe.SizeOf<T>() != size) throw new InvalidOperationException($"{Current().Name} is {Current().DType}, not {typeof(T).Name}");
            int count = (int)Math.Min(values.Length, _left / size);
            Append(MemoryMarshal.AsBytes(values[..count]));
            values = values[count..];
        }
    }

    /// <summary>Replaces the texts of the header by others that take as many bytes: for what becomes known while the tensors are written.</summary>
    /// <exception cref="ArgumentException">They take more or fewer bytes.</exception>
    public void ReplaceMetadata(IReadOnlyDictionary<string, string> metadata)
    {
        byte[] header = Header(metadata, _tensors);
        if (header.Length != _headerLength) throw new ArgumentException($"a header of {header.Length} bytes cannot replace one of {_headerLength}", nameof(metadata));
        RandomAccess.Write(_handle, header, 0);
    }

    /// <summary>Flushes to the disk and gives the file its name. Every announced tensor must have been written.</summary>
    /// <exception cref="InputException">The file has come into being meanwhile and may not be replaced.</exception>
    public void Complete()
    {
        if (_tensor < _tensors.Count) throw new InvalidOperationException($"{_tensors[_tensor].Name} is not complete");
        _flush.GetAwaiter().GetResult();
        RandomAccess.FlushToDisk(_handle);
        _handle.Dispose();
        try
        {
            File.Move(_temporary, _path, _overwrite);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{_path}: cannot be written ({error.Message})", error);
        }
        _completed = true;
    }

    /// <summary>Closes the file, and removes it unless it was completed.</summary>
    public void Dispose()
    {
        // What went wrong with a file that is given up does not matter.
        Task.WaitAny(_flush);
        _ = _flush.Exception;
        _handle.Dispose();
        if (!_completed) File.Delete(_temporary);
    }

    private SafetensorsTensor Current() =>
        _tensor < _tensors.Count ? _tensors[_tensor] : throw new InvalidOperationException("every tensor is already complete");

    private void Append(ReadOnlySpan<byte> bytes)
    {
        Put(bytes);
        _left -= bytes.Length;
        SkipFull();
    }

    private void Put(ReadOnlySpan<byte> bytes)
    {
        RandomAccess.Write(_handle, bytes, _position);
        _position += bytes.Length;
        if (_position - _flushedAt < FlushInterval || !_flush.IsCompletedSuccessfully) return;
        _flushedAt = _position;
        // It waits for the disk, not for the processor.
        _flush = Task.Factory.StartNew(() => RandomAccess.FlushToDisk(_handle), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    private void SkipFull()
    {
        while (_left == 0 && _tensor < _tensors.Count)
        {
            _tensor++;
            _left = _tensor < _tensors.Count ? _tensors[_tensor].Length : 0;
        }
    }

    private void RefuseOverflow(SafetensorsTensor tensor, ReadOnlySpan<float> values, ReadOnlySpan<byte> bytes)
    {
        Span<float> back = stackalloc float[256];
        int size = TensorEntry.ElementSize(tensor.DType);
        for (int i = 0; i < values.Length; i += back.Length)
        {
            Span<float> part = back[..Math.Min(back.Length, values.Length - i)];
            FloatConversion.ToFloat32(part, bytes.Slice(i * size, part.Length * size), tensor.DType);
            if (FloatConversion.CountNonFinite(part) > FloatConversion.CountNonFinite(values.Slice(i, part.Length)))
                throw new InputException($"{_path}: values of {tensor.Name} are too large for {tensor.DType}; write F32 instead");
        }
    }

    private static byte[] Header(IReadOnlyDictionary<string, string> metadata, IReadOnlyList<SafetensorsTensor> tensors)
    {
        var buffer = new ArrayBufferWriter<byte>();
        buffer.Write(stackalloc byte[sizeof(ulong)]);
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            if (metadata.Count > 0) WriteMetadata(json, metadata);
            long offset = 0;
            foreach (SafetensorsTensor tensor in tensors)
            {
                json.WriteStartObject(tensor.Name);
                json.WriteString("dtype", tensor.DType.ToString());
                WriteNumbers(json, "shape", tensor.Shape);
                WriteNumbers(json, "data_offsets", [offset, offset + tensor.Length]);
                json.WriteEndObject();
                offset += tensor.Length;
            }
            json.WriteEndObject();
        }
        // Spaces up to a multiple of 8 keep the data aligned.
        while (buffer.WrittenCount % 8 != 0) buffer.Write(" "u8);
        byte[] header = buffer.WrittenSpan.ToArray();
        BinaryPrimitives.WriteInt64LittleEndian(header, header.Length - sizeof(ulong));
        return header;
    }

    private static void WriteMetadata(Utf8JsonWriter json, IReadOnlyDictionary<string, string> metadata)
    {
        json.WriteStartObject(SafetensorsHeader.MetadataName);
        foreach ((string key, string text) in metadata.OrderBy(pair => pair.Key, StringComparer.Ordinal)) json.WriteString(key, text);
        json.WriteEndObject();
    }

    private static void WriteNumbers(Utf8JsonWriter json, string name, IReadOnlyList<long> numbers)
    {
        json.WriteStartArray(name);
        foreach (long number in numbers) json.WriteNumberValue(number);
        json.WriteEndArray();
    }
}
