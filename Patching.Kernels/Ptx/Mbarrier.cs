using System.Runtime.CompilerServices;
using ILGPU.IR.Intrinsics;

namespace Patching.Kernels;

/// <summary>
/// Barriers in shared memory (sm_90): eight bytes, aligned, that count arrivals and bytes. A phase is over when as many threads have arrived as it was
/// initialised for and all bytes that were announced are there; the next one begins at once. Who waits names the parity (0, 1, 0, ...) of the phase it wants to
/// be over, and so must never be two phases behind. What happened before an arrival, and the copies whose bytes were counted, can be seen after the wait.
/// </summary>
internal static class Mbarrier
{
    /// <summary>Bytes of a barrier.</summary>
    public const int Bytes = 8;

    /// <summary>Makes a barrier for so many arrivals in each phase.</summary>
    [IntrinsicImplementation, Ptx("mbarrier.init.shared::cta.b64 [$0], $1;")]
    public static void Initialize(uint address, int arrivals) => throw NoBarriers();

    /// <summary>Makes barriers that this thread has initialised known to the copy engine; other threads need an ordinary barrier too.</summary>
    [IntrinsicImplementation, Ptx("fence.mbarrier_init.release.cluster;")]
    public static void PublishInitialized() => throw NoBarriers();

    /// <summary>Arrives, and announces bytes that copies will bring in this phase.</summary>
    [IntrinsicImplementation, Ptx("mbarrier.arrive.expect_tx.shared::cta.b64 _, [$0], $1;")]
    public static void ArriveExpecting(uint address, int bytes) => throw NoBarriers();

    /// <summary>One arrival of the warp, by its first lane, if <paramref name="condition"/> is not 0; without a branch.</summary>
    [IntrinsicImplementation, Ptx(
        "{ .reg .pred %first; .reg .u32 %lane; mov.u32 %lane, %laneid; setp.eq.u32 %first, %lane, 0; "
        + "setp.ne.and.s32 %first, $1, 0, %first; @%first mbarrier.arrive.shared::cta.b64 _, [$0]; }")]
    public static void ArriveOnce(uint address, int condition) => throw NoBarriers();

    /// <summary>1 if the phase of this parity is over, otherwise 0, after having waited for a while.</summary>
    [IntrinsicImplementation, Ptx("{ .reg .pred %p; mbarrier.try_wait.parity.shared::cta.b64 %p, [$0], $1; selp.b32 $r, 1, 0, %p; }")]
    public static int TryWait(uint address, int parity) => throw NoBarriers();

    /// <summary>Waits until the phase of this parity is over.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Wait(uint address, int parity)
    {
        while (TryWait(address, parity) == 0)
        {
        }
    }

    private static NotSupportedException NoBarriers() => new("barriers in memory have no emulation on the simulator");
}
