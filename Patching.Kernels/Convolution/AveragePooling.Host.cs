using System.Numerics;
using System.Runtime.CompilerServices;

namespace Patching.Kernels;

/// <content>The host implementation: rows of the result are divided among the threads, channels are vectors.</content>
public static partial class AveragePooling
{
    private static unsafe void ForwardHost(HostThreads threads, Tensor y, Tensor x, int size, int window)
    {
        float* py = y.HostFloats, px = x.HostFloats;
        int channels = x.Columns, pooled = size / window;
        threads.For(y.Rows, (first, end) =>
        {
            for (long row = first; row < end; row++)
            {
                long image = row / ((long)pooled * pooled), top = row / pooled % pooled * window, left = row % pooled * window;
                float* corner = px + ((image * size + top) * size + left) * channels, target = py + row * channels;
                HostRow.Fill(target, 0, channels);
                for (int ky = 0; ky < window; ky++)
                    for (int kx = 0; kx < window; kx++)
                        HostRow.Sum(target, target, corner + ((long)ky * size + kx) * channels, channels);
                AddScaled(target, target, 1f / (window * window), channels, accumulate: false);
            }
        });
    }

    private static unsafe void BackwardHost(HostThreads threads, Tensor dx, Tensor dy, int size, int window, bool accumulate)
    {
        float* pdx = dx.HostFloats, pdy = dy.HostFloats;
        int channels = dx.Columns, pooled = size / window;
        float share = 1f / (window * window);
        threads.For(dx.Rows, (first, end) =>
        {
            for (long pixel = first; pixel < end; pixel++)
            {
                long image = pixel / ((long)size * size), row = pixel / size % size / window, column = pixel % size / window;
                if (row < pooled && column < pooled)
                    AddScaled(pdx + pixel * channels, pdy + ((image * pooled + row) * pooled + column) * channels, share, channels, accumulate);
                else if (!accumulate)
                    HostRow.Fill(pdx + pixel * channels, 0, channels);
            }
        });
    }

    /// <summary>Writes <c>y = factor x</c>, or <c>y += factor x</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void AddScaled(float* y, float* x, float factor, int count, bool accumulate)
    {
        int c = 0;
        for (; c + Vector<float>.Count <= count; c += Vector<float>.Count)
        {
            Vector<float> value = Vector.Load(x + c) * factor;
            (accumulate ? Vector.Load(y + c) + value : value).Store(y + c);
        }
        for (; c < count; c++) y[c] = accumulate ? y[c] + x[c] * factor : x[c] * factor;
    }
}
