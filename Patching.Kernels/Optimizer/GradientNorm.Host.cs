using System.Numerics;
using System.Runtime.CompilerServices;

namespace Patching.Kernels;

/// <content>The host implementation: a fixed number of segments, whose sums are added in order whichever thread made them.</content>
public static partial class GradientNorm
{
    private const int Segments = 256;

    private static unsafe void ForwardHost(HostThreads threads, Tensor result, Tensor gradient, Tensor scratch, float maxNorm)
    {
        float* pg = gradient.HostFloats;
        double* sums = (double*)scratch.HostFloats;
        long count = gradient.Count;
        long length = (count + Segments * 64 - 1) / (Segments * 64) * 64;
        threads.For(Segments, (first, end) =>
        {
            for (long s = first; s < end; s++) sums[s] = SumOfSquares(pg + s * length, Math.Clamp(count - s * length, 0, length));
        });
        double sum = 0;
        for (int s = 0; s < Segments; s++) sum += sums[s];
        double norm = Math.Sqrt(sum);
        result.HostFloats[Norm] = (float)norm;
        result.HostFloats[Coefficient] = float.IsFinite((float)norm) ? (float)Math.Min(1, maxNorm / (norm + NormFloor)) : float.NaN;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe double SumOfSquares(float* g, long count)
    {
        Vector<double> s0 = default, s1 = default, s2 = default, s3 = default;
        int width = Vector<float>.Count;
        long i = 0;
        for (; i + 2 * width <= count; i += 2 * width)
        {
            Vector.Widen(Vector.Load(g + i), out Vector<double> a, out Vector<double> b);
            Vector.Widen(Vector.Load(g + i + width), out Vector<double> c, out Vector<double> d);
            s0 = Vector.FusedMultiplyAdd(a, a, s0);
            s1 = Vector.FusedMultiplyAdd(b, b, s1);
            s2 = Vector.FusedMultiplyAdd(c, c, s2);
            s3 = Vector.FusedMultiplyAdd(d, d, s3);
        }
        double sum = Vector.Sum(s0 + s1 + (s2 + s3));
        for (; i < count; i++) sum += (double)g[i] * g[i];
        return sum;
    }
}
