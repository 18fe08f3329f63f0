using System.Globalization;
using System.Reflection;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;

namespace Patching.Benchmarks;

/// <summary>Bytes that a benchmark method must move per element of its shape, each operand counted once.</summary>
/// <param name="count">Bytes read and written per element.</param>
[AttributeUsage(AttributeTargets.Method)]
public sealed class BytesPerElementAttribute(double count) : Attribute
{
    /// <summary>Bytes read and written per element.</summary>
    public double Count { get; } = count;

    /// <summary>Whether the method measures what memory can do, so that others are compared with it.</summary>
    public bool IsStream { get; init; }
}

/// <summary>A named number of elements, in rows and columns.</summary>
/// <param name="Name">The name shown, such as <c>ViT-B/32 layer norm, batch 16</c>.</param>
/// <param name="Rows">Rows.</param>
/// <param name="Columns">Columns.</param>
public sealed record StreamShape(string Name, int Rows, int Columns)
{
    /// <summary>Rows times columns.</summary>
    public long Elements => (long)Rows * Columns;

    /// <inheritdoc/>
    public override string ToString() => Name;
}

/// <summary>
/// Gigabytes per second from the median time, or their share of the fastest stream of the same shape in the same run. The memory of a
/// shared machine is up to twice as fast at one time as at another: no other comparison means anything.
/// </summary>
/// <param name="isShare">Whether to show the share.</param>
public sealed class ThroughputColumn(bool isShare) : RateColumn(isShare)
{
    /// <inheritdoc/>
    public override string ColumnName => IsShare ? "% of stream" : "GB/s";

    /// <inheritdoc/>
    public override string Legend => IsShare
        ? "GB/s over those of the fastest stream of the same shape in this run"
        : "Bytes that must move / median time";

    /// <inheritdoc/>
    public override string GetValue(Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style)
    {
        double own = BytesPerSecond(summary, benchmarkCase);
        if (!IsShare) return (own / 1e9).ToString("F1", CultureInfo.InvariantCulture);
        double stream = summary.BenchmarksCases
            .Where(other => Bytes(other)?.IsStream == true && Shape(other) == Shape(benchmarkCase))
            .Select(other => BytesPerSecond(summary, other)).DefaultIfEmpty(double.NaN).Max();
        return (100 * own / stream).ToString("F0", CultureInfo.InvariantCulture);
    }

    private static double BytesPerSecond(Summary summary, BenchmarkCase benchmarkCase)
    {
        double nanoseconds = summary[benchmarkCase]?.ResultStatistics?.Median ?? double.NaN;
        return (Bytes(benchmarkCase)?.Count ?? double.NaN) * (Shape(benchmarkCase)?.Elements ?? double.NaN) / (nanoseconds * 1e-9);
    }

    private static BytesPerElementAttribute? Bytes(BenchmarkCase benchmarkCase) =>
        benchmarkCase.Descriptor.WorkloadMethod.GetCustomAttribute<BytesPerElementAttribute>();

    private static StreamShape? Shape(BenchmarkCase benchmarkCase) =>
        benchmarkCase.Parameters.Items.Select(item => item.Value).OfType<StreamShape>().FirstOrDefault();
}

/// <summary>
/// How benchmarks of memory-bound kernels run: inside this process, because the streams they are compared with must be measured within
/// seconds of them and because the machine that runs them may have no .NET SDK.
/// </summary>
public sealed class StreamConfig : ManualConfig
{
    /// <summary>Creates the configuration.</summary>
    public StreamConfig()
    {
        AddJob(Job.Default.WithToolchain(InProcessEmitToolchain.Instance).WithWarmupCount(2).WithIterationCount(9));
        SummaryStyle = SummaryStyle.Default.WithMaxParameterColumnWidth(60);
        AddColumn(new ThroughputColumn(false), new ThroughputColumn(true));
    }
}
