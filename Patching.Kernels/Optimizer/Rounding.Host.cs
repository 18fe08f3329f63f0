namespace Patching.Kernels;

/// <content>The host implementation; the host itself never computes with bfloat16.</content>
public static partial class Rounding
{
    private static unsafe void ForwardHost(HostThreads threads, Tensor rounded, Tensor x)
    {
        float* px = x.HostFloats;
        ushort* py = rounded.HostBFloats;
        threads.For(x.Count, (first, end) =>
        {
            for (long i = first; i < end; i++) py[i] = BFloat16.FromSingle(px[i]);
        }, 64);
    }
}
