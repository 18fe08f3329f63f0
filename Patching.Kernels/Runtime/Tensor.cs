using ILGPU;
using ILGPU.Runtime;

namespace Patching.Kernels;

/// <summary>
/// A view of device memory with an element type and a shape, row-major and dense. It owns nothing: memory belongs to an <see cref="Arena"/>.
/// The default value is "no tensor" and is what optional arguments of launchers take.
/// </summary>
public readonly struct Tensor
{
    private readonly ArrayView<byte> memory;

    /// <summary>Creates a view over <paramref name="memory"/>, whose length must be that of the shape.</summary>
    public Tensor(ArrayView<byte> memory, ElementType type, Shape shape)
    {
        if (memory.IsValid && memory.Length != shape.Count * type.Bytes())
            throw new ArgumentException($"{memory.Length} bytes cannot be a {type} tensor of shape {shape}");
        this.memory = memory;
        Type = type;
        Shape = shape;
    }

    /// <summary>Type of the elements.</summary>
    public ElementType Type { get; }

    /// <summary>Extents, outermost first.</summary>
    public Shape Shape { get; }

    /// <summary>Number of elements.</summary>
    public long Count => memory.IsValid ? Shape.Count : 0;

    /// <summary>Rows of the matrix view: all extents but the last multiplied.</summary>
    public int Rows => Shape.Rows;

    /// <summary>Columns of the matrix view: the last extent.</summary>
    public int Columns => Shape.Columns;

    /// <summary>Whether there is a tensor here at all.</summary>
    public bool Exists => memory.IsValid;

    /// <summary>The elements as single-precision numbers.</summary>
    public ArrayView<float> Floats => As(ElementType.Float32).Cast<float>();

    /// <summary>The elements as 32-bit integers.</summary>
    public ArrayView<int> Ints => As(ElementType.Int32).Cast<int>();

    /// <summary>The elements as bytes.</summary>
    public ArrayView<byte> Bytes => As(ElementType.UInt8);

    /// <summary>The elements as the bits of bfloat16 numbers.</summary>
    public ArrayView<ushort> BFloats => As(ElementType.BFloat16).Cast<ushort>();

    /// <summary>Address of the first element; only on devices whose memory is the processor's.</summary>
    public unsafe float* HostFloats => (float*)As(ElementType.Float32).LoadEffectiveAddressAsPtr();

    /// <summary>Address of the first element; only on devices whose memory is the processor's.</summary>
    public unsafe int* HostInts => (int*)As(ElementType.Int32).LoadEffectiveAddressAsPtr();

    /// <summary>Address of the first element; only on devices whose memory is the processor's.</summary>
    public unsafe ushort* HostBFloats => (ushort*)As(ElementType.BFloat16).LoadEffectiveAddressAsPtr();

    /// <summary>Address of the first element; only on devices whose memory is the processor's.</summary>
    public unsafe byte* HostBytes => (byte*)As(ElementType.UInt8).LoadEffectiveAddressAsPtr();

    /// <summary>
    /// The elements as wider pieces, such as four numbers that one instruction loads; whatever the element type. What does not fill a piece at the end is left
    /// out.
    /// </summary>
    internal ArrayView<T> Pieces<T>()
        where T : unmanaged
        => memory.SubView(0, memory.Length / Interop.SizeOf<T>() * Interop.SizeOf<T>()).Cast<T>();

    /// <summary>Whether the first element's address is a multiple of this many bytes: what wide accesses ask.</summary>
    internal bool IsAligned(int bytes) => (long)memory.LoadEffectiveAddressAsPtr() % bytes == 0;

    /// <summary>The same elements under another shape of equal count.</summary>
    public Tensor Reshape(params ReadOnlySpan<int> extents) => new(memory, Type, new Shape(extents));

    /// <summary>Rows <paramref name="first"/> to <paramref name="first"/> + <paramref name="count"/> of the matrix view, shape [count, columns].</summary>
    public Tensor SliceRows(int first, int count)
    {
        long rowBytes = (long)Columns * Type.Bytes();
        return new Tensor(Cut(first * rowBytes, count * rowBytes), Type, new Shape(count, Columns));
    }

    /// <summary>The first elements of this memory under another, not larger shape: how a short last batch uses buffers made for a full one.</summary>
    public Tensor Prefix(params ReadOnlySpan<int> extents)
    {
        Shape shape = new(extents);
        return new Tensor(Cut(0, shape.Count * Type.Bytes()), Type, shape);
    }

    /// <summary>Copies all elements from the processor's memory, rounded where the elements are bfloat16.</summary>
    public void CopyFrom(ReadOnlySpan<float> source)
    {
        RequireCount(source.Length);
        if (Type == ElementType.BFloat16)
        {
            ushort[] rounded = new ushort[source.Length];
            for (int i = 0; i < rounded.Length; i++) rounded[i] = BFloat16.FromSingle(source[i]);
            BFloats.CopyFromCPU(Accelerator.DefaultStream, rounded);
            return;
        }
        Floats.CopyFromCPU(Accelerator.DefaultStream, source);
    }

    /// <inheritdoc cref="CopyFrom(ReadOnlySpan{float})"/>
    public void CopyFrom(ReadOnlySpan<int> source)
    {
        RequireCount(source.Length);
        Ints.CopyFromCPU(Accelerator.DefaultStream, source);
    }

    /// <inheritdoc cref="CopyFrom(ReadOnlySpan{float})"/>
    public void CopyFrom(ReadOnlySpan<byte> source)
    {
        RequireCount(source.Length);
        Bytes.CopyFromCPU(Accelerator.DefaultStream, source);
    }

    /// <summary>Copies all elements from another tensor of the same device, type and count.</summary>
    public void CopyFrom(Tensor source)
    {
        RequireCount(source.Count);
        source.As(Type).CopyTo(Accelerator.DefaultStream, memory);
    }

    /// <summary>Copies all elements to the processor's memory and waits for them.</summary>
    public void CopyTo(Span<float> destination)
    {
        RequireCount(destination.Length);
        if (Type == ElementType.BFloat16)
        {
            ushort[] bits = new ushort[destination.Length];
            BFloats.CopyToCPU(Accelerator.DefaultStream, bits);
            Accelerator.DefaultStream.Synchronize();
            for (int i = 0; i < bits.Length; i++) destination[i] = BFloat16.ToSingle(bits[i]);
            return;
        }
        Floats.CopyToCPU(Accelerator.DefaultStream, destination);
        Accelerator.DefaultStream.Synchronize();
    }

    /// <inheritdoc cref="CopyTo(Span{float})"/>
    public void CopyTo(Span<int> destination)
    {
        RequireCount(destination.Length);
        Ints.CopyToCPU(Accelerator.DefaultStream, destination);
        Accelerator.DefaultStream.Synchronize();
    }

    /// <summary>All elements in a new array; waits for them.</summary>
    public float[] ToArray()
    {
        float[] copy = new float[Count];
        CopyTo(copy);
        return copy;
    }

    /// <summary>Sets every byte to zero.</summary>
    public void Clear() => memory.MemSetToZero(Accelerator.DefaultStream);

    /// <inheritdoc/>
    public override string ToString() => Exists ? $"{Type}{Shape}" : "no tensor";

    private Accelerator Accelerator => memory.GetAccelerator();

    // A tensor of an arena that is only being planned has no memory to cut.
    private ArrayView<byte> Cut(long offset, long bytes) => memory.IsValid ? memory.SubView(offset, bytes) : default;

    private ArrayView<byte> As(ElementType type) => Type == type
        ? memory
        : throw new InvalidOperationException($"a {Type} tensor of shape {Shape} was used as {type}");

    private void RequireCount(long count)
    {
        if (count != Count) throw new ArgumentException($"{count} elements for a tensor of shape {Shape}");
    }
}
