using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Patching.Kernels;

/// <summary>
/// One operand of a product, seen as lanes (rows of A, columns of B) by the common index k, in either memory order.
/// A kernel that steps through k wants a panel: the elements of a few lanes at one k side by side, the next k right behind. Then it reads memory in one straight
/// line whatever the matrix looked like. Rearranging costs a pass over the operand and pays from a dozen rows on.
/// </summary>
/// <param name="data">First element.</param>
/// <param name="stride">Distance from one k to the next, or with <paramref name="lanesAdjacent"/> false from one lane to the next.</param>
/// <param name="lanesAdjacent">Whether neighbouring lanes, not neighbouring k, are neighbours in memory.</param>
internal readonly unsafe struct GemmPanels(float* data, long stride, bool lanesAdjacent)
{
    // Transposing works through pieces of this length in k: source rows come in whole cache lines and the piece of the panel stays in the nearest cache.
    private const int TransposeDepth = 64;

    /// <summary>Writes <c>panel[k, lane]</c> with rows of <paramref name="width"/>, zeros where there is no lane.</summary>
    /// <param name="panel">[k, width].</param>
    /// <param name="width">Lanes of the panel.</param>
    /// <param name="firstLane">The panel's first lane in the operand.</param>
    /// <param name="lanes">Lanes that exist, 1 to <paramref name="width"/>.</param>
    /// <param name="firstK">Its first k in the operand.</param>
    /// <param name="k">How many k.</param>
    public void Pack(float* panel, int width, long firstLane, int lanes, long firstK, int k)
    {
        if (lanes < width) new Span<float>(panel, checked(k * width)).Clear();
        if (lanesAdjacent)
        {
            CopyRows(panel, width, data + firstK * stride + firstLane, stride, lanes, k);
            return;
        }
        float* source = data + firstLane * stride + firstK;
        for (int done = 0; done < k; done += TransposeDepth)
            Transpose(panel + (long)done * width, width, source + done, stride, lanes, Math.Min(TransposeDepth, k - done));
    }

    /// <summary>Adds the sum over k of every lane to <paramref name="sums"/>; only for adjacent lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public void AddSums(float* sums, long firstLane, int lanes, long firstK, int k)
    {
        float* source = data + firstK * stride + firstLane;
        int lane = 0;
        for (; lane + Vector<float>.Count <= lanes; lane += Vector<float>.Count)
        {
            Vector<float> sum = Vector<float>.Zero;
            for (int i = 0; i < k; i++) sum += Vector.Load(source + i * stride + lane);
            (Vector.Load(sums + firstLane + lane) + sum).Store(sums + firstLane + lane);
        }
        for (; lane < lanes; lane++)
        {
            float sum = 0;
            for (int i = 0; i < k; i++) sum += source[i * stride + lane];
            sums[firstLane + lane] += sum;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void CopyRows(float* panel, int width, float* source, long stride, int lanes, int k)
    {
        for (int i = 0; i < k; i++, source += stride, panel += width)
        {
            int lane = 0;
            for (; lane + 8 <= lanes; lane += 8) Vector256.Load(source + lane).Store(panel + lane);
            for (; lane + 4 <= lanes; lane += 4) Vector128.Load(source + lane).Store(panel + lane);
            for (; lane < lanes; lane++) panel[lane] = source[lane];
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Transpose(float* panel, int width, float* source, long stride, int lanes, int k)
    {
        int whole = k / 4 * 4;
        for (int group = 0; group < lanes && lanes >= 4; group += 4)
        {
            // The last group starts early enough to be whole; the lanes it shares with its neighbour are written twice with the same numbers.
            int lane = Math.Min(group, lanes - 4);
            float* row = source + lane * stride;
            float* target = panel + lane;
            for (int i = 0; i < whole; i += 4, target += 4 * width) Transpose4x4(row + i, stride, target, width);
        }
        for (int i = lanes >= 4 ? whole : 0; i < k; i++)
        {
            for (int lane = 0; lane < lanes; lane++) panel[i * width + lane] = source[lane * stride + i];
        }
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
