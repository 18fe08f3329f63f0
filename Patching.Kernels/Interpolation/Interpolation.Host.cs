using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Patching.Kernels;

/// <content>
/// The host implementation: bound by memory, so large results that are not also an input bypass the caches (non-temporal stores), which
/// saves reading the destination before it is overwritten, and go out as whole cache lines, which takes fewer buffers than two halves. The .NET compiler never contracts a multiplication and an addition, so the
/// rounding is the stated one.
/// </content>
public static partial class Interpolation
{
    // Results below this many elements (8 MiB) may still be in a cache when they are read next.
    internal const long StreamingCount = 2 << 20;

    private static unsafe void ForwardHost(HostThreads threads, Tensor y, Tensor theta0, Tensor theta1, float weight0, float weight1)
    {
        float* py = y.HostFloats, p0 = theta0.HostFloats, p1 = theta1.HostFloats;
        bool streams = Streams(py, y.Count) && py != p0 && py != p1;
        threads.For(y.Count, (first, end) =>
        {
            if (streams)
                StreamRange(py + first, p0 + first, p1 + first, end - first, weight0, weight1);
            else
                StoreRange(py + first, p0 + first, p1 + first, end - first, weight0, weight1);
        }, 64);
    }

    private static unsafe void CopyHost(HostThreads threads, Tensor y, Tensor source)
    {
        float* py = y.HostFloats, p = source.HostFloats;
        if (py == p) return;
        bool streams = Streams(py, y.Count);
        threads.For(y.Count, (first, end) =>
        {
            if (streams)
                StreamCopy(py + first, p + first, end - first);
            else
                Buffer.MemoryCopy(p + first, py + first, (end - first) * sizeof(float), (end - first) * sizeof(float));
        }, 64);
    }

    private static unsafe bool Streams(float* y, long count) => count >= StreamingCount && (nuint)y % (nuint)sizeof(Vector512<float>) == 0;

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void StoreRange(float* y, float* theta0, float* theta1, long count, float weight0, float weight1)
    {
        Vector<float> w0 = Vector.Create(weight0), w1 = Vector.Create(weight1);
        long i = 0;
        for (; i + Vector<float>.Count <= count; i += Vector<float>.Count)
            (w0 * Vector.Load(theta0 + i) + w1 * Vector.Load(theta1 + i)).Store(y + i);
        if (i < count)
            HostTail.Store(w0 * HostTail.Load(theta0 + i, count - i) + w1 * HostTail.Load(theta1 + i, count - i), y + i, count - i);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void StreamRange(float* y, float* theta0, float* theta1, long count, float weight0, float weight1)
    {
        Vector512<float> w0 = Vector512.Create(weight0), w1 = Vector512.Create(weight1);
        long i = 0;
        for (; i + Vector512<float>.Count <= count; i += Vector512<float>.Count)
            (w0 * Vector512.Load(theta0 + i) + w1 * Vector512.Load(theta1 + i)).StoreAlignedNonTemporal(y + i);
        StoreRange(y + i, theta0 + i, theta1 + i, count - i, weight0, weight1);
        // Non-temporal stores become visible to other threads in order only after a fence.
        Thread.MemoryBarrier();
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void StreamCopy(float* y, float* source, long count)
    {
        long i = 0;
        for (; i + Vector512<float>.Count <= count; i += Vector512<float>.Count)
            Vector512.Load(source + i).StoreAlignedNonTemporal(y + i);
        for (; i < count; i++) y[i] = source[i];
        Thread.MemoryBarrier();
    }
}
