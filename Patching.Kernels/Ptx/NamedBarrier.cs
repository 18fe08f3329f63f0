using ILGPU.IR.Intrinsics;

namespace Patching.Kernels;

/// <summary>The sixteen barriers of a group, for some of its warps; number 0 is that of <c>Group.Barrier</c>.</summary>
internal static class NamedBarrier
{
    /// <summary>Waits until so many threads (a constant, whole warps) have come to the barrier, those that only arrive among them.</summary>
    [IntrinsicImplementation, Ptx("bar.sync $0, $i1;")]
    public static void Synchronize(int number, int threads) => throw NoWarps();

    /// <summary>Comes to the barrier and goes on.</summary>
    [IntrinsicImplementation, Ptx("bar.arrive $0, $i1;")]
    public static void Arrive(int number, int threads) => throw NoWarps();

    private static NotSupportedException NoWarps() => new("barriers of some warps have no emulation on the simulator");
}
