using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Patching.Kernels;

/// <summary>
/// Where a product's tiles go and what happens to them on the way. A tile leaves the registers for a small buffer in the nearest cache and
/// from there, once, goes to memory with everything applied; ragged edges cost nothing extra because the buffer is always whole.
/// </summary>
internal unsafe struct GemmOutput
{
    /// <summary>Two lines per row of each of four matrices, or three of each of nine rows.</summary>
    public const int MostLines = 14 * 2 * 4;

    private const int FloatsPerLine = 16;

    /// <summary>First element of the output matrix.</summary>
    public required float* Y { get; init; }

    /// <summary>Its row length; also that of the matrices below.</summary>
    public required long Stride { get; init; }

    /// <summary>Whether the sums are added to what is there.</summary>
    public bool Accumulate { get; init; }

    /// <summary>Added to every row, or null.</summary>
    public float* Bias { get; init; }

    /// <summary>Receives the sums after the bias, or null.</summary>
    public float* PreActivation { get; init; }

    /// <summary>Applied after the bias, or null.</summary>
    public ActivationKind? Activation { get; init; }

    /// <summary>Added last, or null.</summary>
    public float* Residual { get; init; }

    /// <summary>The sums are multiplied by <see cref="Derivative"/>' of these numbers, or null.</summary>
    public float* DerivativeOf { get; init; }

    /// <summary>The activation that belongs to <see cref="DerivativeOf"/>.</summary>
    public ActivationKind Derivative { get; init; }

    private readonly bool IsPlain =>
        Bias == null && PreActivation == null && Activation == null && Residual == null && DerivativeOf == null;

    /// <summary>Writes a tile of sums over one part of k.</summary>
    /// <param name="tile">[rows, tileStride].</param>
    /// <param name="tileStride">Row length of the tile buffer.</param>
    /// <param name="row">First row in the output.</param>
    /// <param name="rows">Rows of the tile.</param>
    /// <param name="column">First column in the output.</param>
    /// <param name="columns">Columns of the tile inside the output.</param>
    /// <param name="add">Whether to add to the output: it holds the sums over earlier parts, or is accumulated into.</param>
    /// <param name="last">Whether these parts complete the sums, so that the epilogue is due.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public readonly void Write(float* tile, int tileStride, long row, int rows, long column, int columns, bool add, bool last)
    {
        if (!last || IsPlain)
        {
            WritePlain(tile, tileStride, Y + row * Stride + column, rows, columns, add);
            return;
        }
        for (int r = 0; r < rows; r++)
        {
            long offset = (row + r) * Stride + column;
            float* sums = tile + r * tileStride;
            int c = 0;
            for (; c + Vector<float>.Count <= columns; c += Vector<float>.Count)
            {
                Vector<float> sum = Vector.Load(sums + c);
                if (add) sum += Vector.Load(Y + offset + c);
                sum = Finish(sum, offset + c, column + c);
                sum.Store(Y + offset + c);
            }
            if (c < columns) WriteTail(sums + c, offset + c, column + c, columns - c, add);
        }
    }

    /// <summary>
    /// Lists the cache lines that <see cref="Write"/> is going to touch, so that they can be asked for in time: the rows are too far apart
    /// for the processor to foresee.
    /// </summary>
    /// <returns>How many; at most <see cref="MostLines"/> for a tile of 14 x 32.</returns>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public readonly int Lines(float** lines, long row, long endRow, long column, int columns, bool last)
    {
        int count = 0;
        last &= !IsPlain;
        for (; row < endRow; row++)
        {
            for (long offset = row * Stride + column, end = offset + columns; offset < end; offset += FloatsPerLine)
            {
                lines[count++] = Y + offset;
                if (!last) continue;
                if (PreActivation != null) lines[count++] = PreActivation + offset;
                if (Residual != null) lines[count++] = Residual + offset;
                if (DerivativeOf != null) lines[count++] = DerivativeOf + offset;
            }
        }
        return count;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private readonly Vector<float> Finish(Vector<float> sum, long offset, long column)
    {
        if (Bias != null) sum += Vector.Load(Bias + column);
        if (PreActivation != null) sum.Store(PreActivation + offset);
        if (Activation is { } kind) sum = Value(sum, kind);
        if (Residual != null) sum += Vector.Load(Residual + offset);
        if (DerivativeOf != null) sum *= Slope(Vector.Load(DerivativeOf + offset));
        return sum;
    }

    private readonly void WriteTail(float* sums, long offset, long column, int count, bool add)
    {
        Vector<float> sum = HostTail.Load(sums, count);
        if (add) sum += HostTail.Load(Y + offset, count);
        if (Bias != null) sum += HostTail.Load(Bias + column, count);
        if (PreActivation != null) HostTail.Store(sum, PreActivation + offset, count);
        if (Activation is { } kind) sum = Value(sum, kind);
        if (Residual != null) sum += HostTail.Load(Residual + offset, count);
        if (DerivativeOf != null) sum *= Slope(HostTail.Load(DerivativeOf + offset, count));
        HostTail.Store(sum, Y + offset, count);
    }

    /// <summary>
    /// Sums without an epilogue. Short sums (the gradient of a weight over 50 rows) spend as long here as in the multiplication if every
    /// vector asks which epilogue it has.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private readonly void WritePlain(float* tile, int tileStride, float* y, int rows, int columns, bool add)
    {
        for (int r = 0; r < rows; r++, tile += tileStride, y += Stride)
        {
            int c = 0;
            for (; c + FloatsPerLine <= columns; c += FloatsPerLine)
            {
                Vector512<float> sum = Vector512.Load(tile + c);
                if (add) sum += Vector512.Load(y + c);
                sum.Store(y + c);
            }
            for (; c < columns; c += Vector<float>.Count)
            {
                int count = Math.Min(Vector<float>.Count, columns - c);
                Vector<float> sum = HostTail.Load(tile + c, count);
                if (add) sum += HostTail.Load(y + c, count);
                HostTail.Store(sum, y + c, count);
            }
        }
    }

    private static Vector<float> Value(Vector<float> x, ActivationKind kind) =>
        kind == ActivationKind.QuickGelu ? Kernels.Activation.QuickGelu.Value(x) : Kernels.Activation.Gelu.Value(x);

    private readonly Vector<float> Slope(Vector<float> x) =>
        Derivative == ActivationKind.QuickGelu ? Kernels.Activation.QuickGelu.Derivative(x) : Kernels.Activation.Gelu.Derivative(x);
}
