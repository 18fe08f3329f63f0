using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Patching.Kernels;

/// <summary>
/// One operand of a product, seen as lanes (rows of A, columns of B) by the common index k, in either memory order.
/// A kernel that steps through k wants a panel: the elements of a few lanes at one k side by side, the next k right behind. Then it reads
/// memory in one straight line whatever the matrix looked like. Rearranging costs a pass over the operand, mostly the wait for memory, and
/// pays from a dozen rows on.
/// </summary>
/// <param name="data">First element.</param>
/// <param name="lanes">Number of lanes.</param>
/// <param name="stride">Distance from one k to the next, or with <paramref name="lanesAdjacent"/> false from one lane to the next.</param>
/// <param name="lanesAdjacent">Whether neighbouring lanes, not neighbouring k, are neighbours in memory.</param>
internal readonly unsafe struct GemmPanels(float* data, long lanes, long stride, bool lanesAdjacent)
{
    // Transposing works through pieces of this length in k: source rows come in whole cache lines and the piece of the panel stays in the
    // nearest cache.
    private const int TransposeDepth = 64;

    // How far ahead rows are asked for when rows are copied: the processor foresees steps along a row, not from row to row.
    private const int RowsAhead = 16;

    private const int FloatsPerLine = 16;

    /// <summary>
    /// Writes neighbouring panels: panel i has the lanes from <paramref name="edges"/>[i] to the next edge, zeros where the operand has
    /// none, and begins at <c>(edges[i] - edges[0]) k</c> of the target.
    /// </summary>
    public void Pack(float* target, ReadOnlySpan<long> edges, long firstK, int k)
    {
        for (int i = 0; i + 1 < edges.Length; i++)
        {
            if (edges[i + 1] <= lanes) continue;
            new Span<float>(target + (edges[i] - edges[0]) * k, checked((int)(edges[i + 1] - edges[i]) * k)).Clear();
        }
        if (lanesAdjacent)
            CopyRows(target, edges, firstK, k);
        else
            for (int i = 0; i + 1 < edges.Length; i++) Transpose(target + (edges[i] - edges[0]) * k, edges[i], edges[i + 1], firstK, k);
    }

    /// <summary>
    /// How many neighbouring panels to pack in one call: where lanes are adjacent several, so that some whole cache lines of each row are
    /// used at a time; otherwise one, which is then still near when it is used.
    /// </summary>
    public int PanelsTogether => lanesAdjacent ? 4 : 1;

    /// <summary>Adds the sum over k of every lane of a packed panel to <paramref name="sums"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void AddSums(float* sums, float* panel, int width, int k)
    {
        float* totals = stackalloc float[GemmTile.WidestColumns];
        for (int next = 0; next < width && width >= Vector<float>.Count; next += Vector<float>.Count)
        {
            int lane = Math.Min(next, width - Vector<float>.Count);
            // Four sums at a time: an addition takes four times as long to arrive as to start.
            Vector<float> s0 = Vector<float>.Zero, s1 = Vector<float>.Zero, s2 = Vector<float>.Zero, s3 = Vector<float>.Zero;
            float* row = panel + lane;
            long left = k;
            for (; left >= 4; left -= 4, row += 4 * width)
            {
                s0 += Vector.Load(row);
                s1 += Vector.Load(row + width);
                s2 += Vector.Load(row + 2 * width);
                s3 += Vector.Load(row + 3 * width);
            }
            for (; left > 0; left--, row += width) s0 += Vector.Load(row);
            ((s0 + s1) + (s2 + s3)).Store(totals + lane);
        }
        for (int lane = 0; lane < width; lane++)
        {
            float total = totals[lane];
            if (width < Vector<float>.Count)
            {
                total = 0;
                for (long i = 0; i < k; i++) total += panel[i * width + lane];
            }
            sums[lane] += total;
        }
    }

    /// <summary>All panels in one pass: a row of the source is touched once, whole cache lines at a time.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private void CopyRows(float* target, ReadOnlySpan<long> edges, long firstK, int k)
    {
        long first = edges[0], end = Math.Min(edges[^1], lanes);
        float* row = data + firstK * stride;
        for (int i = 0; i < k; i++, row += stride)
        {
            for (long lane = first; lane < end; lane += FloatsPerLine) HostMemory.Prefetch(row + RowsAhead * stride + lane);
            for (int p = 0; p + 1 < edges.Length; p++)
            {
                long width = edges[p + 1] - edges[p];
                CopyLanes(target + (edges[p] - first) * k + i * width, row + edges[p], (int)(Math.Min(edges[p + 1], end) - edges[p]));
            }
        }
    }

    /// <summary>Copies in the widest steps that fit; the last step starts early enough to be whole.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void CopyLanes(float* target, float* source, int count)
    {
        if (count >= 16)
        {
            for (int lane = 0; lane < count - 16; lane += 16) Vector512.Load(source + lane).Store(target + lane);
            Vector512.Load(source + count - 16).Store(target + count - 16);
        }
        else if (count >= 8)
        {
            Vector256.Load(source).Store(target);
            Vector256.Load(source + count - 8).Store(target + count - 8);
        }
        else
        {
            for (int lane = 0; lane < count; lane++) target[lane] = source[lane];
        }
    }

    private void Transpose(float* panel, long firstLane, long endLane, long firstK, int k)
    {
        float* source = data + firstLane * stride + firstK;
        int width = (int)(endLane - firstLane), count = (int)(Math.Min(endLane, lanes) - firstLane);
        for (int done = 0; done < k; done += TransposeDepth)
            Transpose(panel + (long)done * width, width, source + done, stride, count, Math.Min(TransposeDepth, k - done));
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Transpose(float* panel, int width, float* source, long stride, int lanes, int k)
    {
        int group = Avx.IsSupported && lanes >= 8 ? 8 : 4, whole = lanes >= group ? k / 4 * 4 : 0;
        for (int next = 0; next < lanes && whole > 0; next += group)
        {
            // The last group starts early enough to be whole; the lanes it shares with its neighbour are written twice with the same
            // numbers.
            int lane = Math.Min(next, lanes - group);
            float* row = source + lane * stride;
            float* target = panel + lane;
            for (int i = 0; i < whole; i += 4, target += 4 * width)
            {
                if (i % FloatsPerLine == 0)
                {
                    for (int r = 0; r < group; r++) HostMemory.Prefetch(row + r * stride + i + TransposeDepth);
                }
                if (group == 8)
                    Transpose8x4(row + i, stride, target, width);
                else
                    Transpose4x4(row + i, stride, target, width);
            }
        }
        for (int i = whole; i < k; i++)
        {
            for (int lane = 0; lane < lanes; lane++) panel[i * width + lane] = source[lane * stride + i];
        }
    }

    /// <summary>Four k of eight lanes: the same shuffles as for four lanes, in both halves of the vectors.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Transpose8x4(float* source, long stride, float* target, int width)
    {
        float* upper = source + 4 * stride;
        Vector256<float> a = Vector256.Create(Vector128.Load(source), Vector128.Load(upper));
        Vector256<float> b = Vector256.Create(Vector128.Load(source + stride), Vector128.Load(upper + stride));
        Vector256<float> c = Vector256.Create(Vector128.Load(source + 2 * stride), Vector128.Load(upper + 2 * stride));
        Vector256<float> d = Vector256.Create(Vector128.Load(source + 3 * stride), Vector128.Load(upper + 3 * stride));
        Vector256<float> acLow = Avx.UnpackLow(a, c), bdLow = Avx.UnpackLow(b, d);
        Vector256<float> acHigh = Avx.UnpackHigh(a, c), bdHigh = Avx.UnpackHigh(b, d);
        Avx.UnpackLow(acLow, bdLow).Store(target);
        Avx.UnpackHigh(acLow, bdLow).Store(target + width);
        Avx.UnpackLow(acHigh, bdHigh).Store(target + 2 * width);
        Avx.UnpackHigh(acHigh, bdHigh).Store(target + 3 * width);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Transpose4x4(float* source, long stride, float* target, int width)
    {
        Vector128<float> a = Vector128.Load(source), b = Vector128.Load(source + stride);
        Vector128<float> c = Vector128.Load(source + 2 * stride), d = Vector128.Load(source + 3 * stride);
        Vector128<float> acLow = ZipLow(a, c), bdLow = ZipLow(b, d), acHigh = ZipHigh(a, c), bdHigh = ZipHigh(b, d);
        ZipLow(acLow, bdLow).Store(target);
        ZipHigh(acLow, bdLow).Store(target + width);
        ZipLow(acHigh, bdHigh).Store(target + 2 * width);
        ZipHigh(acHigh, bdHigh).Store(target + 3 * width);
    }

    /// <summary>a0 b0 a1 b1.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> ZipLow(Vector128<float> a, Vector128<float> b)
    {
        if (Sse.IsSupported) return Sse.UnpackLow(a, b);
        if (AdvSimd.Arm64.IsSupported) return AdvSimd.Arm64.ZipLow(a, b);
        return Vector128.Create(a[0], b[0], a[1], b[1]);
    }

    /// <summary>a2 b2 a3 b3.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> ZipHigh(Vector128<float> a, Vector128<float> b)
    {
        if (Sse.IsSupported) return Sse.UnpackHigh(a, b);
        if (AdvSimd.Arm64.IsSupported) return AdvSimd.Arm64.ZipHigh(a, b);
        return Vector128.Create(a[2], b[2], a[3], b[3]);
    }
}
