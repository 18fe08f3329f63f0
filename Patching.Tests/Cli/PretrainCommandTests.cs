using NUnit.Framework;
using Patching.Kernels;
using Patching.Model.Pipeline;
using Patching.Model.Weights;

namespace Patching.Tests.Cli;

/// <summary><c>patching pretrain</c> through the real command line.</summary>
internal sealed class PretrainCommandTests
{
    private TinyWorld world = null!;

    [SetUp]
    public void CreateWorld() => world = new TinyWorld();

    [TearDown]
    public void RemoveWorld() => world.Dispose();

    [Test]
    public void TrainsAModelFromNothingThatTheOtherCommandsTake()
    {
        Outcome outcome = TinyWorld.Do(Pretrain());
        string model = world["save", "model"];
        Assert.That(outcome.OutputLines, Is.EqualTo(new[] { model }));
        Assert.That(outcome.Error, Does.Contain("pretrain: 36/36 steps").And.Not.Contain("fine-tune"));
        using (ClipCheckpoint checkpoint = ClipCheckpoint.Open(model))
        {
            Assert.That(checkpoint.Config.Vision.Width, Is.EqualTo(32));
            Assert.That(checkpoint.Config.Text!.VocabularySize, Is.LessThanOrEqualTo(600).And.GreaterThan(514));
            Assert.That(checkpoint.Metadata, Does.ContainKey("pretrain_settings").And.ContainKey("command"));
        }
        // Three plain colours are easy: a model that has learnt anything tells them apart without having been trained on labels.
        Outcome evaluated = TinyWorld.Do(world.Evaluate(model));
        Assert.That(evaluated.Output, Does.Contain("15/15"), evaluated.Output);
    }

    [Test]
    public void ReadsCaptions([Values(".jsonl", ".csv", ".tsv")] string ending)
    {
        string file = world["captions" + ending];
        File.WriteAllLines(file, Captions(ending));
        TinyWorld.Do(Replaced(Pretrain("--epochs", "1"), "--train-dataset", "captions:" + file));
    }

    [Test]
    public void MicroBatchesGiveTheSameModelToRounding()
    {
        TinyWorld.Do(Pretrain("--epochs", "1"));
        TinyWorld.Do(Replaced(Pretrain("--epochs", "1", "--micro-batch", "5"), "--save", world["pieces"]));
        float[] whole = Values(world["save", "model"]), pieces = Values(world["pieces", "model"]);
        double worst = whole.Zip(pieces, (a, b) => Math.Abs(a - b)).Max(), size = whole.Max(Math.Abs);
        Assert.That(worst, Is.LessThan(1e-3 * size));
    }

    [Test]
    public void InterruptedItEndsTheSame()
    {
        TinyWorld.Do(Pretrain());
        string[] again = Replaced(Pretrain(), "--save", world["again"]);
        using CancellationTokenSource interruption = new();
        using (Device device = Device.Open(DeviceKind.Host, 2))
        {
            PretrainSettings settings = new()
            {
                TrainDataset = world.Dataset,
                DataLocation = "~/data",
                Save = world["again"],
                Architecture = new ArchitectureSettings { ImageSize = 16, PatchSize = 8, Width = 32, Layers = 1, TextWidth = 32, TextLayers = 1, ContextLength = 16, Embedding = 16 },
                VocabularySize = 600,
                Epochs = 12,
                BatchSize = 12,
                LearningRate = 3e-3,
                Workers = 2,
            };
            int reports = 0;
            PipelineEvents events = new()
            {
                Pretraining = (_, _) =>
                {
                    if (++reports == 3) interruption.Cancel();
                },
            };
            Assert.That(() => new PretrainPipeline(device, settings, events).Run(interruption.Token), Throws.InstanceOf<OperationCanceledException>());
        }
        Outcome resumed = TinyWorld.Do(again);
        Assert.That(resumed.Error, Does.Contain("continuing after step"));
        Assert.That(Values(world["again", "model"]), Is.EqualTo(Values(world["save", "model"])));
    }

    [Test]
    public void GoesOnFromAModel()
    {
        TinyWorld.Do(Pretrain("--epochs", "1"));
        TinyWorld.Do(Replaced(Pretrain("--epochs", "1", "--model", world["save", "model"]), "--save", world["more"]));
        Assert.That(Values(world["more", "model"]), Is.Not.EqualTo(Values(world["save", "model"])));
    }

    private string[] Pretrain(params string[] more) => TinyWorld.Defaults(
        ["pretrain", "--train-dataset", world.Dataset],
        [
            ("--save", world.Save), ("--epochs", "12"), ("--batch-size", "12"), ("--lr", "3e-3"), ("--image-size", "16"), ("--patch-size", "8"), ("--width", "32"),
            ("--layers", "1"), ("--text-width", "32"), ("--text-layers", "1"), ("--context-length", "16"), ("--embedding", "16"), ("--vocabulary-size", "600"),
            ("--device", "cpu"), ("--threads", "2"), ("--workers", "2"),
        ],
        more);

    private static string[] Replaced(string[] args, string flag, string value)
    {
        string[] copy = [.. args];
        copy[Array.IndexOf(copy, flag) + 1] = value;
        return copy;
    }

    private static float[] Values(string model)
    {
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(model);
        return [.. Patching.Model.Clip.ParameterTable.All(checkpoint.Config).SelectMany(spec =>
        {
            float[] values = new float[spec.Length];
            checkpoint.Read(spec, values);
            return values;
        })];
    }

    private IEnumerable<string> Captions(string ending)
    {
        string[] images = [.. Directory.GetFiles(world["colours", "train"], "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)];
        string Caption(string image) => $"a {Path.GetFileName(Path.GetDirectoryName(image))}, \"plain\" square";
        return ending switch
        {
            ".jsonl" => images.Select(image => System.Text.Json.JsonSerializer.Serialize(new { image, caption = Caption(image) })),
            ".tsv" => images.Select(image => $"{image}\t\"{Caption(image).Replace("\"", "\"\"", StringComparison.Ordinal)}\"").Prepend("path\ttitle"),
            _ => images.Select(image => $"\"{Caption(image).Replace("\"", "\"\"", StringComparison.Ordinal)}\",{image}").Prepend("caption,filepath"),
        };
    }
}
