using System.Numerics;
using System.Runtime.CompilerServices;

namespace Patching.Kernels;

/// <summary>What the embeddings do with one row on the host.</summary>
internal static unsafe class HostRow
{
    /// <summary>Writes <c>y = a + b</c>; <paramref name="y"/> may be either of them.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public static void Sum(float* y, float* a, float* b, int width)
    {
        int c = 0;
        for (; c + Vector<float>.Count <= width; c += Vector<float>.Count) (Vector.Load(a + c) + Vector.Load(b + c)).Store(y + c);
        for (; c < width; c++) y[c] = a[c] + b[c];
    }

    /// <summary>Writes <c>y = x</c>.</summary>
    public static void Copy(float* y, float* x, int width) =>
        Buffer.MemoryCopy(x, y, (long)width * sizeof(float), (long)width * sizeof(float));

    /// <summary>Writes one value everywhere.</summary>
    public static void Fill(float* y, float value, int width) => new Span<float>(y, width).Fill(value);
}
