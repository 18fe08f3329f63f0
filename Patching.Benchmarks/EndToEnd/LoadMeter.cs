using System.Globalization;

namespace Patching.Benchmarks.EndToEnd;

/// <summary>
/// How much of the machine others used while something was timed: busy time of all cores (Linux's <c>/proc/stat</c>) minus the processor
/// time of the worker.
/// </summary>
internal static class LoadMeter
{
    // Jiffies per second of every Linux that .NET runs on.
    private const double JiffiesPerSecond = 100;

    /// <summary>The load averages over 1, 5 and 15 minutes.</summary>
    public static string Averages =>
        File.Exists("/proc/loadavg") ? string.Join(' ', File.ReadAllText("/proc/loadavg").Split(' ').Take(3)) : "unknown";

    /// <summary>Bytes of memory that can be had without swapping.</summary>
    public static long AvailableMemory
    {
        get
        {
            if (!File.Exists("/proc/meminfo")) return GC.GetGCMemoryInfo().TotalAvailableMemoryBytes;
            string line = File.ReadLines("/proc/meminfo").First(l => l.StartsWith("MemAvailable:", StringComparison.Ordinal));
            return 1024 * long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
        }
    }

    /// <summary>Seconds that all cores together were busy, or stolen by the hypervisor, since the machine started; NaN where that cannot
    /// be known.</summary>
    public static double BusySeconds
    {
        get
        {
            if (!File.Exists("/proc/stat")) return double.NaN;
            long[] times = [.. File.ReadLines("/proc/stat").First().Split(' ', StringSplitOptions.RemoveEmptyEntries).Skip(1)
                .Select(time => long.Parse(time, CultureInfo.InvariantCulture))];
            // user, nice, system, (idle, iowait,) irq, softirq, steal
            return (times[0] + times[1] + times[2] + times[5] + times[6] + times[7]) / JiffiesPerSecond;
        }
    }
}
