using ILGPU.IR.Intrinsics;

namespace Patching.Kernels;

/// <summary>Shared memory by address, a few words at a time; addresses are those of <see cref="SharedMemoryAccess.Address"/>.</summary>
internal static class SharedWords
{
    /// <summary>Loads 16 bytes.</summary>
    [IntrinsicImplementation, Ptx("ld.shared.v4.b32 $r, [$0];")]
    public static Word4 Load(uint address) => throw NoAddresses();

    /// <summary>Stores one number.</summary>
    [IntrinsicImplementation, Ptx("st.shared.f32 [$0], $1;")]
    public static void Store(uint address, float value) => throw NoAddresses();

    /// <summary>Starts to copy one number from global memory, or zero if <paramref name="bytes"/> is not 4 but 0.</summary>
    [IntrinsicImplementation, Ptx("cp.async.ca.shared.global [$0], [$g1], 4, $2;")]
    public static void CopyAsync(uint address, ref float source, int bytes) => throw NoAddresses();

    private static NotSupportedException NoAddresses() => new("shared memory has no addresses on the simulator");
}
