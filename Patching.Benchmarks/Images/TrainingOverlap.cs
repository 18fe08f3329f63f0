using System.Diagnostics;
using Patching.Benchmarks.EndToEnd;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Data;
using Patching.Model.Images;
using Patching.Model.Training;

namespace Patching.Benchmarks.Images;

/// <summary>Fine-tuning steps of ViT-B/32 on the processor, with one batch over and over and with batches from the pipeline.</summary>
/// <param name="SameBatch">Seconds of a step whose batch lies ready.</param>
/// <param name="FromFiles">Seconds of a step, its batch made from JPEGs on the same cores.</param>
/// <param name="Waiting">Seconds of it that the step waited for the batch.</param>
internal sealed record TrainingOverlap(double SameBatch, double FromFiles, double Waiting)
{
    /// <summary>Images of a step.</summary>
    public const int Batch = 32;

    private const int Classes = 10;

    /// <summary>Measures one, then the other.</summary>
    public static TrainingOverlap Measure(ImageDataset dataset, int steps)
    {
        BenchmarkModel model = BenchmarkModel.Named("ViT-B/32");
        using Device device = Device.Open(DeviceKind.Host);
        using VisionTransformer tower = new(device, model.Config, ClipNormalization.Table.Values);
        FinetuneSettings settings = new()
        {
            TrainDataset = "benchmark",
            TrainImages = dataset.Count,
            BaseModelSha256 = "",
            HeadKey = "",
            Epochs = 1000,
            WarmupLength = 0,
            BatchSize = Batch,
            LearningRate = 1e-6,
        };
        using Finetuner finetuner = new(device, model.Config, tower, model.Fill, model.Head(Classes), settings);
        byte[] pixels = model.Pixels(Batch);
        int[] labels = BenchmarkModel.Labels(Batch, Classes);
        BatchOptions options = new(Batch, model.Config.Vision.ImageSize);
        double same = Average(steps, () =>
        {
            finetuner.Step(pixels, labels);
            _ = finetuner.Report();
        });
        double waited = 0;
        int begun = -1;
        using BatchPipeline pipeline = BatchPipeline.ForTraining(dataset, options, seed: 1, epoch: 0);
        double files = Average(steps, () =>
        {
            long start = Stopwatch.GetTimestamp();
            using ImageBatch batch = pipeline.Next() ?? throw new InvalidOperationException("too few images for so many steps");
            if (begun++ >= 0) waited += Stopwatch.GetElapsedTime(start).TotalSeconds;
            finetuner.Step(batch.Pixels.AsSpan(0, batch.Count * model.ImageBytes), batch.Labels);
            _ = finetuner.Report();
        });
        return new TrainingOverlap(same, files, waited / steps);
    }

    // The first step compiles, and fills the pipeline.
    private static double Average(int steps, Action step)
    {
        step();
        long start = Stopwatch.GetTimestamp();
        for (int i = 0; i < steps; i++) step();
        return Stopwatch.GetElapsedTime(start).TotalSeconds / steps;
    }
}
