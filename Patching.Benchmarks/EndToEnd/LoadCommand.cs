using System.Collections.Immutable;
using System.Diagnostics;
using System.Globalization;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Benchmarks.EndToEnd;

/// <summary>
/// The command <c>load</c>: from a checkpoint of ViT-B/32 (605 MB) on disk to both towers on the device, every value checked, beside a plain
/// read of the same file: once from the disk, the file dropped from the system's cache before, and once from that cache.
/// </summary>
internal static partial class LoadCommand
{
    private const int DefaultRounds = 7;
    private const int ReadBytes = 8 << 20;
    private const int DropFromCache = 4;

    private static readonly ClipConfig Model = new(
        EmbeddingWidth: 512,
        new VisionConfig(ImageSize: 224, PatchSize: 32, Width: 768, Layers: 12, Heads: 12, MlpWidth: 3072),
        new TextConfig(77, 49408, Width: 512, Layers: 12, Heads: 8, MlpWidth: 2048, TextPooling.ArgMaxId, EndOfTextId: 49407),
        ActivationKind.QuickGelu,
        ClipConfig.DefaultLayerNormEpsilon);

    /// <summary>Measures and prints. Argument: the number of rounds.</summary>
    public static int Run(string[] args)
    {
        int rounds = DefaultRounds;
        if (args.Length > 1 || (args.Length == 1 && (!int.TryParse(args[0], CultureInfo.InvariantCulture, out rounds) || rounds < 1)))
        {
            Console.Error.WriteLine("load takes one argument, the number of rounds");
            return 2;
        }
        string folder = Directory.CreateTempSubdirectory("patching-load").FullName;
        try
        {
            Write(folder);
            Measure(folder, rounds);
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
        return 0;
    }

    private static void Measure(string folder, int rounds)
    {
        string file = Path.Combine(folder, "model.safetensors");
        long bytes = new FileInfo(file).Length;
        using Device device = Device.OpenBest();
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
            $"{bytes / 1e6:F0} MB to {device.Name}, median of {rounds} rounds, each beside a plain read; load average before {LoadMeter.Averages}"));
        Console.WriteLine();
        Console.WriteLine("| the file lies | plain read, GB/s | load, GB/s | load / plain read |");
        Console.WriteLine("|---|---:|---:|---:|");
        bool canDrop = OperatingSystem.IsLinux();
        foreach (bool cold in canDrop ? [true, false] : ImmutableArray.Create(false))
        {
            List<double> plain = [], load = [];
            for (int round = 0; round <= rounds; round++)
            {
                double read = Seconds(file, cold, () => ReadPlainly(file)), loaded = Seconds(file, cold, () => Load(device, folder));
                // The first round compiles.
                if (round == 0) continue;
                plain.Add(bytes / read / 1e9);
                load.Add(bytes / loaded / 1e9);
            }
            double share = Median([.. load.Zip(plain, (l, p) => l / p)]);
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture,
                $"| {(cold ? "on disk" : "in the system's cache")} | {Median(plain):F2} | {Median(load):F2} | {share:P0} |"));
        }
    }

    private static double Seconds(string file, bool cold, Action action)
    {
        if (cold) Drop(file);
        Stopwatch watch = Stopwatch.StartNew();
        action();
        return watch.Elapsed.TotalSeconds;
    }

    private static void ReadPlainly(string file)
    {
        using SafeFileHandle handle = File.OpenHandle(file, options: FileOptions.SequentialScan);
        byte[] buffer = new byte[ReadBytes];
        long position = 0;
        for (int count; (count = RandomAccess.Read(handle, buffer, position)) > 0;) position += count;
    }

    private static void Load(Device device, string folder)
    {
        using ClipModel model = ClipModel.Open(device, folder);
        _ = model.Vision;
        using ParameterSet text = new(device, "text parameters", ParameterTable.Text(model.Config));
        text.Load(model.Checkpoint.Read);
    }

    /// <summary>Writes a checkpoint of ViT-B/32.</summary>
    public static void Write(string folder, int seed = 1)
    {
        // The values do not matter; random bits of one sign and exponent cannot be compressed by what lies below.
        Random random = new(seed);
        CheckpointWriter.Save(folder, Model, PreprocessConfig.Default(Model.Vision.ImageSize), (_, values) =>
        {
            random.NextBytes(MemoryMarshal.AsBytes(values));
            foreach (ref uint bits in MemoryMarshal.Cast<float, uint>(values)) bits = (bits & 0x007f_ffff) | 0x3c00_0000;
        }, overwrite: true);
    }

    /// <summary>The middle of some numbers.</summary>
    public static double Median(IReadOnlyList<double> values)
    {
        double[] sorted = [.. values.Order()];
        return (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }

    private static void Drop(string file)
    {
        using SafeFileHandle handle = File.OpenHandle(file);
        RandomAccess.FlushToDisk(handle);
        if (Advise(handle, 0, 0, DropFromCache) != 0) throw new IOException($"{file}: cannot be dropped from the cache");
    }

    [LibraryImport("libc", EntryPoint = "posix_fadvise")]
    private static partial int Advise(SafeFileHandle file, long offset, long length, int advice);
}
