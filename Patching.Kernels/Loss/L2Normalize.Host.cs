using System.Numerics;
using System.Runtime.CompilerServices;

namespace Patching.Kernels;

/// <content>The host implementation: one row at a time, which stays in the first-level cache between its two passes.</content>
public static partial class L2Normalize
{
    private static unsafe void ForwardHost(HostThreads threads, Tensor y, Tensor inverseNorm, Tensor x)
    {
        int columns = x.Columns;
        float* py = y.HostFloats, px = x.HostFloats, pInverse = inverseNorm.Exists ? inverseNorm.HostFloats : null;
        threads.For(x.Rows, (first, end) =>
        {
            for (long row = first; row < end; row++)
            {
                float* source = px + row * columns;
                float scale = 1 / MathF.Sqrt(Dot(source, source, columns));
                Scale(py + row * columns, source, columns, scale);
                if (pInverse != null) pInverse[row] = scale;
            }
        });
    }

    private static unsafe void BackwardHost(HostThreads threads, Tensor dx, Tensor dy, Tensor y, Tensor inverseNorm)
    {
        int columns = y.Columns;
        float* pdx = dx.HostFloats, pdy = dy.HostFloats, py = y.HostFloats, pInverse = inverseNorm.HostFloats;
        threads.For(y.Rows, (first, end) =>
        {
            for (long row = first; row < end; row++)
            {
                long at = row * columns;
                Tangential(pdx + at, pdy + at, py + at, columns, Dot(pdy + at, py + at, columns), pInverse[row]);
            }
        });
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe float Dot(float* a, float* b, int columns)
    {
        Vector<float> s0 = default, s1 = default;
        int width = Vector<float>.Count, c = 0;
        for (; c + 2 * width <= columns; c += 2 * width)
        {
            s0 = Vector.FusedMultiplyAdd(Vector.Load(a + c), Vector.Load(b + c), s0);
            s1 = Vector.FusedMultiplyAdd(Vector.Load(a + c + width), Vector.Load(b + c + width), s1);
        }
        float sum = Vector.Sum(s0 + s1);
        for (; c < columns; c++) sum += a[c] * b[c];
        return sum;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void Scale(float* y, float* x, int columns, float scale)
    {
        int c = 0;
        for (; c + Vector<float>.Count <= columns; c += Vector<float>.Count) (Vector.Load(x + c) * scale).Store(y + c);
        for (; c < columns; c++) y[c] = x[c] * scale;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void Tangential(float* dx, float* dy, float* y, int columns, float radial, float scale)
    {
        Vector<float> r = Vector.Create(-radial);
        int c = 0;
        for (; c + Vector<float>.Count <= columns; c += Vector<float>.Count)
            (Vector.FusedMultiplyAdd(Vector.Load(y + c), r, Vector.Load(dy + c)) * scale).Store(dx + c);
        for (; c < columns; c++) dx[c] = (dy[c] - y[c] * radial) * scale;
    }
}
