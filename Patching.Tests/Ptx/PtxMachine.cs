using System.Runtime.InteropServices;

namespace Patching.Tests.Ptx;

/// <summary>Executes kernels as a GPU would, and finds fault with what a GPU would leave undefined.</summary>
internal static unsafe class PtxMachine
{
    private const int MaxSharedBytes = 227 * 1024;

    private static int _launches;

    /// <summary>Executes a kernel to its end. <paramref name="parameters"/> is the parameter buffer as the entry lays it out.</summary>
    /// <exception cref="PtxFault">The kernel or the launch does what a GPU would not survive.</exception>
    public static LaunchStatistics Launch(
        PtxEntry entry, Dim3 grid, Dim3 block, int dynamicSharedBytes, ReadOnlySpan<byte> parameters, DeviceMemory memory)
    {
        Check(entry, grid, block, dynamicSharedBytes, parameters.Length);
        byte* buffer = (byte*)NativeMemory.AlignedAlloc((nuint)Math.Max(entry.ParameterBytes, 64), 64);
        try
        {
            parameters.CopyTo(new Span<byte>(buffer, entry.ParameterBytes));
            return Execute(new Launch(entry, grid, block, dynamicSharedBytes, buffer, memory, Interlocked.Increment(ref _launches)));
        }
        finally
        {
            NativeMemory.AlignedFree(buffer);
        }
    }

    private static LaunchStatistics Execute(Launch launch)
    {
        long blocks = launch.Grid.Count, next = -1;
        Counters[] counters = new Counters[launch.Entry.Code.Length];
        PtxFault? fault = null;
        long faultBlock = long.MaxValue;
        Lock finished = new();
        int workers = (int)Math.Min(Environment.ProcessorCount, blocks);
        if (workers == 1) Work();
        else Task.WaitAll([.. Enumerable.Range(0, workers).Select(_ => Task.Run(Work))]);
        return fault == null ? new LaunchStatistics(launch.Entry, counters) : throw fault;

        void Work()
        {
            using Cta cta = new(launch);
            for (long number = Interlocked.Increment(ref next); number < blocks; number = Interlocked.Increment(ref next))
            {
                if (Volatile.Read(ref fault) != null) break;
                try
                {
                    cta.Execute(number);
                }
                catch (PtxFault thrown)
                {
                    // Of faults found at the same time, the first block's is told.
                    lock (finished)
                    {
                        if (number < faultBlock) (fault, faultBlock) = (thrown, number);
                    }
                    break;
                }
            }
            lock (finished)
            {
                for (int i = 0; i < counters.Length; i++) counters[i].Add(cta.Counters[i]);
            }
        }
    }

    private static void Check(PtxEntry entry, Dim3 grid, Dim3 block, int dynamicSharedBytes, int parameterBytes)
    {
        string launch = $"{entry.Name}: launch of {grid} blocks of {block} threads";
        if (grid.X < 1 || grid.Y < 1 || grid.Z < 1 || grid.Y > 65535 || grid.Z > 65535) throw new PtxFault($"{launch}: grid not allowed");
        if (block.X < 1 || block.Y < 1 || block.Z < 1 || block.Z > 64 || block.Count > 1024) throw new PtxFault($"{launch}: block not allowed");
        if (entry.MaxThreads is { } most && block.Count > most.Count) throw new PtxFault($"{launch}: .maxntid allows {most}");
        int shared = entry.StaticSharedBytes + dynamicSharedBytes;
        if (dynamicSharedBytes < 0 || shared > MaxSharedBytes) throw new PtxFault($"{launch}: {shared} bytes of shared memory, {MaxSharedBytes} are there");
        if (parameterBytes != entry.ParameterBytes) throw new PtxFault($"{launch}: {parameterBytes} bytes of parameters, the kernel has {entry.ParameterBytes}");
    }
}
