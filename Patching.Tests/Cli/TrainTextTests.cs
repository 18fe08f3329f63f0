using NUnit.Framework;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Pipeline;
using Patching.Model.Weights;

namespace Patching.Tests.Cli;

/// <summary><c>--train-text</c>: both towers fine-tuned, interpolated and saved.</summary>
internal sealed class TrainTextTests
{
    private static readonly string[] Short = ["--train-text", "--batch-size", "12", "--epochs", "2", "--lr", "1e-3", "--warmup_length", "2"];

    private TinyWorld world = null!;

    [SetUp]
    public void CreateWorld() => world = new TinyWorld();

    [TearDown]
    public void RemoveWorld() => world.Dispose();

    /// <summary>The gradients of contrastive training are checked against double precision; here it is the same training to the bit.</summary>
    [Test]
    public void IsContrastiveTrainingFromTheModel()
    {
        TinyWorld.Do(world.Patch(["--alpha", "1", .. Short]));
        string[] pretrain =
        [
            "pretrain", "--model", world.Model, "--train-dataset", world.Dataset, "--save", world["pretrained"], "--wd", "0.1", "--device", "cpu", "--threads", "2",
            "--workers", "2", .. Short[1..],
        ];
        TinyWorld.Do(pretrain);
        Assert.That(Towers(Path.Combine(world.Save, "alpha=1")), Is.EqualTo(Towers(world["pretrained", "model"])));
    }

    [Test]
    public void BothTowersAreInterpolatedSavedAndEvaluated()
    {
        Outcome patch = TinyWorld.Do(world.Patch(["--alpha", "0", "0.5", "1", .. Short]));
        float[] zero = Towers(Path.Combine(world.Save, "alpha=0")), half = Towers(Path.Combine(world.Save, "alpha=0.5")), one = Towers(Path.Combine(world.Save, "alpha=1"));
        Assert.That(zero, Is.EqualTo(Towers(world.Model)));
        Assert.That(half, Is.EqualTo(zero.Zip(one, (a, b) => a * 0.5f + b * 0.5f)));
        int vision = ParameterTable.Vision(TinyWorld.Config).Sum(spec => spec.Length);
        Assert.That(one[..vision], Is.Not.EqualTo(zero[..vision]), "image tower");
        Assert.That(one[vision..], Is.Not.EqualTo(zero[vision..]), "text tower");
        string[] alphas = ["0", "0.5", "1"];
        for (int i = 0; i < alphas.Length; i++)
        {
            // A saved model brings its own text tower, so the head is the one it was evaluated with.
            Outcome alone = TinyWorld.Do(world.Evaluate(Path.Combine(world.Save, $"alpha={alphas[i]}")));
            Assert.That(alone.OutputLines[^1].Split('|')[2].Trim(), Is.EqualTo(patch.OutputLines[2 + i].Split('|')[2].Trim()), $"alpha {alphas[i]}");
        }
        Outcome loaded = TinyWorld.Do(
            world.Patch("--train-text", "--alpha", "0", "0.5", "1", "--load", Path.Combine(world.Save, "alpha=1"), "--save", world["loaded"]));
        Assert.That(loaded.Output, Is.EqualTo(patch.Output));
        Assert.That(Towers(world["loaded", "alpha=0.5"]), Is.EqualTo(half));
    }

    [Test]
    public void LearnsTheColours()
    {
        string[] more = ["--alpha", "1", "--train-text", "--batch-size", "12", "--epochs", "12", "--lr", "3e-3", "--warmup_length", "2", "--eval-every-epoch"];
        Outcome outcome = TinyWorld.Do(world.Patch(more));
        Assert.That(outcome.OutputLines[^1], Does.Contain("(15/15)"));
        Assert.That(outcome.Error, Does.Contain("epoch 12: 100.00 % (15/15)"), "the weights of the last epoch under their own head");
    }

    [Test]
    public void InterruptedItEndsTheSameAndFinishedItIsNotRepeated()
    {
        TinyWorld.Do(world.Patch(["--alpha", "0.5", .. Short]));
        using (Device device = Device.Open(DeviceKind.Host, 2))
        {
            using CancellationTokenSource interruption = new();
            PatchSettings settings = new()
            {
                Model = world.Model,
                TrainDataset = world.Dataset,
                EvalDatasets = [world.Dataset],
                DataLocation = "",
                TrainText = true,
                Epochs = 2,
                LearningRate = 1e-3,
                WarmupLength = 2,
                BatchSize = 12,
                Save = world["again"],
            };
            using PatchPipeline pipeline = new(device, settings, new PipelineEvents { Training = (_, _) => interruption.Cancel() });
            Assert.That(() => pipeline.Patch(interruption.Token), Throws.InstanceOf<OperationCanceledException>());
        }
        string[] again = world.Patch(["--alpha", "0.5", .. Short, "--save", world["again"]]);
        Assert.That(TinyWorld.Do(again).Error, Does.Contain("continuing after step 3 of 6"));
        TinyWorld.AssertSameModels(world.Save, world["again"], "0.5");
        Assert.That(TinyWorld.Do(again).Error, Does.Contain("training found complete"));
    }

    private static float[] Towers(string model)
    {
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(model);
        return [.. ParameterTable.All(checkpoint.Config).SelectMany(spec =>
        {
            float[] values = new float[spec.Length];
            checkpoint.Read(spec, values);
            return values;
        })];
    }
}
