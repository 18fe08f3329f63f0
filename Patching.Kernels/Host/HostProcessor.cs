using System.Runtime.Intrinsics.X86;
using System.Text;

namespace Patching.Kernels;

/// <summary>What the host's kernels choose their shapes by. Nothing here changes what is summed in which order.</summary>
internal static class HostProcessor
{
    private const int IntelCaches = 4, AmdCaches = unchecked((int)0x8000001D);
    private const long UsualSecondLevel = 1 << 20;

    /// <summary>Whether the processor is Intel's.</summary>
    public static bool IsIntel { get; } = Vendor() == "GenuineIntel";

    /// <summary>Bytes of a core's second-level cache; 1 MiB where the processor does not say.</summary>
    public static long SecondLevelBytes { get; } = FindSecondLevel();

    private static string Vendor()
    {
        if (!X86Base.IsSupported) return "";
        (_, int b, int c, int d) = X86Base.CpuId(0, 0);
        Span<byte> name = stackalloc byte[12];
        BitConverter.TryWriteBytes(name, b);
        BitConverter.TryWriteBytes(name[4..], d);
        BitConverter.TryWriteBytes(name[8..], c);
        return Encoding.ASCII.GetString(name);
    }

    /// <summary>Goes through the caches that the processor lists: type and level, then ways, partitions, line and sets, each less one.</summary>
    private static long FindSecondLevel()
    {
        if (!X86Base.IsSupported) return UsualSecondLevel;
        int function = Vendor() == "GenuineIntel" ? IntelCaches : AmdCaches;
        int start = function & int.MinValue;
        if ((uint)X86Base.CpuId(start, 0).Eax < (uint)function) return UsualSecondLevel;
        for (int i = 0; i < 8; i++)
        {
            (int a, int b, int c, _) = X86Base.CpuId(function, i);
            if ((a & 31) == 0) break;
            if ((a >> 5 & 7) == 2) return ((b >>> 22) + 1L) * ((b >> 12 & 1023) + 1) * ((b & 4095) + 1) * ((uint)c + 1L);
        }
        return UsualSecondLevel;
    }
}
