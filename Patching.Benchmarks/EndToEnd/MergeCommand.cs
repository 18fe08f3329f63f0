using System.Diagnostics;
using System.Globalization;
using Patching.Kernels;
using Patching.Model.Merging;
using Patching.Model.Pipeline;

namespace Patching.Benchmarks.EndToEnd;

/// <summary>
/// The command <c>merge</c>: interpolating and merging two checkpoints of ViT-B/32 (605 MB each) into a third, beside a plain copy of one of them to a file that is flushed to the disk.
/// The inputs lie in the system's cache, so the disk's work is the same for all: writing one file.
/// </summary>
internal static class MergeCommand
{
    private const int CopyBytes = 8 << 20;

    /// <summary>Measures and prints. Argument: the number of rounds.</summary>
    public static int Run(string[] args)
    {
        int rounds = 5;
        if (args.Length > 1 || (args.Length == 1 && (!int.TryParse(args[0], CultureInfo.InvariantCulture, out rounds) || rounds < 1)))
        {
            Console.Error.WriteLine("merge takes one argument, the number of rounds");
            return 2;
        }
        string root = Directory.CreateTempSubdirectory("patching-merge").FullName;
        try
        {
            string[] models = [Path.Combine(root, "a"), Path.Combine(root, "b"), Path.Combine(root, "c")];
            for (int i = 0; i < models.Length; i++) LoadCommand.Write(models[i], seed: i + 1);
            Measure(root, models, rounds);
        }
        finally
        {
            Directory.Delete(root, recursive: true);
        }
        return 0;
    }

    private static void Measure(string root, string[] models, int rounds)
    {
        using Device device = Device.OpenBest();
        string file = Path.Combine(models[0], "model.safetensors"), target = Path.Combine(root, "out");
        double bytes = new FileInfo(file).Length;
        (string Name, Action Work)[] contenders =
        [
            ("plain copy of one file", () => Copy(file, Path.Combine(root, "copy"))),
            ("interpolate A B", () => ModelInterpolation.Run(device, models[0], models[1], [0.5], target, null, "", overwrite: true)),
            ("merge linear A B", () => Merge(models[..2], _ => LinearCombination.Mean([1, 1]), target)),
            ("merge linear A B C", () => Merge(models, _ => LinearCombination.Mean([1, 1, 1]), target)),
            ("merge slerp A B", () => Merge(models[..2], _ => new SphericalInterpolation(0.5), target)),
            ("merge ties A B C", () => Merge(models, _ => new TiesMerge(0.2, 1), target)),
            ("merge dare A B C", () => Merge(models, _ => new DareMerge(0.9, [1, 1], 0), target)),
        ];
        double[][] times = [.. contenders.Select(_ => new double[rounds])];
        for (int round = -1; round < rounds; round++)
        {
            for (int i = 0; i < contenders.Length; i++)
            {
                Stopwatch watch = Stopwatch.StartNew();
                contenders[i].Work();
                // The first round compiles.
                if (round >= 0) times[i][round] = watch.Elapsed.TotalSeconds;
                if (Directory.Exists(target)) Directory.Delete(target, recursive: true);
            }
        }
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{bytes / 1e6:F0} MB per model, {device.Name}, median of {rounds} rounds; load average before {LoadMeter.Averages}"));
        Console.WriteLine();
        Console.WriteLine("| | s | GB/s written | copy / this |");
        Console.WriteLine("|---|---:|---:|---:|");
        double copy = LoadCommand.Median(times[0]);
        for (int i = 0; i < contenders.Length; i++)
        {
            double seconds = LoadCommand.Median(times[i]);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"| {contenders[i].Name} | {seconds:F2} | {bytes / seconds / 1e9:F2} | {copy / seconds:P0} |"));
        }
    }

    private static void Merge(string[] models, Func<ModelMerge, MergeMethod> method, string target)
    {
        using ModelMerge merge = ModelMerge.Open(models, null);
        merge.Save(method(merge), [.. Enumerable.Range(0, models.Length)], new MergeOutput(target));
    }

    private static void Copy(string from, string to)
    {
        byte[] buffer = new byte[CopyBytes];
        using FileStream source = new(from, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
        using FileStream stream = new(to, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0);
        for (int count; (count = source.Read(buffer)) > 0;) stream.Write(buffer, 0, count);
        stream.Flush(flushToDisk: true);
        stream.Dispose();
        File.Delete(to);
    }
}
