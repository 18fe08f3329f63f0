using System.Numerics;
using ILGPU;

namespace Patching.Kernels;

/// <summary>Sums of squares, element by element: how the gradients of single images become the diagonal of the Fisher information.</summary>
public static class SquaredSum
{
    /// <summary>Accumulates <c>y += x * x</c>, the product and the sum each rounded to single precision.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="y">The sums, accumulated into.</param>
    /// <param name="x">What is squared, with as many elements.</param>
    public static void Forward(Device device, Tensor y, Tensor x)
    {
        Require.SameCount(y, x);
        if (device.IsHost)
            ForwardHost(device.Threads, y, x);
        else
            device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>>(ForwardKernel))(
                Require.Extent(y.Count), y.Floats, x.Floats);
    }

    // The detour over double precision keeps a compiler from fusing product and sum: both steps are exact in it before they are rounded.
    private static void ForwardKernel(Index1D i, ArrayView<float> y, ArrayView<float> x)
    {
        float square = (float)((double)x[i] * x[i]);
        y[i] = (float)((double)y[i] + square);
    }

    private static unsafe void ForwardHost(HostThreads threads, Tensor y, Tensor x)
    {
        float* py = y.HostFloats, px = x.HostFloats;
        threads.For(y.Count, (first, end) =>
        {
            long i = first;
            for (; i + Vector<float>.Count <= end; i += Vector<float>.Count)
            {
                Vector<float> value = Vector.Load(px + i);
                (Vector.Load(py + i) + value * value).Store(py + i);
            }
            for (; i < end; i++) py[i] += px[i] * px[i];
        }, 64);
    }
}
