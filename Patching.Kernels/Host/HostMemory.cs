using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;

namespace Patching.Kernels;

/// <summary>
/// Native memory aligned to 2 MiB with huge pages requested where the system has them: a GEMM that walks a 10 MB weight matrix in 4 KiB pages spends a tenth of
/// its time in page-table walks.
/// </summary>
internal static partial class HostMemory
{
    private const nuint HugePage = 2u << 20;
    private const int AdviseHugePages = 14;

    /// <summary>Reserves <paramref name="bytes"/>; the contents are undefined.</summary>
    public static unsafe nint Allocate(long bytes)
    {
        bool large = bytes >= (long)HugePage;
        void* memory = NativeMemory.AlignedAlloc((nuint)bytes, large ? HugePage : 4096);
        if (large && OperatingSystem.IsLinux()) _ = Advise(memory, (nuint)bytes, AdviseHugePages);
        return (nint)memory;
    }

    /// <summary>
    /// Reserves <paramref name="bytes"/> that read as zero. What the system hands out is zero already: such pages are made when they are
    /// first touched, by the thread that needs them, not here.
    /// </summary>
    public static unsafe nint AllocateZeroed(long bytes)
    {
        bool large = bytes >= (long)HugePage;
        nuint alignment = large ? HugePage : 4096;
        nuint start = (nuint)NativeMemory.AllocZeroed((nuint)bytes + alignment);
        // At least 16 bytes lie between the two addresses; they hold the one to be freed.
        nuint aligned = (start + alignment) & ~(alignment - 1);
        ((nuint*)aligned)[-1] = start;
        if (large && OperatingSystem.IsLinux()) _ = Advise((void*)aligned, (nuint)bytes, AdviseHugePages);
        return (nint)aligned;
    }

    /// <summary>Returns what <see cref="Allocate"/> gave; zero is ignored.</summary>
    public static unsafe void Free(nint memory) => NativeMemory.AlignedFree((void*)memory);

    /// <summary>Returns what <see cref="AllocateZeroed"/> gave; zero is ignored.</summary>
    public static unsafe void FreeZeroed(nint memory)
    {
        if (memory != 0) NativeMemory.Free((void*)((nuint*)memory)[-1]);
    }

    /// <summary>Asks for the cache line of an address that will be needed soon; any address will do. Nothing where .NET has no instruction for it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void Prefetch(void* address)
    {
        if (Sse.IsSupported) Sse.Prefetch0(address);
    }

    /// <summary>The same into the second-level cache, for a stream that would push everything else out of the first.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static unsafe void PrefetchSecondLevel(void* address)
    {
        if (Sse.IsSupported) Sse.Prefetch1(address);
    }

    [LibraryImport("libc", EntryPoint = "madvise")]
    private static unsafe partial int Advise(void* address, nuint length, int advice);
}
