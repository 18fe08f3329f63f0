using System.Text;
using Patching.Kernels;

namespace Patching.Benchmarks.Gpu;

/// <summary>The Markdown report: what has to be reached on an H100 and what was, then every measurement.</summary>
internal static class GpuReport
{
    /// <summary>A goal: ours against a peer, or against what bounds it.</summary>
    /// <param name="Work">What is measured.</param>
    /// <param name="Against">Whom or what it is compared with.</param>
    /// <param name="Ratio">What was measured; NaN where nothing was.</param>
    /// <param name="Wanted">What it has to be.</param>
    /// <param name="AtMost">Whether less is better.</param>
    private sealed record Goal(string Work, string Against, double Ratio, double Wanted, bool AtMost = false)
    {
        public string Verdict => double.IsNaN(Ratio) ? "not measured" : (AtMost ? Ratio <= Wanted : Ratio >= Wanted) ? "reached" : "not reached";
    }

    /// <summary>A measurement in one line, for the terminal.</summary>
    public static string Line(GpuMeasurement row)
    {
        string what = string.Join(' ', new[] { row.Section, row.Model, row.Name }.Where(part => part.Length > 0));
        return $"{what,-60} {row.Engine,-20} {Result(row)}";
    }

    /// <summary>The whole report.</summary>
    public static string ToMarkdown(IReadOnlyList<GpuMeasurement> rows)
    {
        StringBuilder text = new();
        text.AppendLine("# The CUDA engine beside PyTorch").AppendLine();
        foreach (GpuMeasurement fact in rows.Where(row => row.Section == "facts").DistinctBy(row => (row.Name, row.Text))) text.AppendLine($"- {fact.Name}: {fact.Text}");
        text.AppendLine("- every time: median of the rounds, engines taking turns; wall clock over many executions, the device idle before and after").AppendLine();
        text.AppendLine("## Goals").AppendLine().AppendLine("| work | against | ratio | wanted | |").AppendLine("|---|---|---:|---:|---|");
        foreach (Goal goal in Goals(rows))
        {
            string ratio = double.IsNaN(goal.Ratio) ? "-" : F($"{goal.Ratio:0.00}");
            text.AppendLine(F($"| {goal.Work} | {goal.Against} | {ratio} | {(goal.AtMost ? "<=" : ">=")} {goal.Wanted:0.00} | {goal.Verdict} |"));
        }
        foreach (IGrouping<string, GpuMeasurement> section in rows.Where(row => row.Section is not ("facts" or "limit")).GroupBy(row => row.Section)) AppendSection(text, section);
        GpuMeasurement[] left = [.. rows.Where(row => row.Section == "limit")];
        if (left.Length > 0) text.AppendLine().AppendLine($"Out of time, not measured: {string.Join("; ", left.Select(row => row.Name))}.");
        return text.ToString();
    }

    private static void AppendSection(StringBuilder text, IGrouping<string, GpuMeasurement> section)
    {
        text.AppendLine().AppendLine($"## {section.Key}").AppendLine().AppendLine("| work | engine | result |").AppendLine("|---|---|---|");
        foreach (GpuMeasurement row in section) text.AppendLine($"| {$"{row.Model} {row.Name}".Trim()} | {row.Engine} | {Result(row)} |");
    }

    private static string Result(GpuMeasurement row)
    {
        if (row.Failure is not null) return row.IsOurs ? $"FAILED: {row.Failure}" : $"not available: {row.Failure}";
        List<string> parts = [];
        if (row.Seconds.Count > 0)
        {
            parts.Add(F($"{row.Median * 1e3:0.####} ms ({row.Seconds.Min() * 1e3:0.####} to {row.Seconds.Max() * 1e3:0.####})"));
            if (row.Operations is { } operations) parts.Add(F($"{operations / row.Median / 1e12:0.0} TFLOP/s"));
            if (row.Bytes is { } bytes) parts.Add(F($"{bytes / row.Median / 1e9:0} GB/s"));
        }
        if (row.PeakBytes is { } peak) parts.Add(F($"{peak / 1073741824:0.00} GiB"));
        if (row.Values is { } values) parts.Add(string.Join(' ', values.Select(value => F($"{value:0.0000e+0}"))));
        if (row.Text is not null) parts.Add(row.Text);
        return string.Join(", ", parts);
    }

    private static IEnumerable<Goal> Goals(IReadOnlyList<GpuMeasurement> rows)
    {
        foreach (string model in Models(rows, "gemm"))
        {
            string what = $"bf16 GEMM, {model}, geometric mean of layers and forms";
            yield return new Goal(what, "cuBLAS", GeometricMean(rows, "gemm", model, "", "torch"), 0.70);
            foreach ((TensorCores kind, double wanted) in ((TensorCores, double)[])[(TensorCores.MmaSync, 0.70), (TensorCores.Wgmma, 0.95)])
            {
                string engine = GpuMeasurement.With(kind);
                if (rows.Any(row => row.Section == "gemm" && row.Model == model && row.Engine == engine))
                    yield return new Goal($"{what}, {engine}", "cuBLAS", GeometricMean(rows, "gemm", model, "", "torch", engine), wanted);
            }
        }
        foreach (string model in Models(rows, "attention"))
            yield return new Goal($"attention forward and backward, {model}", "PyTorch SDPA", GeometricMean(rows, "attention", model, "forward and backward", "torch"), 1);
        foreach (string model in Models(rows, "step"))
        {
            yield return new Goal($"fine-tune step, {model}", "PyTorch eager bf16", GeometricMean(rows, "step", model, "", "torch eager"), 1.2);
            yield return new Goal($"fine-tune step, {model}", "PyTorch compiled bf16", GeometricMean(rows, "step", model, "", "torch compiled"), 1);
        }
        foreach (string model in Models(rows, "inference"))
            yield return new Goal($"inference, {model}", "PyTorch compiled bf16", GeometricMean(rows, "inference", model, "", "torch compiled"), 1);
        foreach (string model in Models(rows, "interpolate"))
            yield return new Goal($"interpolation, {model}", "copy bandwidth", OfCopy(rows, "interpolate", model, "all parameters"), 0.9);
        foreach (string model in Models(rows, "optimizer"))
            yield return new Goal($"AdamW step, {model}", "copy bandwidth", OfCopy(rows, "optimizer", model, "AdamW"), 0.9);
        foreach (string model in Models(rows, "step"))
            yield return new Goal($"memory of the step, {model}", "PyTorch eager", Memory(rows, model), 0.6, AtMost: true);
        foreach (string model in Models(rows, "accuracy"))
            yield return new Goal($"error of the gradient, {model}", "PyTorch bf16 autocast", GradientError(rows, model), 2, AtMost: true);
    }

    private static IEnumerable<string> Models(IEnumerable<GpuMeasurement> rows, string section) =>
        rows.Where(row => row.Section == section).Select(row => row.Model).Distinct();

    // The peer's time over ours, so that more is better for us.
    private static double GeometricMean(IReadOnlyList<GpuMeasurement> rows, string section, string model, string name, string peer, string engine = GpuMeasurement.Ours)
    {
        double[] logarithms =
        [
            .. from ours in rows
               where ours.Section == section && ours.Model == model && ours.Engine == engine && (name.Length == 0 || ours.Name == name)
               from theirs in rows
               where theirs.Section == section && theirs.Model == model && theirs.Engine == peer && theirs.Name == ours.Name
               let ratio = theirs.Median / ours.Median
               where !double.IsNaN(ratio)
               select Math.Log(ratio),
        ];
        return logarithms.Length == 0 ? double.NaN : Math.Exp(logarithms.Average());
    }

    private static double OfCopy(IReadOnlyList<GpuMeasurement> rows, string section, string model, string name)
    {
        double copy = rows.Where(row => row.Section == "copy" && !double.IsNaN(row.Median)).Select(row => row.Bytes!.Value / row.Median).DefaultIfEmpty(double.NaN).Max();
        GpuMeasurement? ours = rows.LastOrDefault(row => row.Section == section && row.Model == model && row.Name == name && row.Engine == GpuMeasurement.Ours);
        return ours?.Bytes is { } bytes ? bytes / ours.Median / copy : double.NaN;
    }

    private static double Memory(IReadOnlyList<GpuMeasurement> rows, string model)
    {
        double? Peak(string engine) => rows.LastOrDefault(row => row.Section == "step" && row.Model == model && row.Engine == engine)?.PeakBytes;
        return Peak(GpuMeasurement.Ours) / Peak("torch eager") ?? double.NaN;
    }

    private static double GradientError(IReadOnlyList<GpuMeasurement> rows, string model)
    {
        double? Error(string engine) => rows.LastOrDefault(row => row.Section == "accuracy" && row.Model == model && row.Engine == engine)?.Values?[0];
        return Error($"{GpuMeasurement.Ours} bf16") / Error("torch bf16 autocast") ?? double.NaN;
    }

    private static string F(FormattableString text) => FormattableString.Invariant(text);
}
