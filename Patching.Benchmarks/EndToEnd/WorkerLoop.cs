using System.Diagnostics;
using System.Globalization;

namespace Patching.Benchmarks.EndToEnd;

/// <summary>
/// The child's side of a measurement. Commands arrive as lines on standard input and are answered by one line each that begins with <see
/// cref="Mark"/>
/// (native libraries may write other lines): <c>output FILE</c>, <c>go SECONDS</c>, <c>memory</c>. The end of the input ends the process.
/// </summary>
internal static class WorkerLoop
{
    /// <summary>Begins every answer.</summary>
    public const string Mark = "@";

    /// <summary>Begins the answer of a worker that cannot do its work.</summary>
    public const string Failed = "failed ";

    // Work shorter than this meets caches that another process has filled, which a user's second batch would not.
    private const double WarmUpBelowSeconds = 0.3;

    /// <summary>Answers commands until the input ends.</summary>
    public static int Run(WorkerJob job)
    {
        try
        {
            using IWorkload workload = job.Open();
            Answer("ready");
            double last = 0;
            while (Console.In.ReadLine() is { } line)
            {
                string[] words = line.Split(' ', 2);
                switch (words[0])
                {
                    case "output": Answer(WriteOutput(workload, words[1])); break;
                    case "go": Answer(Time(workload, double.Parse(words[1], CultureInfo.InvariantCulture), ref last)); break;
                    case "memory": Answer(PeakResidentBytes().ToString(CultureInfo.InvariantCulture)); break;
                    default: throw new ArgumentException($"unknown command {line}");
                }
            }
            return 0;
        }
        // Whatever a peer throws becomes a row that says why there is no number.
        catch (Exception error)
        {
            Exception root = error.GetBaseException();
            Answer(Failed + $"{root.GetType().Name}: {root.Message.ReplaceLineEndings(" ")}");
            return 1;
        }
    }

    private static void Answer(string text)
    {
        Console.Out.WriteLine(Mark + text);
        Console.Out.Flush();
    }

    private static string WriteOutput(IWorkload workload, string path)
    {
        IReadOnlyList<float[]> sections = workload.Output();
        using BinaryWriter writer = new(File.Create(path));
        writer.Write(sections.Count);
        foreach (float[] section in sections)
        {
            writer.Write(section.Length);
            foreach (float value in section) writer.Write(value);
        }
        return $"{sections.Count}";
    }

    /// <summary>Mean seconds per run over at least the given time.</summary>
    private static string Time(IWorkload workload, double seconds, ref double last)
    {
        if (last < WarmUpBelowSeconds) workload.Run();
        int runs = 0;
        Stopwatch watch = Stopwatch.StartNew();
        do
        {
            workload.Run();
            runs++;
        }
        while (watch.Elapsed.TotalSeconds < seconds);
        last = watch.Elapsed.TotalSeconds / runs;
        return last.ToString("R", CultureInfo.InvariantCulture);
    }

    /// <summary>The largest resident set this process has had.</summary>
    private static long PeakResidentBytes()
    {
        if (!File.Exists("/proc/self/status")) return Process.GetCurrentProcess().PeakWorkingSet64;
        string line = File.ReadLines("/proc/self/status").First(l => l.StartsWith("VmHWM:", StringComparison.Ordinal));
        // Numbers of eight digits and more fill their column, so that only a tab is left in front of them.
        return 1024 * long.Parse(line.Split([' ', '\t'], StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture);
    }
}
