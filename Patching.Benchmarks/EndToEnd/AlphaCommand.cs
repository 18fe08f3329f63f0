using System.Diagnostics;
using System.Globalization;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Data;
using Patching.Model.Evaluation;
using Patching.Model.Pipeline;
using Patching.Model.Weights;

namespace Patching.Benchmarks.EndToEnd;

/// <summary>
/// The command <c>alphas</c>: eleven alphas on a folder of image files, all in one pass over the images, beside one alpha after the other as the original evaluates them. Both
/// interpolate with the same kernel and give the same predictions, which is checked; what differs is how often images are read, decoded, preprocessed, uploaded and unfolded.
/// </summary>
internal static class AlphaCommand
{
    private const int Alphas = 11;
    private const int BatchSize = 128;

    /// <summary>Measures and prints. Arguments: a folder of images in class folders, rounds, images for the large model.</summary>
    public static int Run(string[] args)
    {
        int rounds = 3, images = 64;
        if (args.Length is < 1 or > 3 || (args.Length > 1 && (!int.TryParse(args[1], CultureInfo.InvariantCulture, out rounds) || rounds < 1))
            || (args.Length > 2 && (!int.TryParse(args[2], CultureInfo.InvariantCulture, out images) || images < 1)))
        {
            Console.Error.WriteLine("alphas FOLDER [ROUNDS] [IMAGES]: a folder with class folders of images, rounds, images for ViT-B/32");
            return 2;
        }
        using Device device = Device.OpenBest();
        ImageDataset dataset = DatasetCatalog.Open(DatasetCatalog.FolderPrefix + args[0], DatasetSplit.Test, "");
        Console.WriteLine(string.Create(
            CultureInfo.InvariantCulture, $"{Alphas} alphas, {device.Name}, batches of {BatchSize}, median of {rounds} rounds; load average before {LoadMeter.Averages}"));
        Console.WriteLine();
        Console.WriteLine("| model | images | decode and preprocess once, s | one pass, s | one after the other, s | times faster |");
        Console.WriteLine("|---|---:|---:|---:|---:|---:|");
        VisionConfig small = new(ImageSize: 28, PatchSize: 7, Width: 128, Layers: 4, Heads: 2, MlpWidth: 512);
        Measure(device, new BenchmarkModel("small (28 px, width 128, 4 layers)", new ClipConfig(64, small, null, ActivationKind.QuickGelu, ClipConfig.DefaultLayerNormEpsilon)), dataset, rounds);
        Measure(device, BenchmarkModel.Named("ViT-B/32"), new SubsetDataset(dataset.Name, dataset, [.. Enumerable.Range(0, Math.Min(images, dataset.Count))]), 1);
        return 0;
    }

    private static void Measure(Device device, BenchmarkModel shape, ImageDataset dataset, int rounds)
    {
        string folder = Directory.CreateTempSubdirectory("patching-alphas").FullName;
        try
        {
            CheckpointWriter.Save(folder, shape.Config, PreprocessConfig.Default(shape.Config.Vision.ImageSize), shape.Fill, overwrite: true);
            using ClipModel model = ClipModel.Open(device, folder);
            using ParameterSet tuned = new(device, "fine-tuned parameters", model.Vision.Table);
            tuned.Load((spec, values) =>
            {
                shape.Fill(spec, values);
                for (int i = 0; i < values.Length; i++) values[i] *= 1.1f;
            });
            using PatchedModels line = new(model, model.Vision, tuned);
            BatchOptions options = new(BatchSize, shape.Config.Vision.ImageSize);
            using Evaluator evaluator = new(model, options);
            ZeroShotHead head = shape.Head(dataset.ClassNames.Count);
            double[] alphas = [.. Enumerable.Range(0, Alphas).Select(i => i / (Alphas - 1.0))];
            List<double> decode = [], together = [], apart = [];
            for (int round = 0; round <= rounds; round++)
            {
                double d = Seconds(() => Decode(dataset, options));
                EvaluationScore[] one = [], other = [];
                double t = Seconds(() =>
                {
                    bool resident = line.Hold(alphas);
                    one = evaluator.Evaluate(dataset, head, Alphas, i => line.At(alphas[i]), resident: resident);
                });
                line.Hold([]);
                double a = Seconds(() => other = [.. alphas.Select(alpha => evaluator.Evaluate(dataset, head, 1, _ => line.At(alpha))[0])]);
                if (one.Zip(other).Any(pair => !pair.First.Predictions.AsSpan().SequenceEqual(pair.Second.Predictions))) throw new InvalidOperationException("the predictions differ");
                // The first round compiles and fills the system's cache.
                if (round == 0) continue;
                decode.Add(d);
                together.Add(t);
                apart.Add(a);
            }
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"| {shape.Name} | {dataset.Count} | {LoadCommand.Median(decode):F2} | {LoadCommand.Median(together):F2} | {LoadCommand.Median(apart):F2} | {LoadCommand.Median([.. apart.Zip(together, (a, t) => a / t)]):F2} |"));
        }
        finally
        {
            Directory.Delete(folder, recursive: true);
        }
    }

    private static void Decode(ImageDataset dataset, BatchOptions options)
    {
        using BatchPipeline pipeline = BatchPipeline.ForEvaluation(dataset, options);
        while (pipeline.Next() is { } batch) batch.Dispose();
    }

    private static double Seconds(Action action)
    {
        Stopwatch watch = Stopwatch.StartNew();
        action();
        return watch.Elapsed.TotalSeconds;
    }
}
