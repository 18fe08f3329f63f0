using System.Diagnostics;
using System.Globalization;

namespace Patching.Benchmarks.EndToEnd;

/// <summary>Contenders that do the same work: their results are compared once, then they are timed in turns, so that a drift of the
/// machine meets all of them.</summary>
/// <param name="title">What is measured, for progress and report.</param>
/// <param name="contenders">Who takes part; the output of the first that has one is the reference.</param>
internal sealed class MeasurementGroup(string title, IReadOnlyList<Contender> contenders)
{
    /// <summary>Largest relative difference at which two engines compute the same thing in single precision.</summary>
    private const double LargestDifference = 1e-3;

    // Threads of the last engine that spin for more work are asleep after this.
    private const int SettleMilliseconds = 50;

    private readonly Measurement[] measurements = [.. contenders.Select(contender => new Measurement(contender))];

    /// <summary>What is measured.</summary>
    public string Title { get; } = title;

    /// <summary>The results, in the order of the contenders.</summary>
    public IReadOnlyList<Measurement> Measurements => measurements;

    /// <summary>Checks everybody, then times everybody.</summary>
    public void Measure(HostOptions options)
    {
        Console.Error.WriteLine(Title);
        long available = LoadMeter.AvailableMemory;
        IReadOnlyList<float[]>? reference = null;
        foreach (Measurement measurement in measurements) Guarded(measurement, () => Check(measurement, ref reference));
        // Processes stay only where all of them fit into memory together; otherwise each is started anew for its turn.
        bool stay = measurements.Sum(m => m.PeakMemory) < 0.85 * available;
        WorkerProcess?[] workers = new WorkerProcess?[measurements.Length];
        try
        {
            for (int round = 0; round < options.Rounds; round++)
            {
                for (int i = 0; i < measurements.Length; i++)
                {
                    int turn = i;
                    Guarded(measurements[i], () => Time(measurements[turn], ref workers[turn], options.Seconds));
                    if (stay) continue;
                    workers[i]?.Dispose();
                    workers[i] = null;
                }
                Console.Error.Write($"\r  round {round + 1}/{options.Rounds} ");
            }
        }
        finally
        {
            foreach (WorkerProcess? worker in workers) worker?.Dispose();
        }
        IEnumerable<string> medians = measurements.Select(m => FormattableString.Invariant($"{m.Contender.Name} {m.Median * 1e3:F1} ms"));
        Console.Error.WriteLine(string.Join(", ", medians));
    }

    private static WorkerProcess Start(Measurement measurement) => new(measurement.Contender.Job, measurement.Contender.Environment());

    private static void Guarded(Measurement measurement, Action action)
    {
        if (measurement.Failure is not null) return;
        try
        {
            action();
        }
        catch (Exception error) when (error is WorkerException or IOException)
        {
            measurement.Failure = error.Message;
            Console.Error.WriteLine($"  {measurement.Contender.Name}: {error.Message}");
        }
    }

    private static void Check(Measurement measurement, ref IReadOnlyList<float[]>? reference)
    {
        using WorkerProcess worker = Start(measurement);
        IReadOnlyList<float[]> output = worker.Output();
        if (output.Count > 0) measurement.Difference = Difference(reference ??= output, output);
        _ = worker.Go(0);
        measurement.PeakMemory = worker.PeakMemory();
        Console.Error.WriteLine(string.Create(
            CultureInfo.InvariantCulture,
            $"  {measurement.Contender.Name}: difference {measurement.Difference:G3}, peak memory {measurement.PeakMemory / 1073741824.0:F2} GiB"));
        // Written so that NaN fails.
        if (output.Count > 0 && !(measurement.Difference < LargestDifference))
            throw new WorkerException(FormattableString.Invariant($"computes something else: relative difference {measurement.Difference:G3}"));
    }

    private static double Difference(IReadOnlyList<float[]> reference, IReadOnlyList<float[]> output)
    {
        if (!reference.Select(section => section.Length).SequenceEqual(output.Select(section => section.Length))) return double.NaN;
        double worst = 0;
        for (int s = 0; s < output.Count; s++)
        {
            double scale = reference[s].Max(value => Math.Abs((double)value)), difference = 0;
            for (int i = 0; i < output[s].Length; i++)
                difference = Math.Max(difference, Math.Abs((double)output[s][i] - reference[s][i]));
            worst = Math.Max(worst, difference / scale);
        }
        return worst;
    }

    private static void Time(Measurement measurement, ref WorkerProcess? worker, double seconds)
    {
        worker ??= Start(measurement);
        Thread.Sleep(SettleMilliseconds);
        double busy = LoadMeter.BusySeconds;
        TimeSpan own = worker.ProcessorTime;
        Stopwatch watch = Stopwatch.StartNew();
        measurement.Seconds.Add(worker.Go(seconds));
        double wall = watch.Elapsed.TotalSeconds;
        double foreign = LoadMeter.BusySeconds - busy - (worker.ProcessorTime - own).TotalSeconds;
        measurement.ForeignLoad.Add(Math.Max(0, foreign / (wall * Environment.ProcessorCount)));
    }
}
