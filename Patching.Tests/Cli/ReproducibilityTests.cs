using NUnit.Framework;
using Patching.Cli;
using Patching.Kernels;
using Patching.Model.Pipeline;

namespace Patching.Tests.Cli;

/// <summary>The same command gives the same bytes, however often it was interrupted and however many threads load images.</summary>
internal sealed class ReproducibilityTests
{
    private TinyWorld world = null!;

    [SetUp]
    public void CreateWorld() => world = new TinyWorld();

    [TearDown]
    public void RemoveWorld() => world.Dispose();

    [Test]
    public void TheSameCommandTwiceGivesTheSameFiles()
    {
        Dictionary<string, string>[] runs = [Patched(), Patched()];
        Assert.That(runs[1], Is.EqualTo(runs[0]));

        Dictionary<string, string> Patched()
        {
            if (Directory.Exists(world.Save)) Directory.Delete(world.Save, recursive: true);
            TinyWorld.Do(world.Patch("--alpha", "0.3", "1"));
            return TinyWorld.Snapshot(world.Save);
        }
    }

    [Test]
    public void ThreadsThatLoadImagesDoNotMatter()
    {
        TinyWorld.Do(world.Patch("--alpha", "0.5"));
        TinyWorld.Do(world.Patch("--alpha", "0.5", "--workers", "7", "--save", world["other"]));
        TinyWorld.AssertSameModels(world.Save, world["other"], "0.5");
    }

    [Test]
    public void AnotherSeedGivesAnotherModel()
    {
        TinyWorld.Do(world.Patch("--alpha", "1"));
        TinyWorld.Do(world.Patch("--alpha", "1", "--seed", "5", "--save", world["other"]));
        string[] model = ["alpha=1", "model.safetensors"];
        Assert.That(TinyWorld.WithoutCommand(world[["other", .. model]]), Is.Not.EqualTo(TinyWorld.WithoutCommand(Path.Combine([world.Save, .. model]))));
    }

    [TestCase(1)]
    [TestCase(3)]
    public void InterruptedWithinAnEpochItEndsTheSame(int threads)
    {
        string number = threads.ToString(System.Globalization.CultureInfo.InvariantCulture);
        TinyWorld.Do(world.Patch("--alpha", "0.5", "1", "--batch-size", "2", "--threads", number));
        string[] again = world.Patch("--alpha", "0.5", "1", "--batch-size", "2", "--threads", number, "--save", world["again"]);

        using (Device device = Device.Open(DeviceKind.Host, threads))
        {
            using CancellationTokenSource interruption = new();
            PatchSettings settings = new()
            {
                Model = world.Model,
                TrainDataset = world.Dataset,
                EvalDatasets = [world.Dataset],
                DataLocation = "",
                Epochs = 2,
                LearningRate = 0.01,
                WarmupLength = 2,
                BatchSize = 2,
                Save = world["again"],
            };
            // Reports come every ten steps: 10 is in the middle of the first epoch.
            using PatchPipeline pipeline = new(device, settings, new PipelineEvents { Training = (_, _) => interruption.Cancel() });
            Assert.That(() => pipeline.Patch(interruption.Token), Throws.InstanceOf<OperationCanceledException>());
        }
        Outcome resumed = TinyWorld.Do(again);
        Assert.That(resumed.Error, Does.Match("continuing after step 1[0-7] of 36"));
        TinyWorld.AssertSameModels(world.Save, world["again"], "0.5", "1");
    }

    [Test]
    public void InterruptedBetweenEpochsItEndsTheSame()
    {
        string[] also = ["--alpha", "1", "--eval-every-epoch"];
        TinyWorld.Do(world.Patch(also));
        string[] again = world.Patch([.. also, "--save", world["again"]]);
        using CancellationTokenSource interruption = new();
        using CancelOn error = new("epoch 1: ", interruption);
        Assert.That(PatchingCommandLine.Run(again, TextWriter.Null, error, interruption.Token), Is.EqualTo(1));
        Assert.That(error.ToString(), Does.Contain("patching: interrupted; "));
        Assert.That(Directory.Exists(world["again", "alpha=1"]), Is.False);
        Assert.That(TinyWorld.Do(again).Error, Does.Contain("continuing after step 9 of 18"));
        TinyWorld.AssertSameModels(world.Save, world["again"], "1");
    }

    [Test]
    public void InterruptedAgainAndAgainItEndsTheSame()
    {
        TinyWorld.Do(world.Patch("--alpha", "0.5", "--batch-size", "1", "--epochs", "3"));
        string[] again = world.Patch("--alpha", "0.5", "--batch-size", "1", "--epochs", "3", "--save", world["again"]);
        int interruptions = 0, code;
        do
        {
            using CancellationTokenSource interruption = new(TimeSpan.FromMilliseconds(5 + interruptions * 3));
            StringWriter error = new();
            code = PatchingCommandLine.Run(again, TextWriter.Null, error, interruption.Token);
            if (code == 0) break;
            Assert.That(error.ToString(), Does.Contain("patching: interrupted; "));
            Assert.That(TinyWorld.Snapshot(world["again"]).Keys, Has.None.Contains(".tmp"));
            interruptions++;
        }
        while (true);
        Assert.That(interruptions, Is.GreaterThan(0));
        TinyWorld.AssertSameModels(world.Save, world["again"], "0.5");
    }

    /// <summary>Collects text and cancels when a line contains what it waits for.</summary>
    private sealed class CancelOn(string sign, CancellationTokenSource interruption) : StringWriter
    {
        public override void WriteLine(string? value)
        {
            base.WriteLine(value);
            if (value?.Contains(sign, StringComparison.Ordinal) == true) interruption.Cancel();
        }
    }
}
