using System.Buffers;
using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Runtime.InteropServices;

namespace Patching.Model.Weights;

/// <summary>
/// Named tensors in a file or several, whatever the container: safetensors (<see cref="SafetensorsFile"/>), PyTorch's containers
/// (<see cref="TorchFile"/>), and either of them split into shards (<see cref="ShardedTensorFile"/>). Opening checks everything that can be
/// checked without touching the values; the values are read when they are asked for, straight to where they are wanted.
/// </summary>
public abstract class TensorFile : IDisposable
{
    private const int ChunkElements = 1 << 16;

    private protected TensorFile(string path) => Path = path;

    /// <summary>The file that was opened; of a sharded model the index.</summary>
    public string Path { get; }

    /// <summary>What kind of file it is, for people.</summary>
    public abstract string Container { get; }

    /// <summary>The tensors by name.</summary>
    public abstract IReadOnlyDictionary<string, TensorEntry> Tensors { get; }

    /// <summary>Texts that describe the tensors; empty where there are none.</summary>
    public abstract IReadOnlyDictionary<string, string> Metadata { get; }

    /// <summary>Every file that belongs to it, in the order in which they are hashed.</summary>
    public virtual ImmutableArray<string> Files => [Path];

    /// <summary>What was left out or renamed on the way to <see cref="Tensors"/>, a sentence each.</summary>
    public virtual ImmutableArray<string> Notes => [];

    /// <summary>Opens a file of any known kind, told by its first bytes.</summary>
    /// <exception cref="InputException">The file cannot be read, is of no known kind or not valid; the message says why in one
    /// line.</exception>
    public static TensorFile Open(string path)
    {
        if (path.EndsWith(ShardedTensorFile.IndexSuffix, StringComparison.Ordinal)) return ShardedTensorFile.Open(path);
        bool isTorch;
        using (MappedFile file = MappedFile.Open(path)) isTorch = TorchFile.Recognises(file);
        return isTorch ? TorchFile.Open(path) : SafetensorsFile.Open(path);
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
        TensorEntry entry = Find(name);
        if (!TensorEntry.IsFloat(entry.DType))
            throw new InputException($"{Path}: tensor '{HostileText.Show(name)}' is {entry.DType}; expected F32, F16, BF16 or F64");
        ArgumentOutOfRangeException.ThrowIfNegative(first);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(first, entry.Elements - destination.Length);
        if (entry.DType == SafetensorsType.F32)
        {
            Copy(entry, first, MemoryMarshal.AsBytes(destination));
            return;
        }
        int size = TensorEntry.ElementSize(entry.DType), chunk = Math.Min(ChunkElements, destination.Length);
        byte[] scratch = ArrayPool<byte>.Shared.Rent(chunk * size);
        for (int done = 0; done < destination.Length; done += chunk)
        {
            Span<float> part = destination.Slice(done, Math.Min(chunk, destination.Length - done));
            Span<byte> stored = scratch.AsSpan(0, part.Length * size);
            Copy(entry, first + done, stored);
            FloatConversion.ToFloat32(part, stored, entry.DType);
        }
        ArrayPool<byte>.Shared.Return(scratch);
    }

    /// <summary>Reads an I64 tensor of one element.</summary>
    /// <exception cref="InputException">The tensor has another type or number of elements.</exception>
    public long ReadInt64Scalar(string name)
    {
        TensorEntry entry = Find(name);
        if (entry.DType != SafetensorsType.I64 || entry.Elements != 1)
            throw new InputException($"{Path}: tensor '{HostileText.Show(name)}' is {entry.DType} {entry.ShapeText}; expected one I64");
        Span<byte> value = stackalloc byte[sizeof(long)];
        Copy(entry, 0, value);
        return BinaryPrimitives.ReadInt64LittleEndian(value);
    }

    /// <summary>Closes what is open.</summary>
    public abstract void Dispose();

    /// <summary>Copies the bytes of consecutive elements in row-major order, however they lie in the file.</summary>
    /// <param name="entry">One of <see cref="Tensors"/>.</param>
    /// <param name="first">First element.</param>
    /// <param name="destination">Receives as many elements as it has room for; they must exist.</param>
    internal abstract void Copy(TensorEntry entry, long first, Span<byte> destination);

    private protected TensorEntry Find(string name) =>
        Tensors.TryGetValue(name, out TensorEntry? entry)
            ? entry
            : throw new ArgumentException($"{Path} has no tensor {name}", nameof(name));
}
