using System.Numerics;
using System.Runtime.CompilerServices;

namespace Patching.Kernels;

/// <content>The host implementation.</content>
public static partial class LogitScale
{
    private static unsafe void ForwardHost(HostThreads threads, Tensor y, Tensor x, Tensor logScale)
    {
        float* py = y.HostFloats, px = x.HostFloats;
        float scale = MathF.Exp(logScale.HostFloats[0]);
        threads.For(x.Count, (first, end) => Scale(py + first, px + first, end - first, scale), 64);
    }

    private static unsafe void BackwardHost(HostThreads threads, Tensor dx, Tensor dlogScale, Tensor dy, Tensor y, Tensor logScale, Tensor rowSums)
    {
        int columns = y.Columns;
        float* pdx = dx.HostFloats, pdy = dy.HostFloats, py = y.HostFloats, sums = rowSums.HostFloats;
        float scale = MathF.Exp(logScale.HostFloats[0]);
        threads.For(y.Rows, (first, end) =>
        {
            for (long row = first; row < end; row++)
            {
                long at = row * columns;
                sums[row] = Dot(pdy + at, py + at, columns);
                Scale(pdx + at, pdy + at, columns, scale);
            }
        });
        double sum = dlogScale.HostFloats[0];
        for (int row = 0; row < y.Rows; row++) sum += sums[row];
        dlogScale.HostFloats[0] = (float)sum;
    }

    // A NaN stays one: training that has diverged must be seen.
    private static unsafe void ClampHost(Tensor logScale, float most) => logScale.HostFloats[0] = MathF.Min(MathF.Max(logScale.HostFloats[0], 0), most);

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void Scale(float* y, float* x, long count, float scale)
    {
        long i = 0;
        for (; i + Vector<float>.Count <= count; i += Vector<float>.Count) (Vector.Load(x + i) * scale).Store(y + i);
        for (; i < count; i++) y[i] = x[i] * scale;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe float Dot(float* a, float* b, int columns)
    {
        Vector<float> sums = default;
        int c = 0;
        for (; c + Vector<float>.Count <= columns; c += Vector<float>.Count)
            sums = Vector.FusedMultiplyAdd(Vector.Load(a + c), Vector.Load(b + c), sums);
        float sum = Vector.Sum(sums);
        for (; c < columns; c++) sum += a[c] * b[c];
        return sum;
    }
}
