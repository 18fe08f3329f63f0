using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Training;

namespace Patching.Tests.Model.Clip;

/// <summary>A fine-tune with the settings, images, labels and head of the reference run.</summary>
internal sealed class GoldenRun : IDisposable
{
    /// <summary>Opens the model and allocates the fine-tune.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="folder">Where the reference values are.</param>
    /// <param name="precision">Arithmetic of the tower.</param>
    /// <param name="images">Images of a step: all of the reference run's, or the first few of them.</param>
    public GoldenRun(Device device, string folder, TowerPrecision precision = TowerPrecision.Float32, int? images = null)
    {
        Golden = new GoldenModel(folder);
        Model = ClipModel.Open(device, Path.Combine(folder, "hf"), precision: precision);
        float[] head = Golden.Floats("forward", "head_mnist");
        Head = new ZeroShotHead(head, 10, Model.Config.EmbeddingWidth);
        System.Text.Json.JsonElement hp = Golden.Json.GetProperty("hp");
        int steps = hp.GetProperty("steps").GetInt32(), total = hp.GetProperty("total").GetInt32();
        Batch = Golden.Ints("inputs", "labels").Length / steps;
        FinetuneSettings settings = new()
        {
            TrainDataset = "golden",
            TrainImages = Batch * total,
            BaseModelSha256 = "",
            HeadKey = "",
            Epochs = 1,
            LearningRate = hp.GetProperty("lr").GetDouble(),
            WeightDecay = hp.GetProperty("wd").GetDouble(),
            LabelSmoothing = hp.GetProperty("ls").GetDouble(),
            WarmupLength = hp.GetProperty("warmup").GetInt32(),
            BatchSize = images ?? Batch,
            Precision = precision,
        };
        Finetuner = new Finetuner(device, Model.Config, Model.Tower, Model.Checkpoint.Read, Head, settings);
    }

    public GoldenModel Golden { get; }

    public ClipModel Model { get; }

    public ZeroShotHead Head { get; }

    public int Batch { get; }

    public Finetuner Finetuner { get; }

    /// <summary>A step with the reference's images, or with the first few of them.</summary>
    public StepReport Step(int step, int? images = null)
    {
        Finetuner.Step(Pixels(step, images ?? Batch), Labels(step, images ?? Batch));
        return Finetuner.Report();
    }

    /// <summary>The first images of a step.</summary>
    public byte[] Pixels(int step, int count)
    {
        int size = Model.Config.Vision.ImageSize;
        return Golden.Pixels(step, Batch, size)[..(count * size * size * 3)];
    }

    /// <summary>Their labels.</summary>
    public int[] Labels(int step, int count) => Golden.Ints("inputs", "labels")[(step * Batch)..(step * Batch + count)];

    public double[] Numbers(string name) => [.. Golden.Json.GetProperty("finetune_float64").GetProperty(name).EnumerateArray().Select(value => value.GetDouble())];

    public void Dispose()
    {
        Finetuner.Dispose();
        Model.Dispose();
        Golden.Dispose();
    }
}
