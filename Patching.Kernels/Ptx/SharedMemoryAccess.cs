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

    /// <summary>
    /// Starts to copy 8 bytes, both addresses aligned to 8, of which the first <paramref name="bytes"/> (0 to 8) are read and the rest become zero: for rows
    /// that are not aligned to 16 bytes. These copies pass through the L1 cache; there is no other kind of this size.
    /// </summary>
    [IntrinsicImplementation, Ptx("cp.async.ca.shared.global [$0], [$g1], 8, $2;")]
    public static void CopyAsync(uint sharedAddress, ref Word2 source, int bytes) => throw NoAddresses();

    /// <summary>Closes a group of this thread's copies.</summary>
    [IntrinsicImplementation, Ptx("cp.async.commit_group;")]
    public static void CommitCopies() => throw NoAddresses();

    /// <summary>Waits until at most <paramref name="groups"/> (a constant) of this thread's latest groups are still copying.</summary>
    [IntrinsicImplementation, Ptx("cp.async.wait_group $i0;")]
    public static void WaitForCopies(int groups) => throw NoAddresses();

    /// <summary>Stores 16 bytes at an aligned address.</summary>
    [IntrinsicImplementation, Ptx("st.shared.v4.b32 [$0], $1;")]
    public static void Store(uint sharedAddress, Word4 value) => throw NoAddresses();

    /// <summary>Stores two numbers at an address aligned to 8.</summary>
    [IntrinsicImplementation, Ptx("st.shared.v2.f32 [$0], {$1, $2};")]
    public static void Store(uint sharedAddress, float x, float y) => throw NoAddresses();

    /// <summary>Four numbers at an address aligned to 16.</summary>
    [IntrinsicImplementation, Ptx("ld.shared.v4.f32 $r, [$0];")]
    public static Float4 LoadFloats(uint sharedAddress) => throw NoAddresses();

    /// <summary>The number at an address aligned to 4.</summary>
    [IntrinsicImplementation, Ptx("ld.shared.f32 $r, [$0];")]
    public static float LoadFloat(uint sharedAddress) => throw NoAddresses();

    private static NotSupportedException NoAddresses() => new("shared memory has no addresses on the simulator");
}
