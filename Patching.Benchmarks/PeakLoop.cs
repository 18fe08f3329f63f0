using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using Patching.Kernels;

namespace Patching.Benchmarks;

/// <summary>
/// Independent chains of multiply-adds that never leave the registers: what the arithmetic units of this machine can do at most.
/// </summary>
internal static unsafe class PeakLoop
{
    // Twelve chains hide the latency of two units and leave room in 16 registers.
    private const int Chains = 12;
    private const long Turns = 200_000;

    private static float sink;

    /// <summary>Operations of one <see cref="Run"/>.</summary>
    public static double Operations(int threads) => 2.0 * Chains * Turns * GemmTile.Best.Lanes * threads;

    /// <summary>Runs the chains on every thread.</summary>
    public static void Run(HostThreads threads) => threads.Run(_ =>
    {
        sink = GemmTile.Best.Lanes switch
        {
            16 => Multiply<Lanes16, Vector512<float>>(),
            8 => Multiply<Lanes8, Vector256<float>>(),
            _ => Multiply<Lanes4, Vector128<float>>(),
        };
    });

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static float Multiply<TLanes, TVector>()
        where TLanes : struct, ILanes<TVector>
        where TVector : struct
    {
        float almostOne = 0.999999f;
        TVector x = TLanes.Broadcast(&almostOne);
        TVector c0 = x, c1 = x, c2 = x, c3 = x, c4 = x, c5 = x, c6 = x, c7 = x, c8 = x, c9 = x, c10 = x, c11 = x;
        for (long i = 0; i < Turns; i++)
        {
            c0 = TLanes.MultiplyAdd(c0, x, x);
            c1 = TLanes.MultiplyAdd(c1, x, x);
            c2 = TLanes.MultiplyAdd(c2, x, x);
            c3 = TLanes.MultiplyAdd(c3, x, x);
            c4 = TLanes.MultiplyAdd(c4, x, x);
            c5 = TLanes.MultiplyAdd(c5, x, x);
            c6 = TLanes.MultiplyAdd(c6, x, x);
            c7 = TLanes.MultiplyAdd(c7, x, x);
            c8 = TLanes.MultiplyAdd(c8, x, x);
            c9 = TLanes.MultiplyAdd(c9, x, x);
            c10 = TLanes.MultiplyAdd(c10, x, x);
            c11 = TLanes.MultiplyAdd(c11, x, x);
        }
        TVector first = TLanes.MultiplyAdd(TLanes.MultiplyAdd(c0, c1, c2), c3, TLanes.MultiplyAdd(c4, c5, c6));
        return TLanes.Sum(TLanes.MultiplyAdd(first, TLanes.MultiplyAdd(c7, c8, c9), TLanes.MultiplyAdd(c10, c11, x)));
    }
}
