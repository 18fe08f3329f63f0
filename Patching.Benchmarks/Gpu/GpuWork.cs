using System.Diagnostics;
using System.Text.Json.Nodes;
using Patching.Kernels;

namespace Patching.Benchmarks.Gpu;

/// <summary>Our side of a piece of work, set up and warm.</summary>
/// <param name="Run">One go, launched and not waited for.</param>
/// <param name="Calls">Executions in one go.</param>
/// <param name="PeakBytes">Device memory it took, if that is of interest.</param>
/// <param name="Owned">What to free afterwards.</param>
internal sealed record PreparedWork(Action Run, int Calls, double? PeakBytes, IReadOnlyList<IDisposable> Owned) : IDisposable
{
    /// <summary>A launch many times in one CUDA graph.</summary>
    public static PreparedWork Repeated(Device device, Action once, int calls, IReadOnlyList<IDisposable> owned)
    {
        // The first time loads the kernels, which a recording must not.
        once();
        LaunchGraph graph = device.Capture(() =>
        {
            for (int i = 0; i < calls; i++) once();
        });
        return new PreparedWork(graph.Launch, calls, null, [.. owned, graph]);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (IDisposable owned in Owned.Reverse()) owned.Dispose();
    }
}

/// <summary>A peer's side.</summary>
/// <param name="Engine">Its name in the report.</param>
/// <param name="Job">What the script is asked.</param>
internal sealed record PeerJob(string Engine, JsonObject Job);

/// <summary>A row of measurements: the same work by every engine.</summary>
/// <param name="Section">The section it belongs to.</param>
/// <param name="Model">The model whose shapes these are.</param>
/// <param name="Name">What is done.</param>
/// <param name="Operations">Floating-point operations of one execution, if they count.</param>
/// <param name="Bytes">Bytes that one execution has to move, if they count.</param>
/// <param name="Prepare">Sets our side up.</param>
/// <param name="Peers">The others.</param>
internal sealed record GpuWork(
    string Section, string Model, string Name, double? Operations, double? Bytes, Func<Device, PreparedWork> Prepare, IReadOnlyList<PeerJob> Peers)
{
    /// <summary>Whether each kind of tensor cores is measured too where the GPU has both, beside what the engine chooses.</summary>
    public bool ByTensorCores { get; init; }

    /// <summary>Measures every engine in turns.</summary>
    public IReadOnlyList<GpuMeasurement> Measure(Device device, PeerProcess peer, GpuOptions options)
    {
        Ours[] ours = [.. Kinds(device).Select(kind => new Ours(kind))];
        List<double>[] theirs = [.. Peers.Select(_ => new List<double>())];
        string?[] failures = new string?[Peers.Count];
        double?[] peaks = new double?[Peers.Count];
        try
        {
            foreach (Ours side in ours) side.Prepare(device, Prepare);
            for (int round = 0; round < options.Rounds; round++)
            {
                foreach (Ours side in ours) side.Measure(device, options.Seconds);
                for (int i = 0; i < Peers.Count; i++)
                {
                    if (failures[i] is not null) continue;
                    PeerAnswer answer = peer.Ask(Peers[i].Job);
                    failures[i] = answer.Failure;
                    if (answer.Failure is not null) continue;
                    theirs[i].Add(answer.Number("seconds"));
                    if (!double.IsNaN(answer.Number("peak_bytes"))) peaks[i] = answer.Number("peak_bytes");
                }
            }
        }
        finally
        {
            foreach (Ours side in ours) side.Dispose();
            _ = peer.Ask(new JsonObject { ["work"] = "drop" });
        }
        return
        [
            .. ours.Select(side => Row(side.Engine) with { Seconds = side.Failure is null ? side.Seconds : [], PeakBytes = side.PeakBytes, Failure = side.Failure }),
            .. Peers.Select((job, i) => Row(job.Engine) with { Seconds = theirs[i], PeakBytes = peaks[i], Failure = failures[i] }),
        ];
    }

    private TensorCores?[] Kinds(Device device) =>
        ByTensorCores && device.UsableTensorCores == TensorCores.Best ? [null, TensorCores.MmaSync, TensorCores.Wgmma] : [null];

    /// <summary>Our side with one kind of tensor cores, or as the device is set.</summary>
    private sealed class Ours(TensorCores? kind) : IDisposable
    {
        private PreparedWork? prepared;
        private string? failure;

        public string Engine => GpuMeasurement.With(kind);

        public List<double> Seconds { get; } = [];

        public double? PeakBytes => prepared?.PeakBytes;

        public string? Failure => failure;

        public void Prepare(Device device, Func<Device, PreparedWork> prepare)
        {
            TensorCores before = device.TensorCores;
            if (kind is { } one) device.TensorCores = one;
            prepared = Guarded(() => prepare(device), ref failure);
            device.TensorCores = before;
        }

        public void Measure(Device device, double least)
        {
            if (failure is null && prepared is { } work) Seconds.Add(Guarded(() => Time(device, work, least), ref failure));
        }

        public void Dispose() => prepared?.Dispose();
    }

    private GpuMeasurement Row(string engine) => new() { Section = Section, Model = Model, Name = Name, Engine = engine, Operations = Operations, Bytes = Bytes };

    // The same rule as the script's: wall clock over enough goes, the device idle before and after.
    private static double Time(Device device, PreparedWork work, double least)
    {
        device.Synchronize();
        long start = Stopwatch.GetTimestamp();
        work.Run();
        device.Synchronize();
        double once = Stopwatch.GetElapsedTime(start).TotalSeconds;
        int goes = (int)Math.Clamp(Math.Ceiling(least / Math.Max(once, 1e-6)), 1, 100_000);
        start = Stopwatch.GetTimestamp();
        for (int i = 0; i < goes; i++) work.Run();
        device.Synchronize();
        return Stopwatch.GetElapsedTime(start).TotalSeconds / ((double)goes * work.Calls);
    }

    // Whatever a compiler or a driver throws, here it is a row without a number.
    private static T? Guarded<T>(Func<T> action, ref string? failure)
    {
        try
        {
            return action();
        }
        catch (Exception error)
        {
            Exception cause = error.GetBaseException();
            failure = $"{cause.GetType().Name}: {cause.Message.ReplaceLineEndings(" ")}";
            return default;
        }
    }
}
