using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Images;
using Patching.Model.Training;

namespace Patching.Tests.Training;

/// <summary>A trainer of both towers of a tiny model with drawn weights, and batches of noise with texts of different lengths.</summary>
internal sealed class ContrastiveCase : IDisposable
{
    private const int EndOfText = 22;

    public static readonly ClipConfig Config = new(
        EmbeddingWidth: 16,
        new VisionConfig(ImageSize: 16, PatchSize: 8, Width: 16, Layers: 1, Heads: 1, MlpWidth: 32),
        new TextConfig(ContextLength: 7, VocabularySize: EndOfText + 1, Width: 16, Layers: 1, Heads: 1, MlpWidth: 32, TextPooling.ArgMaxId, EndOfText),
        ActivationKind.QuickGelu,
        ClipConfig.DefaultLayerNormEpsilon);

    private readonly VisionTransformer images;
    private readonly int batch;

    public ContrastiveCase(Device device, int batch, int microBatch, TowerPrecision precision = TowerPrecision.Float32)
    {
        this.batch = batch;
        ContrastiveSettings settings = new()
        {
            TrainDataset = "noise",
            TrainPairs = 4 * batch,
            StartsFrom = "",
            Epochs = 1,
            BatchSize = batch,
            MicroBatch = microBatch,
            LearningRate = 1e-3,
            Precision = precision,
        };
        PreprocessConfig preprocess = PreprocessConfig.Default(Config.Vision.ImageSize);
        images = new VisionTransformer(device, Config, new NormalizationTable(preprocess.Mean.AsSpan(), preprocess.Std.AsSpan()).Values);
        Trainer = new ContrastiveTrainer(
            device, Config, images, new TextTransformer(device, Config, precision), (spec, values) => ClipInitialization.Fill(Config, 3, spec, values), (_, _, _) => [], settings);
    }

    public ContrastiveTrainer Trainer { get; }

    /// <summary>One step on a batch that the seed draws.</summary>
    public StepReport Step(int seed)
    {
        Random random = new(seed);
        byte[] pixels = new byte[batch * 16 * 16 * 3];
        random.NextBytes(pixels);
        Trainer.Step(pixels, [.. Enumerable.Range(0, batch).Select(_ => Text(random))]);
        return Trainer.Report();
    }

    public void Dispose()
    {
        Trainer.Dispose();
        images.Dispose();
    }

    private static int[] Text(Random random)
    {
        int[] row = new int[Config.Text!.ContextLength];
        int end = random.Next(2, row.Length);
        row[0] = EndOfText - 1;
        for (int i = 1; i < end; i++) row[i] = random.Next(1, EndOfText - 1);
        row[end] = EndOfText;
        return row;
    }
}
