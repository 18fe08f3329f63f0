using NUnit.Framework;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Training;

namespace Patching.Tests.Model.Clip;

/// <summary>Losses, every gradient, clipping and AdamW steps of a fine-tune against the reference values.</summary>
[TestFixture(DeviceKind.Host)]
[TestFixture(DeviceKind.Simulator)]
internal sealed class GoldenTrainingTests(DeviceKind kind)
{
    private Device device = null!;

    [OneTimeSetUp]
    public void OpenDevice() => device = Device.Open(kind);

    [OneTimeTearDown]
    public void CloseDevice() => device.Dispose();

    [Test]
    public void EveryGradientMatches()
    {
        using GoldenRun run = new(device, Repository.Shared("golden", "tiny"));
        StepReport report = run.Step(0);
        Assert.That(report.Loss, Is.EqualTo(run.Golden.Json.GetProperty("loss_ce").GetDouble()).Within(3e-6), "loss");
        double squaredDistance = 0, squaredNorm = 0;
        foreach (ParameterSpec spec in run.Finetuner.Gradients.Table)
        {
            float[] expected = run.Golden.Parameter("train", "grad0.", spec), actual = run.Finetuner.Gradients[spec.Name].ToArray();
            double norm = Math.Sqrt(expected.Sum(value => (double)value * value));
            (_, double relative) = GoldenModel.Distance(actual, expected);
            Assert.That(relative, Is.LessThanOrEqualTo(1e-4), spec.Name);
            squaredDistance += relative * relative * norm * norm;
            squaredNorm += norm * norm;
        }
        Assert.That(Math.Sqrt(squaredDistance / squaredNorm), Is.LessThanOrEqualTo(1e-5), "all parameters together");
    }

    [TestCase("tiny")]
    [TestCase("medium-vision")]
    public void EveryStepMatches(string name)
    {
        if (kind == DeviceKind.Simulator && name != "tiny") Assert.Ignore("one model is enough for the simulator");
        using GoldenRun run = new(device, Repository.Shared("golden", name));
        double[] losses = run.Numbers("loss"), norms = run.Numbers("grad_norm_before_clip"), rates = run.Numbers("lr");
        int steps = kind == DeviceKind.Simulator ? 1 : losses.Length;
        for (int step = 0; step < steps; step++)
        {
            StepReport report = run.Step(step);
            Assert.That(report.Loss, Is.EqualTo(losses[step]).Within(1e-5 * losses[step]), $"loss of step {step}");
            Assert.That(report.GradientNorm, Is.EqualTo(norms[step]).Within(1e-5 * norms[step]), $"gradient norm of step {step}");
            Assert.That(report.LearningRate, Is.EqualTo(rates[step]).Within(2).Ulps, $"learning rate of step {step}");
            if (name == "tiny" && step is 0 or 4) AssertUpdates(run, step + 1);
        }
        if (kind == DeviceKind.Host) AssertInterpolatedLogits(run);
    }

    private static void AssertUpdates(GoldenRun run, int steps)
    {
        double squaredDistance = 0, squaredNorm = 0;
        foreach (ParameterSpec spec in run.Finetuner.Parameters.Table)
        {
            if (!run.Golden.Has("train", $"param_after{steps}.{spec.Name}")) continue;
            float[] expected = run.Golden.Parameter("train", $"param_after{steps}.", spec), actual = run.Finetuner.Parameters[spec.Name].ToArray();
            float[] start = run.Model.Vision[spec.Name].ToArray();
            for (int i = 0; i < expected.Length; i++)
            {
                // The gradient of the key biases is exactly zero; AdamW turns the rounding noise there into steps of full size.
                int width = run.Model.Config.Vision.Width;
                if (spec.Name.EndsWith("in_proj_bias", StringComparison.Ordinal) && i >= width && i < 2 * width) continue;
                double update = (double)expected[i] - start[i], difference = (double)actual[i] - expected[i];
                squaredDistance += difference * difference;
                squaredNorm += update * update;
            }
        }
        Assert.That(squaredNorm, Is.GreaterThan(0));
        Assert.That(Math.Sqrt(squaredDistance / squaredNorm), Is.LessThanOrEqualTo(5e-3), $"update after {steps} steps");
    }

    private void AssertInterpolatedLogits(GoldenRun run)
    {
        using ParameterSet between = new(device, "between", run.Model.Vision.Table);
        foreach (double alpha in (double[])[0, 0.3, 1])
        {
            Interpolation.Forward(device, between.Flat, run.Model.Vision.Flat, run.Finetuner.Parameters.Flat, alpha);
            using VisionActivations a = VisionActivations.Allocate(device, run.Model.Config, run.Batch, training: false);
            a.Images.CopyFrom(run.Golden.Pixels(0, run.Batch, run.Model.Config.Vision.ImageSize));
            run.Model.Tower.Forward(new VisionParameters(between, run.Model.Config), a);
            using ImageClassifier classifier = new(device, run.Head, run.Batch);
            float[] expected = run.Golden.Floats("train", FormattableString.Invariant($"logits_alpha{alpha}"));
            GoldenModel.AssertClose(classifier.Logits(a.Features), expected, 5e-2, 5e-3, $"logits at alpha {alpha}");
        }
    }

    /// <summary>A fine-tune with the settings, images, labels and head of the reference run.</summary>
    private sealed class GoldenRun : IDisposable
    {
        public GoldenRun(Device device, string folder)
        {
            Golden = new GoldenModel(folder);
            Model = ClipModel.Open(device, Path.Combine(folder, "hf"));
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
                BatchSize = Batch,
            };
            Finetuner = new Finetuner(device, Model.Config, Model.Tower, Model.Vision, Head, settings);
        }

        public GoldenModel Golden { get; }

        public ClipModel Model { get; }

        public ZeroShotHead Head { get; }

        public int Batch { get; }

        public Finetuner Finetuner { get; }

        public StepReport Step(int step)
        {
            int[] labels = Golden.Ints("inputs", "labels")[(step * Batch)..((step + 1) * Batch)];
            Finetuner.Step(Golden.Pixels(step, Batch, Model.Config.Vision.ImageSize), labels);
            return Finetuner.Report();
        }

        public double[] Numbers(string name) => [.. Golden.Json.GetProperty("finetune_float64").GetProperty(name).EnumerateArray().Select(value => value.GetDouble())];

        public void Dispose()
        {
            Finetuner.Dispose();
            Model.Dispose();
            Golden.Dispose();
        }
    }
}
