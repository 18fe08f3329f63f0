using System.Globalization;
using BenchmarkDotNet.Attributes;
using BenchmarkDotNet.Columns;
using BenchmarkDotNet.Configs;
using BenchmarkDotNet.Reports;
using BenchmarkDotNet.Running;
using Patching.Kernels;

namespace Patching.Benchmarks.Kernels;

/// <summary>
/// Attention at the shapes of real models, beside a loop of nothing but multiply-adds on the same threads in the same run: its rate is
/// the peak that the last column refers to. Forward counts 4 D operations per visible (query, key) pair (two products), backward 10 D
/// (five products); causal attention has T (T + 1) / 2 visible pairs, so that column is about useful work.
/// </summary>
[Config(typeof(Columns))]
public class AttentionBenchmarks
{
    private Device device = null!;
    private Arena arena = null!;
    private Tensor qkv, y, logSumExp, dqkv, dy, delta;

    /// <summary>The shapes by name; small batches, because heads are independent of each other.</summary>
    public static IEnumerable<AttentionCase> Cases =>
    [
        new("ViT-B/32", new AttentionShape(16, 50, 12, 64), false),
        new("ViT-B/16", new AttentionShape(4, 197, 12, 64), false),
        new("ViT-L/14", new AttentionShape(4, 257, 16, 64), false),
        new("ViT-L/14@336", new AttentionShape(1, 577, 16, 64), false),
        new("ViT-H/14", new AttentionShape(2, 257, 16, 80), false),
        new("B/32 text, causal", new AttentionShape(16, 77, 8, 64), true),
    ];

    [ParamsSource(nameof(Cases))]
    public AttentionCase Case { get; set; } = null!;

    [GlobalSetup]
    public void Setup()
    {
        device = Device.Open(DeviceKind.Host);
        AttentionShape s = Case.Shape;
        arena = Arena.Allocate(device, "benchmark", a =>
        {
            qkv = a.Take("qkv", s.Rows, 3 * s.Width);
            dqkv = a.Take("dqkv", s.Rows, 3 * s.Width);
            y = a.Take("y", s.Rows, s.Width);
            dy = a.Take("dy", s.Rows, s.Width);
            logSumExp = a.Take("logSumExp", s.Batch, s.Heads, s.Tokens);
            delta = a.Take("delta", s.Batch, s.Heads, s.Tokens);
        });
        Random random = new(1);
        qkv.CopyFrom([.. Enumerable.Range(0, (int)qkv.Count).Select(_ => 4 * random.NextSingle() - 2)]);
        dy.CopyFrom([.. Enumerable.Range(0, (int)dy.Count).Select(_ => 2 * random.NextSingle() - 1)]);
        Forward();
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        arena.Dispose();
        device.Dispose();
    }

    [Benchmark]
    public void Forward() => Attention.Forward(device, y, logSumExp, qkv, Case.Shape, Case.Causal);

    [Benchmark]
    public void Backward() => Attention.Backward(device, dqkv, dy, y, qkv, logSumExp, delta, Case.Shape, Case.Causal);

    [Benchmark(Baseline = true)]
    public void Peak() => PeakLoop.Run(device.Threads);

    /// <summary>Floating-point operations of one call.</summary>
    private static double Operations(BenchmarkCase benchmark)
    {
        AttentionCase c = (AttentionCase)benchmark.Parameters[nameof(Case)];
        long tokens = c.Shape.Tokens, pairs = c.Causal ? tokens * (tokens + 1) / 2 : tokens * tokens;
        double products = 2.0 * pairs * c.Shape.HeadSize * c.Shape.Pairs;
        return benchmark.Descriptor.WorkloadMethod.Name switch
        {
            nameof(Forward) => 2 * products,
            nameof(Backward) => 5 * products,
            _ => PeakLoop.Operations(Environment.ProcessorCount),
        };
    }

    private static double? GigaflopsOf(BenchmarkReport? report) =>
        report?.ResultStatistics is { } statistics ? Operations(report.BenchmarkCase) / statistics.Median : null;

    /// <summary>A shape and what it is called.</summary>
    public sealed record AttentionCase(string Name, AttentionShape Shape, bool Causal)
    {
        /// <inheritdoc/>
        public override string ToString() => Name;
    }

    private sealed class Columns : ManualConfig
    {
        public Columns()
        {
            AddColumn(new Gigaflops(), new PercentOfPeak());
            HideColumns(Column.RatioSD, Column.Ratio, Column.Error, Column.StdDev);
        }
    }

    /// <summary>Billions of operations per second, of the median.</summary>
    private class Gigaflops : IColumn
    {
        public virtual string Id => nameof(Gigaflops);

        public virtual string ColumnName => "GFLOP/s";

        public virtual string Legend => "10^9 floating-point operations per second";

        public bool AlwaysShow => true;

        public ColumnCategory Category => ColumnCategory.Custom;

        public int PriorityInCategory => 0;

        public bool IsNumeric => true;

        public UnitType UnitType => UnitType.Dimensionless;

        public bool IsDefault(Summary summary, BenchmarkCase benchmarkCase) => false;

        public bool IsAvailable(Summary summary) => true;

        public string GetValue(Summary summary, BenchmarkCase benchmarkCase) => GetValue(summary, benchmarkCase, summary.Style);

        public string GetValue(Summary summary, BenchmarkCase benchmarkCase, SummaryStyle style) =>
            Number(summary, benchmarkCase) is { } number ? number.ToString("F1", CultureInfo.InvariantCulture) : "-";

        protected virtual double? Number(Summary summary, BenchmarkCase benchmark) => GigaflopsOf(summary[benchmark]);
    }

    /// <summary>The same as a share of what <see cref="Peak"/> reached with the same parameters.</summary>
    private sealed class PercentOfPeak : Gigaflops
    {
        public override string Id => nameof(PercentOfPeak);

        public override string ColumnName => "% of peak";

        public override string Legend => "share of the multiply-add loop's rate in the same run";

        protected override double? Number(Summary summary, BenchmarkCase benchmark)
        {
            BenchmarkReport? peak = summary.Reports.FirstOrDefault(report =>
                report.BenchmarkCase.Descriptor.WorkloadMethod.Name == nameof(Peak)
                    && report.BenchmarkCase.Parameters.Equals(benchmark.Parameters));
            return 100 * GigaflopsOf(summary[benchmark]) / GigaflopsOf(peak);
        }
    }
}
