using ILGPU.IR.Intrinsics;

namespace Patching.Kernels;

/// <summary>Shared memory by address, and copies into it that run beside the arithmetic (<c>cp.async</c>, sm_80).</summary>
internal static class SharedMemoryAccess
{
    /// <summary>Address of an element in the shared window, as <c>ldmatrix</c> and <c>cp.async</c> want it.</summary>
    [IntrinsicImplementation, Ptx("mov.u32 $r, $s0;")]
    public static uint Address(ref Word4 element) => throw NoAddresses();

    /// <summary>Starts to copy 16 bytes from global to shared memory, both aligned to 16, past the L1 cache.</summary>
    [IntrinsicImplementation, Ptx("cp.async.cg.shared.global [$0], [$g1], 16;")]
    public static void CopyAsync(uint sharedAddress, ref Word4 source) => throw NoAddresses();

    /// <summary>
    /// The same for the first <paramref name="bytes"/> (0 to 16) of the source; the rest of the 16 bytes becomes zero and is not read: how ragged edges load.
    /// </summary>
    [IntrinsicImplementation, Ptx("cp.async.cg.shared.global [$0], [$g1], 16, $2;")]
    public static void CopyAsync(uint sharedAddress, ref Word4 source, int bytes) => throw NoAddresses();

    /// <summary>Closes a group of this thread's copies.</summary>
    [IntrinsicImplementation, Ptx("cp.async.commit_group;")]
    public static void CommitCopies() => throw NoAddresses();

    /// <summary>Waits until at most <paramref name="groups"/> (a constant) of this thread's latest groups are still copying.</summary>
    [IntrinsicImplementation, Ptx("cp.async.wait_group $i0;")]
    public static void WaitForCopies(int groups) => throw NoAddresses();

    private static NotSupportedException NoAddresses() => new("shared memory has no addresses on the simulator");
}
