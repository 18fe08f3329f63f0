using System.Buffers;
using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Runtime.InteropServices;

namespace Patching.Model.Weights;

/// <summary>
/// Named tensors in a file or several, whatever the container: safetensors (<see cref="SafetensorsFile"/>), PyTorch's containers
/// (<see cref="TorchFile"/>), and either of them split into shards (<see cref="ShardedTensorFile"/>). Opening checks everything that can be
/// checked without touching the values; the values are read in place, piece by piece, when they are asked for.
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

    /// <summary>
    /// Whether what has been read is given back at once. A file is mapped, so it costs no memory that the system could not take back, but without this a pass over
    /// all of it looks as if all of it were held.
    /// </summary>
    internal bool ReadsOnce { get; set; }

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
        int chunk = Math.Min(ChunkElements, destination.Length);
        byte[] scratch = ArrayPool<byte>.Shared.Rent(chunk * TensorEntry.ElementSize(entry.DType));
        for (int done = 0; done < destination.Length; done += chunk)
        {
            Span<float> part = destination.Slice(done, Math.Min(chunk, destination.Length - done));
            FloatConversion.ToFloat32(part, Elements(entry, first + done, part.Length, scratch), entry.DType);
            if (ReadsOnce) Forget();
        }
        ArrayPool<byte>.Shared.Return(scratch);
    }

    /// <summary>Number of values that are NaN or infinite, as float32: a number that float32 cannot hold is infinite.</summary>
    /// <param name="name">A tensor of type F32, F16, BF16 or F64.</param>
    public long CountNonFinite(string name)
    {
        TensorEntry entry = Find(name);
        float[] values = ArrayPool<float>.Shared.Rent(ChunkElements);
        long count = 0;
        for (long done = 0; done < entry.Elements; done += ChunkElements)
        {
            int length = (int)Math.Min(ChunkElements, entry.Elements - done);
            Span<float> part = values.AsSpan(0, length);
            if (entry.DType == SafetensorsType.F32)
            {
                // In place where the file has them as they are.
                count += FloatConversion.CountNonFinite(MemoryMarshal.Cast<byte, float>(Elements(entry, done, length, MemoryMarshal.AsBytes(part))));
                continue;
            }
            ReadFloat32(name, done, part);
            count += FloatConversion.CountNonFinite(part);
        }
        ArrayPool<float>.Shared.Return(values);
        return count;
    }

    /// <summary>Reads an I64 tensor of one element.</summary>
    /// <exception cref="InputException">The tensor has another type or number of elements.</exception>
    public long ReadInt64Scalar(string name)
    {
        TensorEntry entry = Find(name);
        if (entry.DType != SafetensorsType.I64 || entry.Elements != 1)
            throw new InputException($"{Path}: tensor '{HostileText.Show(name)}' is {entry.DType} {entry.ShapeText}; expected one I64");
        return BinaryPrimitives.ReadInt64LittleEndian(Elements(entry, 0, 1, stackalloc byte[sizeof(long)]));
    }

    /// <summary>Closes what is open.</summary>
    public abstract void Dispose();

    /// <summary>The bytes of consecutive elements in row-major order: in place where they lie so in the file, else gathered.</summary>
    /// <param name="entry">One of <see cref="Tensors"/>.</param>
    /// <param name="first">First element.</param>
    /// <param name="count">How many; they must exist.</param>
    /// <param name="scratch">Room for them.</param>
    internal abstract ReadOnlySpan<byte> Elements(TensorEntry entry, long first, int count, Span<byte> scratch);

    /// <summary>Says that all of it will be read soon.</summary>
    internal abstract void Prefetch();

    /// <summary>Gives back the memory of what has been read.</summary>
    internal abstract void Forget();

    private protected TensorEntry Find(string name) =>
        Tensors.TryGetValue(name, out TensorEntry? entry)
            ? entry
            : throw new ArgumentException($"{Path} has no tensor {name}", nameof(name));
}
