using ILGPU.IR.Intrinsics;

namespace Patching.Kernels;

/// <summary>
/// Moves registers between the warpgroups of a group (sm_90a). All threads get the same number at the launch; a warpgroup that only asks for copies gives most
/// of them to those that add up. Numbers are constants, 24 to 256, multiples of 8; all warps of a warpgroup must take part.
/// </summary>
internal static class WarpgroupRegisters
{
    /// <summary>Keeps so many registers per thread and gives back the rest.</summary>
    [IntrinsicImplementation, Ptx("setmaxnreg.dec.sync.aligned.u32 $i0;")]
    public static void Release(int kept) => throw NoRegisters();

    /// <summary>Waits until so many registers per thread can be had, and takes them.</summary>
    [IntrinsicImplementation, Ptx("setmaxnreg.inc.sync.aligned.u32 $i0;")]
    public static void Claim(int wanted) => throw NoRegisters();

    private static NotSupportedException NoRegisters() => new("the simulator's threads have no registers to give");
}
