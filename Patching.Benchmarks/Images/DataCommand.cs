using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using Patching.Benchmarks.EndToEnd;
using Patching.Benchmarks.Gpu;
using Patching.Model.Images;

namespace Patching.Benchmarks.Images;

/// <summary>The command <c>data</c>: from image files to the model's batches, beside Pillow and torchvision.</summary>
internal static class DataCommand
{
    private const int Size = 224;

    /// <summary>Measures and reports.</summary>
    public static int Run(string[] args)
    {
        DataOptions options;
        try
        {
            options = DataOptions.Parse(args);
        }
        catch (ArgumentException error)
        {
            Console.Error.WriteLine(error.Message);
            Console.Error.WriteLine(DataOptions.Usage);
            return 2;
        }
        string folder = Directory.CreateTempSubdirectory("patching-data-benchmark").FullName;
        try
        {
            string report = Measure(options, folder);
            Console.WriteLine(report);
            if (options.Output is { } path) File.WriteAllText(path, report);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
        return 0;
    }

    private static string Measure(DataOptions options, string folder)
    {
        using PeerProcess peer = new(options.Python, options.Peer);
        StringBuilder text = new();
        string before = LoadMeter.Averages;
        double busy = LoadMeter.BusySeconds, own = OwnSeconds();
        long start = Environment.TickCount64;
        OneCore one = new(options.Photos, peer, Size);
        WholePipeline pipeline = new(options.Photos, peer, options.Images, Size, folder);
        string bits = pipeline.CompareBits();
        List<Contest> contests = [one.Decoding(), one.Resampling(), one.Both(), pipeline.Evaluation(1)];
        if (Environment.ProcessorCount > 1) contests.Add(pipeline.Evaluation(Environment.ProcessorCount));
        contests.Add(pipeline.Cached(1));
        foreach (Contest contest in contests) contest.Run(options.Rounds);
        ReducedJpegs[] reduced = [.. new[] { 3, 6 }.Select(across => ReducedJpegs.Measure(options.Photos, across, Size, 2 * Size, folder))];
        TrainingOverlap? overlap = options.Steps == 0 ? null : TrainingOverlap.Measure(pipeline.Dataset, options.Steps);

        text.AppendLine("# The image pipeline beside Pillow and torchvision").AppendLine();
        text.AppendLine(F($"- date: {DateTime.UtcNow:yyyy-MM-dd HH:mm} UTC, {(Environment.TickCount64 - start) / 1000} s"));
        text.AppendLine(F($"- processor: {HostReport.Processor()}, {Environment.ProcessorCount} cores; resampling with {WeightedSum.Best}"));
        text.AppendLine(F($"- peer: {Versions(peer)}"));
        double bytes = options.Photos.Average(photo => new FileInfo(photo).Length);
        text.AppendLine(F(
            $"- images: {options.Photos.Count} JPEGs, {bytes / 1000:F0} kB on average, to {Size} x {Size}; files in the system's cache"));
        text.AppendLine(F($"- median of {options.Rounds} rounds (slowest to fastest), engines taking turns; load average before {before}"));
        if (!double.IsNaN(busy)) text.AppendLine(Others(busy, own, start));
        text.AppendLine(F($"- squares of ours and of Pillow: {bits}"));
        foreach (Contest contest in contests) Append(text, contest);
        Append(text, reduced);
        if (overlap is not null) Append(text, overlap);
        return text.ToString();
    }

    private static void Append(StringBuilder text, Contest contest)
    {
        text.AppendLine().AppendLine(F($"## {char.ToUpperInvariant(contest.Title[0])}{contest.Title[1..]}")).AppendLine();
        text.AppendLine("| | images/s | slowest | fastest | images/s and core | share of the floor | patching is x times as fast |");
        text.AppendLine("|---|---:|---:|---:|---:|---:|---:|");
        double ours = contest.Entrants[0].Median;
        double floor = contest.Entrants.FirstOrDefault(entrant => entrant.Kind == EntrantKind.Floor)?.Median ?? double.NaN;
        foreach (Entrant entrant in contest.Entrants)
        {
            if (entrant.Failure is not null)
            {
                text.AppendLine(F($"| {entrant.Name} | not available: {entrant.Failure} | | | | | |"));
                continue;
            }
            double rate = contest.Images / entrant.Median;
            string share = double.IsNaN(floor) ? "" : F($"{floor / entrant.Median:P0}");
            text.Append(F($"| {entrant.Name} | {rate:F0} | {contest.Images / entrant.Seconds.Max():F0} | {contest.Images / entrant.Seconds.Min():F0} |"));
            text.AppendLine(F($" {rate / contest.Cores:F0} | {share} | {entrant.Median / ours:F2} |"));
        }
    }

    private static void Append(StringBuilder text, ReducedJpegs[] reduced)
    {
        text.AppendLine().AppendLine("## --reduced-jpeg on large pictures (mosaics of the photos), one core").AppendLine();
        text.Append("| picture | whole, images/s | reduced, images/s | times as fast | mean difference, levels |");
        text.AppendLine(" differ by more than 4 levels | largest difference |");
        text.AppendLine("|---|---:|---:|---:|---:|---:|---:|");
        foreach (ReducedJpegs row in reduced)
        {
            text.Append(F($"| {row.Sides} | {1 / row.ExactSeconds:F0} | {1 / row.ReducedSeconds:F0} | {row.ExactSeconds / row.ReducedSeconds:F2} |"));
            text.AppendLine(F($" {row.Mean:F2} | {row.Beyond:P2} | {row.Largest} |"));
        }
    }

    private static void Append(StringBuilder text, TrainingOverlap overlap)
    {
        text.AppendLine().AppendLine(F($"## Fine-tuning ViT-B/32 on the same cores, batch {TrainingOverlap.Batch}")).AppendLine();
        text.AppendLine("| | ms per step | images/s |");
        text.AppendLine("|---|---:|---:|");
        text.AppendLine(F($"| the same batch over and over | {overlap.SameBatch * 1e3:F0} | {TrainingOverlap.Batch / overlap.SameBatch:F1} |"));
        text.AppendLine(F($"| batches made from JPEGs meanwhile | {overlap.FromFiles * 1e3:F0} | {TrainingOverlap.Batch / overlap.FromFiles:F1} |"));
        text.AppendLine(F($"| of which waiting for a batch | {overlap.Waiting * 1e3:F1} | |"));
    }

    private static string Versions(PeerProcess peer)
    {
        PeerAnswer answer = peer.Ask(new JsonObject { ["work"] = "versions" });
        return answer.Failure ?? answer.Values["text"]!.GetValue<string>();
    }

    // The peer is a process of its own, and its workers are its children: they cannot be told from strangers, so only the whole is given.
    private static string Others(double busyBefore, double ownBefore, long start)
    {
        double seconds = (Environment.TickCount64 - start) / 1000.0, capacity = seconds * Environment.ProcessorCount;
        double busy = (LoadMeter.BusySeconds - busyBefore) / capacity, own = (OwnSeconds() - ownBefore) / capacity;
        return F($"- all processes together, peers included, used {busy:P0} of the machine, this one {own:P0}");
    }

    private static double OwnSeconds() => Environment.CpuUsage.TotalTime.TotalSeconds;

    private static string F(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
