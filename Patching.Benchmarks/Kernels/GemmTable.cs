using System.Diagnostics;
using System.Globalization;
using System.Text;
using Patching.Benchmarks.EndToEnd;
using Patching.Kernels;

namespace Patching.Benchmarks.Kernels;

/// <summary>
/// The command <c>gemm</c>: every product of the linear layers of real models as a share of the machine's multiply-add peak, which is measured within a second of
/// each product. Quicker than the same shapes under BenchmarkDotNet, and one table.
/// </summary>
internal static class GemmTable
{
    private const int DefaultRounds = 7;
    private const double LeastSeconds = 0.1;

    private static readonly (string Name, Action<GemmBenchmarks> Run)[] Forms =
    [
        ("forward", operands => operands.Forward()),
        ("forward, packed weight", operands => operands.ForwardPacked()),
        ("forward, bias + QuickGELU", operands => operands.ForwardEpilogue()),
        ("gradient of the input", operands => operands.BackwardInput()),
        ("gradient of the weight + bias", operands => operands.BackwardWeight()),
    ];

    /// <summary>Measures and prints. Argument: the number of rounds.</summary>
    public static int Run(string[] args)
    {
        int rounds = DefaultRounds;
        if (args.Length > 1 || (args.Length == 1 && (!int.TryParse(args[0], CultureInfo.InvariantCulture, out rounds) || rounds < 1)))
        {
            Console.Error.WriteLine("gemm takes one argument, the number of rounds");
            return 2;
        }
        StringBuilder text = new();
        string load = LoadMeter.Averages;
        double busy = LoadMeter.BusySeconds;
        Stopwatch watch = Stopwatch.StartNew();
        TimeSpan own = Process.GetCurrentProcess().TotalProcessorTime;
        text.AppendLine($"| rows x inputs x outputs | {string.Join(" | ", Forms.Select(form => form.Name))} |");
        text.AppendLine($"|---|{string.Concat(Forms.Select(_ => "---:|"))}");
        foreach (LinearShape shape in GemmBenchmarks.Shapes)
        {
            double[] shares = Measure(shape, rounds);
            text.Append(CultureInfo.InvariantCulture, $"| {shape.Name}, {shape.Rows} x {shape.Inputs} x {shape.Outputs} |");
            text.AppendLine(string.Concat(shares.Select(share => string.Create(CultureInfo.InvariantCulture, $" {100 * share:F0} |"))));
            Console.Error.WriteLine(shape.Name);
        }
        double foreign = LoadMeter.BusySeconds - busy - (Process.GetCurrentProcess().TotalProcessorTime - own).TotalSeconds;
        double taken = Math.Max(0, foreign / (watch.Elapsed.TotalSeconds * Environment.ProcessorCount));
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"% of the multiply-add peak of {Environment.ProcessorCount} threads, {GemmTile.Best.Lanes * 32}-bit vectors; median of {rounds} rounds, each beside its own peak; load average before {load}; others took {100 * taken:F0} % of the machine"));
        Console.WriteLine();
        Console.Write(text);
        return 0;
    }

    private static double[] Measure(LinearShape shape, int rounds)
    {
        GemmBenchmarks operands = new() { Shape = shape };
        operands.Setup();
        double peakOperations = PeakLoop.Operations(Environment.ProcessorCount);
        double[][] shares = [.. Forms.Select(_ => new double[rounds])];
        for (int round = 0; round < rounds; round++)
        {
            for (int form = 0; form < Forms.Length; form++)
            {
                double peak = peakOperations / Seconds(operands.Peak);
                shares[form][round] = shape.Operations / Seconds(() => Forms[form].Run(operands)) / peak;
            }
        }
        operands.Cleanup();
        return [.. shares.Select(Median)];
    }

    /// <summary>Mean seconds of a call over at least a tenth of a second, after one that warms up.</summary>
    private static double Seconds(Action call)
    {
        call();
        int calls = 0;
        Stopwatch watch = Stopwatch.StartNew();
        do
        {
            call();
            calls++;
        }
        while (watch.Elapsed.TotalSeconds < LeastSeconds);
        return watch.Elapsed.TotalSeconds / calls;
    }

    private static double Median(double[] values)
    {
        double[] sorted = [.. values.Order()];
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }
}
