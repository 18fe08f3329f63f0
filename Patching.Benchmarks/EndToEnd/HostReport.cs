using System.Runtime.InteropServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;
using System.Text;

namespace Patching.Benchmarks.EndToEnd;

/// <summary>One model, work and batch with everybody's numbers.</summary>
/// <param name="Model">The model.</param>
/// <param name="Work">Inference or step.</param>
/// <param name="Batch">B.</param>
/// <param name="Group">The numbers.</param>
internal sealed record ModelRow(BenchmarkModel Model, string Work, int Batch, MeasurementGroup Group)
{
    /// <summary>Floating-point operations of one run.</summary>
    public double Flops => Batch * (Work == WorkerJob.Step ? Model.StepFlops : Model.ForwardFlops);
}

/// <summary>Writes what was measured as Markdown: the machine, a summary of ratios, and every number behind it.</summary>
internal sealed class HostReport(HostOptions options)
{
    private const double GiB = 1024.0 * 1024 * 1024;

    // A round in which others used more of the machine than this says little.
    private const double QuietShare = 0.05;

    private readonly List<ModelRow> rows = [];
    private readonly DateTime start = DateTime.UtcNow;
    private readonly string loadBefore = LoadMeter.Averages;

    /// <summary>The arithmetic peak before everything else.</summary>
    public MeasurementGroup? Peak { private get; set; }

    /// <summary>The arithmetic peak after everything else.</summary>
    public MeasurementGroup? PeakAtTheEnd { private get; set; }

    /// <summary>Clip and AdamW, and the patterns of memory they consist of.</summary>
    public MeasurementGroup? Optimizer { private get; set; }

    /// <summary>Interpolation, and the patterns of memory it consists of.</summary>
    public MeasurementGroup? Interpolation { private get; set; }

    // The best of all rounds: a ceiling is what the machine can do, not what it did on average.
    private double PeakFlops =>
        MultiplyAddPeak.Flops(options.Threads)
        / new[] { Peak, PeakAtTheEnd }.OfType<MeasurementGroup>()
            .SelectMany(group => group.Measurements).SelectMany(m => m.Seconds).DefaultIfEmpty(double.NaN).Min();

    private IEnumerable<MeasurementGroup> AllGroups =>
        new[] { Optimizer, Interpolation }.OfType<MeasurementGroup>().Concat(rows.Select(row => row.Group));

    /// <summary>Adds a finished row.</summary>
    public void Add(ModelRow row) => rows.Add(row);

    /// <summary>The report.</summary>
    public string ToMarkdown()
    {
        StringBuilder text = new();
        AppendMachine(text);
        if (rows.Count > 0) AppendSummary(text);
        foreach (ModelRow row in rows) AppendRow(text, row);
        if (Optimizer is not null) AppendWholeModel(text, Optimizer, "Gradient norm, clip and AdamW", streams: 8, OptimizerFloor(Optimizer));
        if (Interpolation is not null) AppendWholeModel(text, Interpolation, "Interpolation", streams: 3, FastestStream(Interpolation));
        return text.ToString();
    }

    private static string F(FormattableString text) => FormattableString.Invariant(text);

    private static bool IsStream(Measurement m) => StreamPattern.All.Any(pattern => pattern.Description == m.Contender.Name);

    /// <summary>One read of the gradient for its norm; then p, m and v are updated in place and the gradient is read once more.</summary>
    private static double OptimizerFloor(MeasurementGroup group)
    {
        double read = group.Measurements.First(m => m.Contender.Name == StreamPattern.Read.Description).Median;
        double update = group.Measurements.First(m => m.Contender.Name == StreamPattern.Update.Description).Median;
        return 2 * read + 3 * update;
    }

    private static double FastestStream(MeasurementGroup group) => group.Measurements.Where(IsStream).Min(m => m.Median);

    private static string Simd()
    {
        string[] names =
        [
            .. new (string Name, bool Has)[]
            {
                ("AVX2", Avx2.IsSupported), ("FMA", Fma.IsSupported), ("AVX-512F", Avx512F.IsSupported),
                ("AdvSimd", System.Runtime.Intrinsics.Arm.AdvSimd.IsSupported),
            }.Where(set => set.Has).Select(set => set.Name),
        ];
        int bits = Vector512.IsHardwareAccelerated ? 512 : Vector256.IsHardwareAccelerated ? 256 : 128;
        return F($"{string.Join(", ", names)}; {bits}-bit vectors");
    }

    /// <summary>The processor in words.</summary>
    public static string Processor()
    {
        if (!File.Exists("/proc/cpuinfo")) return RuntimeInformation.ProcessArchitecture.ToString();
        string[] lines = File.ReadAllLines("/proc/cpuinfo");
        string Field(string name) => lines.FirstOrDefault(line => line.StartsWith(name, StringComparison.Ordinal))?.Split(':')[1].Trim() ?? "?";
        return F($"{Field("model name")} (family {Field("cpu family")}, model {Field("model\t")})");
    }

    private void AppendMachine(StringBuilder text)
    {
        double foreign = AllGroups.SelectMany(g => g.Measurements).SelectMany(m => m.ForeignLoad).DefaultIfEmpty(0).Max();
        text.AppendLine("# Host engine against its peers").AppendLine();
        text.AppendLine(F($"- date: {start:yyyy-MM-dd HH:mm} UTC, {(DateTime.UtcNow - start).TotalMinutes:F0} minutes"));
        text.AppendLine(F($"- processor: {Processor()}, {Environment.ProcessorCount} cores, {Simd()}; {options.Threads} threads used"));
        text.AppendLine(F($"- .NET {Environment.Version}, {RuntimeInformation.OSDescription}"));
        text.AppendLine(F($"- fp32 peak of {options.Threads} threads: {PeakFlops / 1e9:F0} GFLOP/s of multiply-adds (best of {2 * options.Rounds} rounds)"));
        text.AppendLine(F($"- every number: median of {options.Rounds} rounds of at least {options.Seconds:0.##} s; the engines take turns; fp32 everywhere"));
        text.AppendLine(F($"- load average before: {loadBefore}, after: {LoadMeter.Averages}"));
        string verdict = foreign > QuietShare ? "the machine was NOT quiet, numbers are provisional" : "quiet";
        text.AppendLine(F($"- most that other processes took of the machine during a round: {foreign:P0} ({verdict})")).AppendLine();
    }

    private void AppendSummary(StringBuilder text)
    {
        string[] peers =
        [
            .. rows.SelectMany(row => row.Group.Measurements).Select(m => m.Contender.Name)
                .Where(name => name is not (Contender.OurName or Contender.ForwardOnlyName)).Distinct(),
        ];
        text.AppendLine("## Summary: images per second, and how many times faster than each peer").AppendLine();
        text.Append("| work | floor | patching | of floor |");
        foreach (string peer in peers) text.Append(F($" vs {peer} |"));
        text.AppendLine().Append("|---|---:|---:|---:|");
        foreach (string _ in peers) text.Append("---:|");
        text.AppendLine();
        foreach (ModelRow row in rows)
        {
            Measurement ours = row.Group.Measurements[0];
            double floor = row.Flops / PeakFlops;
            text.Append(F($"| {row.Group.Title} | {row.Batch / floor:F1} | {row.Batch / ours.Median:F1} | {floor / ours.Median:P0} |"));
            foreach (string peer in peers)
            {
                Measurement? theirs = row.Group.Measurements.FirstOrDefault(m => m.Contender.Name == peer);
                text.Append(theirs is null ? " - |" : theirs.Succeeded ? F($" {theirs.Median / ours.Median:F2} |") : " not available |");
            }
            text.AppendLine();
        }
        text.AppendLine();
    }

    private void AppendRow(StringBuilder text, ModelRow row)
    {
        double floor = row.Flops / PeakFlops;
        Measurement ours = row.Group.Measurements[0];
        text.AppendLine(F($"## {row.Group.Title}")).AppendLine();
        text.AppendLine(F($"{row.Flops / 1e9:F1} GFLOP; floor {floor * 1e3:F1} ms, {row.Batch / floor:F1} images/s.")).AppendLine();
        text.Append("| engine | images/s | min | max | ms | of floor | patching is x times faster |");
        text.AppendLine(" peak memory | patching needs of it | difference | others' load |");
        text.AppendLine("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
        foreach (Measurement m in row.Group.Measurements)
        {
            if (!m.Succeeded)
            {
                text.AppendLine(F($"| {m.Contender.Name} | not available: {m.Failure} | | | | | | | | | |"));
                continue;
            }
            text.Append(F($"| {m.Contender.Name} | {row.Batch / m.Median:F2} | {row.Batch / m.Seconds.Max():F2} | {row.Batch / m.Seconds.Min():F2} |"));
            text.Append(F($" {m.Median * 1e3:F1} | {floor / m.Median:P0} | {m.Median / ours.Median:F2} |"));
            text.Append(F($" {m.PeakMemory / GiB:F2} GiB | {(double)ours.PeakMemory / m.PeakMemory:P0} |"));
            text.AppendLine(F($" {m.Difference:0.0E+0} | {m.ForeignLoad.Max():P0} |"));
        }
        text.AppendLine();
    }

    private void AppendWholeModel(StringBuilder text, MeasurementGroup group, string title, int streams, double floor)
    {
        BenchmarkModel model = options.Models[0];
        double bytes = 4.0 * model.ParameterCount;
        Measurement ours = group.Measurements[0];
        text.AppendLine(F($"## {title}: {model.ParameterCount / 1e6:F0} M parameters")).AppendLine();
        text.AppendLine(F($"Floor from the patterns below, measured in the same turns: {floor * 1e3:F1} ms.")).AppendLine();
        text.AppendLine("| engine | ms | min | max | GB/s | of floor | patching is x times faster | peak memory | difference | others' load |");
        text.AppendLine("|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|");
        foreach (Measurement m in group.Measurements)
        {
            if (!m.Succeeded)
            {
                text.AppendLine(F($"| {m.Contender.Name} | not available: {m.Failure} | | | | | | | | |"));
                continue;
            }
            StreamPattern? pattern = StreamPattern.All.FirstOrDefault(p => p.Description == m.Contender.Name);
            text.Append(F($"| {m.Contender.Name} | {m.Median * 1e3:F1} | {m.Seconds.Min() * 1e3:F1} | {m.Seconds.Max() * 1e3:F1} |"));
            text.Append(F($" {(pattern?.Streams ?? streams) * bytes / m.Median / 1e9:F1} |"));
            text.Append(pattern is null ? F($" {floor / m.Median:P0} | {m.Median / ours.Median:F2} |") : " | |");
            text.AppendLine(F($" {m.PeakMemory / GiB:F2} GiB | {(pattern is null ? F($"{m.Difference:0.0E+0}") : "")} | {m.ForeignLoad.Max():P0} |"));
        }
        text.AppendLine();
    }
}
