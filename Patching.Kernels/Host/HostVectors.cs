using System.Runtime.Intrinsics;

namespace Patching.Kernels;

/// <summary>What the processor's vector units can do.</summary>
internal static class HostVectors
{
    /// <summary>Bits of the widest vectors the runtime compiles to hardware instructions here.</summary>
    public static int WidestBits =>
        Vector512.IsHardwareAccelerated ? 512 : Vector256.IsHardwareAccelerated ? 256 : Vector128.IsHardwareAccelerated ? 128 : 64;
}
