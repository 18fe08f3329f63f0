using System.Globalization;
using System.Reflection;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Jobs;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using BenchmarkDotNet.Toolchains.InProcess.Emit;

namespace Patching.Benchmarks;

/// <summary>A benchmark parameter that knows the floating-point operations of one call.</summary>
public interface IArithmeticShape
{
    /// <summary>Operations of one call.</summary>
    double Operations { get; }
}

/// <summary>Marks the method that does nothing but multiply and add, with which the others are compared.</summary>
[AttributeUsage(AttributeTargets.Method)]
public sealed class PeakAttribute : Attribute;

/// <summary>
/// Billions of operations per second from the median time, or their share of what the <see cref="PeakLoop"/> reached with the same shape in
/// the same run.
/// </summary>
/// <param name="isShare">Whether to show the share.</param>
public sealed class ArithmeticColumn(bool isShare) : RateColumn(isShare)
{
    /// <inheritdoc/>
    public override string ColumnName => IsShare ? "% of peak" : "GFLOP/s";

    /// <inheritdoc/>
    public override string Legend => IsShare
        ? "GFLOP/s over those of a loop of multiply-adds in registers in this run"
        : "10^9 operations / median time in seconds";

    /// <inheritdoc/>
    public override string GetValue(Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style)
    {
        double own = Gigaflops(summary, benchmarkCase);
        if (!IsShare) return own.ToString("F1", CultureInfo.InvariantCulture);
        double peak = summary.BenchmarksCases
            .Where(other => IsPeak(other) && other.Parameters.ValueInfo == benchmarkCase.Parameters.ValueInfo)
            .Select(other => Gigaflops(summary, other)).DefaultIfEmpty(double.NaN).Max();
        return (100 * own / peak).ToString("F0", CultureInfo.InvariantCulture);
    }

    private static double Gigaflops(Summary summary, BenchmarkCase benchmarkCase)
    {
        double nanoseconds = summary[benchmarkCase]?.ResultStatistics?.Median ?? double.NaN;
        IArithmeticShape? shape = benchmarkCase.Parameters.Items.Select(item => item.Value).OfType<IArithmeticShape>().FirstOrDefault();
        return (IsPeak(benchmarkCase) ? PeakLoop.Operations(Environment.ProcessorCount) : shape?.Operations ?? double.NaN) / nanoseconds;
    }

    private static bool IsPeak(BenchmarkCase benchmarkCase) =>
        benchmarkCase.Descriptor.WorkloadMethod.GetCustomAttribute<PeakAttribute>() is not null;
}

/// <summary>
/// How benchmarks of arithmetic run: inside this process, so that the peak is measured within seconds of what is compared with it.
/// </summary>
public sealed class ArithmeticConfig : ManualConfig
{
    /// <summary>Creates the configuration.</summary>
    public ArithmeticConfig()
    {
        AddJob(Job.Default.WithToolchain(InProcessEmitToolchain.Instance).WithWarmupCount(2).WithIterationCount(9));
        SummaryStyle = SummaryStyle.Default.WithMaxParameterColumnWidth(60);
        AddColumn(new ArithmeticColumn(false), new ArithmeticColumn(true));
    }
}
