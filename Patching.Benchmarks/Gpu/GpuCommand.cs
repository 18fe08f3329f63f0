using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text.Json;
using System.Text.Json.Nodes;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Pipeline;

[assembly: InternalsVisibleTo("Patching.Tests")]

namespace Patching.Benchmarks.Gpu;

/// <summary>
/// The commands <c>gpu</c> and <c>gpu-report</c>: what the CUDA engine does on this machine's GPU beside PyTorch. Every measurement is a line of
/// <c>measurements.jsonl</c> as soon as it is there, so that several calls, each within the time a machine is lent for, add up to one report.
/// </summary>
internal static class GpuCommand
{
    private const string MeasurementsFile = "measurements.jsonl";

    /// <summary>Measures and reports.</summary>
    /// <returns>0; 1 where a kernel was refused or one of our own pieces of work failed; 2 where an option is wrong or there is no such device.</returns>
    public static int Run(string[] args)
    {
        GpuOptions options;
        try
        {
            options = GpuOptions.Parse(args);
        }
        catch (ArgumentException error)
        {
            Console.Error.WriteLine(error.Message);
            Console.Error.WriteLine(GpuOptions.Usage);
            return 2;
        }
        try
        {
            return Run(options);
        }
        catch (DeviceException error)
        {
            Console.Error.WriteLine($"gpu: {error.Message}");
            return 2;
        }
    }

    private static int Run(GpuOptions options)
    {
        Directory.CreateDirectory(options.Output);
        List<GpuMeasurement> rows = [];
        using (StreamWriter lines = new(Path.Combine(options.Output, MeasurementsFile), append: true) { AutoFlush = true })
        {
            foreach (GpuMeasurement row in Measure(options))
            {
                rows.Add(row);
                lines.WriteLine(row.ToJson());
                Console.WriteLine(GpuReport.Line(row));
            }
        }
        File.WriteAllText(Path.Combine(options.Output, "report.md"), GpuReport.ToMarkdown(rows));
        return rows.Any(row => row.IsOurs && row.Failure is not null) ? 1 : 0;
    }

    /// <summary>Makes one report of several calls.</summary>
    public static int Report(string[] args)
    {
        int at = Array.IndexOf(args, "--out");
        string? output = at >= 0 && at + 1 < args.Length ? args[at + 1] : null;
        string[] files = [.. args.Where((_, i) => at < 0 || (i != at && i != at + 1))];
        if (files.Length == 0)
        {
            Console.Error.WriteLine(GpuOptions.Usage);
            return 2;
        }
        try
        {
            string report = GpuReport.ToMarkdown([.. files.SelectMany(File.ReadLines).Where(line => line.Length > 0).Select(GpuMeasurement.Parse)]);
            if (output is null) Console.WriteLine(report);
            else File.WriteAllText(output, report);
            return 0;
        }
        catch (Exception error) when (error is IOException or JsonException)
        {
            Console.Error.WriteLine($"gpu-report: {error.Message}");
            return 2;
        }
    }

    private static IEnumerable<GpuMeasurement> Measure(GpuOptions options)
    {
        DateTime start = DateTime.UtcNow;
        using PeerProcess peer = new(options.Python, options.Peer, options.PeerDevice);
        using Device device = Device.Open(options.Device);
        foreach (GpuMeasurement fact in Facts(device, peer, start)) yield return fact;
        foreach ((string name, Func<IEnumerable<GpuMeasurement>> measure) in Pieces(device, peer, options))
        {
            if (DateTime.UtcNow - start > options.Limit)
            {
                yield return new GpuMeasurement { Section = "limit", Name = name, Engine = GpuMeasurement.Ours, Text = "not measured: --minutes were over" };
                continue;
            }
            Console.Error.WriteLine(string.Create(CultureInfo.InvariantCulture, $"[{(DateTime.UtcNow - start).TotalSeconds,5:0} s] {name}"));
            foreach (GpuMeasurement row in measure()) yield return row;
        }
    }

    private static IEnumerable<GpuMeasurement> Facts(Device device, PeerProcess peer, DateTime start)
    {
        GpuMeasurement Fact(string name, string text) => new() { Section = "facts", Name = name, Engine = GpuMeasurement.Ours, Text = text };
        yield return Fact("device", device.Name);
        yield return Fact("date", start.ToString("yyyy-MM-dd HH:mm 'UTC'", CultureInfo.InvariantCulture));
        yield return Fact("patching", $"{PatchPipeline.Version}, {GpuOptions.PrecisionOn(device).Name()}, .NET {Environment.Version}");
        PeerAnswer answer = peer.Ask(new JsonObject { ["work"] = "facts" });
        yield return Fact("peer", answer.Failure ?? $"PyTorch {answer.Values["torch"]}, CUDA {answer.Values["cuda"]}, {answer.Values["device"]}");
    }

    private static IEnumerable<(string Name, Func<IEnumerable<GpuMeasurement>> Measure)> Pieces(Device device, PeerProcess peer, GpuOptions options)
    {
        TowerPrecision precision = GpuOptions.PrecisionOn(device);
        foreach (string section in GpuOptions.Sections.Where(options.Only.Contains))
        {
            switch (section)
            {
                case "kernels":
                    yield return (section, () => Kernels(device));
                    continue;
                case "accuracy":
                    yield return ($"{section} {options.Models[0].Name}", () => AccuracyCheck.Gradients(device, options.Models[0], peer));
                    continue;
                case "losses":
                    yield return ($"{section} {options.Models[0].Name}", () => AccuracyCheck.Losses(device, options.Models[0]));
                    continue;
            }
            foreach (GpuWork work in Works(section, precision, options))
                yield return ($"{work.Section} {work.Model} {work.Name}", () => work.Measure(device, peer, options));
        }
    }

    private static IEnumerable<GpuMeasurement> Kernels(Device device) => KernelFacts.All(device).Select(facts => new GpuMeasurement
    {
        Section = "kernels",
        Name = facts.Kernel,
        Engine = GpuMeasurement.Ours,
        Seconds = [facts.Time.TotalSeconds],
        Text = string.Create(
            CultureInfo.InvariantCulture, $"{facts.Target}, {facts.Registers} registers, {facts.LocalBytes} bytes spilled, {facts.SharedBytes} bytes shared"),
        Failure = facts.Failure,
    });

    private static IEnumerable<GpuWork> Works(string section, TowerPrecision precision, GpuOptions options) => section switch
    {
        "copy" => [ModelWork.Copy()],
        "interpolate" => [ModelWork.Interpolate(options.Models[^1], precision)],
        "optimizer" => ModelWork.Optimizer(options.Models[^1], precision),
        "gemm" => options.Models.SelectMany(model => KernelWork.Gemms(ModelShape.Of(model), options.Batch, precision.Operands())),
        "attention" => options.Models.SelectMany(model => KernelWork.Attentions(ModelShape.Of(model), options.Batch, precision.Operands())),
        "inference" => options.Models.Select(model => ModelWork.Inference(model, options)),
        _ => options.Models.Select(model => ModelWork.Step(model, options)),
    };
}
