using NUnit.Framework;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Tests.Cli;

/// <summary><c>patching merge</c> and <c>interpolate</c> from the arguments to the files.</summary>
internal sealed class MergeCommandTests
{
    private TinyWorld world = null!;

    [SetUp]
    public void CreateWorld()
    {
        world = new TinyWorld();
        for (int seed = 2; seed <= 4; seed++) TinyWorld.WriteModel(world[$"m{seed}"], TinyWorld.Config, seed);
    }

    [TearDown]
    public void RemoveWorld() => world.Dispose();

    [TestCase("linear", "m2 m3 m4", "m4 m2 m3", "--weights 1 2 5", "--weights 5 1 2")]
    [TestCase("task", "model m2 m3", "model m3 m2", "--scale 0.3 -0.2", "--scale -0.2 0.3")]
    [TestCase("ties", "model m2 m3 m4", "model m4 m3 m2", "--density 0.3", "--density 0.3")]
    [TestCase("dare", "model m2 m3", "model m3 m2", "--drop 0.5 --scale 0.3 0.6", "--drop 0.5 --scale 0.6 0.3")]
    public void TheOrderOfTheTasksChangesNothing(string method, string models, string permuted, string options, string permutedOptions)
    {
        Merge(method, models, options, "a");
        Merge(method, permuted, permutedOptions, "b");
        Merge(method, models, permutedOptions, "c");
        Assert.That(Tensors("b"), Is.EqualTo(Tensors("a")), "the same models in another order");
        if (options != permutedOptions) Assert.That(Tensors("c"), Is.Not.EqualTo(Tensors("a")), "but numbers belong to models");
    }

    [Test]
    public void EndsAreTheModels()
    {
        (string Method, string Models, string Options, string Same)[] ends =
        [
            ("linear", "m2 m3", "--weights 0 1", "m3"), ("slerp", "m2 m3", "--alpha 0", "m2"), ("slerp", "m2 m3", "--alpha 1", "m3"), ("task", "model m2", "--scale 0", "model"),
            ("task", "model m2 m3", "--scale 0 1", "m3"), ("layers", "m2 m3", "--alpha 0", "m2"), ("layers", "m2 m3", "--alpha 1", "m3"), ("analogy", "model m2 m3 m4", "--scale 0", "model"),
        ];
        for (int i = 0; i < ends.Length; i++)
        {
            Merge(ends[i].Method, ends[i].Models, ends[i].Options, $"end{i}");
            Assert.That(Tensors($"end{i}"), Is.EqualTo(Tensors(ends[i].Same)), ends[i].ToString());
        }
    }

    [Test]
    public void TheResultIsAModelThatSaysWhatItIs()
    {
        Merge("task", "model m2", "--scale 0.25 --type bf16", "merged");
        using ClipCheckpoint merged = ClipCheckpoint.Open(world["merged"]);
        Assert.That(merged.Metadata["merge_method"], Is.EqualTo("task scales=0.25"));
        Assert.That(merged.Metadata["merged_models_sha256"].Split(','), Has.Length.EqualTo(2));
        Assert.That(merged.Tensors.Values.Select(tensor => tensor.DType), Has.All.EqualTo(SafetensorsType.BF16));
        TinyWorld.Do(world.Evaluate(world["merged"]));
    }

    [Test]
    public void EveryMismatchIsListedAndNothingIsWritten()
    {
        TinyWorld.WriteModel(world["wide"], TinyWorld.MakeConfig(visionWidth: 32));
        foreach (string[] command in (string[][])[["merge", "linear", world.Model, world["wide"], "-o", world["x"]], ["interpolate", world.Model, world["wide"], "--save", world["x"]]])
        {
            Outcome outcome = TinyWorld.Run(command);
            Assert.That((outcome.Code, outcome.Output, outcome.ErrorLines.Length), Is.EqualTo((2, "", 1)));
            Assert.That(outcome.Error, Does.Contain("visual.conv1.weight [16, 3, 8, 8] and [32, 3, 8, 8]").And.Contain("visual.proj [16, 16] and [16, 32]"));
            Assert.That(Directory.Exists(world["x"]), Is.False);
        }
        TinyWorld.WriteModel(world["blind"], TinyWorld.MakeConfig(visionWidth: 16, withText: false));
        Assert.That(TinyWorld.Run(["merge", "linear", world.Model, world["blind"], "-o", world["x"]]).Error, Does.Contain("only the first has token_embedding.weight [523, 16]"));
    }

    [TestCase("linear", "m2 m3", "--weights 1 -1", "--weights")]
    [TestCase("linear", "m2 m3", "--weights 1 2 3", "3 numbers for 2 models")]
    [TestCase("slerp", "m2 m3", "--alpha 1.5", "--alpha")]
    [TestCase("slerp", "m2", "", "models")]
    [TestCase("ties", "model m2", "--density 0", "--density")]
    [TestCase("dare", "model m2", "--drop 1", "--drop")]
    [TestCase("layers", "model m2", "--layer visual.9=1", "visual.9")]
    [TestCase("layers", "model m2", "--layer visual.0=x", "visual.0=x")]
    [TestCase("soup", "m2 m3", "", "--eval-datasets")]
    [TestCase("linear", "m2 nothing", "", "nothing")]
    public void WrongInputIsNamed(string method, string models, string options, string mentions)
    {
        Outcome outcome = TinyWorld.Run(Arguments(method, models, options, "out"));
        Assert.That((outcome.Code, outcome.Output, outcome.ErrorLines.Length), Is.EqualTo((2, "", 1)), outcome.Error);
        Assert.That(outcome.Error, Does.Contain(mentions).And.StartsWith("patching: "));
        Assert.That(Directory.Exists(world["out"]), Is.False);
    }

    [Test]
    public void GreedySoupsAreNeverWorseThanTheirBestModel()
    {
        TinyWorld.Do(world.Patch("--alpha", "0.5", "1", "--epochs", "6"));
        string good = Path.Combine(world.Save, "alpha=1"), better = Path.Combine(world.Save, "alpha=0.5");
        string[] arguments =
        [
            "merge", "soup", good, world.Model, better, "-o", world["soup"], "--eval-datasets", world.Dataset, "--batch-size", "4", "--device", "cpu", "--threads", "2", "--workers", "2",
        ];
        Outcome outcome = TinyWorld.Do(arguments);
        Assert.That(outcome.ErrorLines.Count(line => line.Contains("alone", StringComparison.Ordinal)), Is.EqualTo(3));
        Assert.That(TinyWorld.Do(world.Evaluate(world["soup"])).Output, Does.Contain($"({TinyWorld.TestImages}/{TinyWorld.TestImages})"));
        Assert.That(outcome.ErrorLines.Count(line => line.EndsWith("joins", StringComparison.Ordinal) || line.EndsWith("left out", StringComparison.Ordinal)), Is.EqualTo(2));

        arguments[Array.IndexOf(arguments, "-o") + 1] = world["cached"];
        TinyWorld.Do([.. arguments, "--cache", world["cache"]]);
        Assert.That(TinyWorld.WithoutCommand(world["cached", "model.safetensors"]), Is.EqualTo(TinyWorld.WithoutCommand(world["soup", "model.safetensors"])));
        Assert.That(Directory.GetFiles(world["cache"], "*.images"), Has.Length.EqualTo(1));
    }

    [Test]
    public void LayersAreSearchedOnHeldOutImages()
    {
        TinyWorld.Copy(world.Colours, world["others"]);
        foreach (string split in (string[])["train", "test"]) Directory.Move(world["others", split, "red"], world["others", split, "sky"]);
        TinyWorld.Do(world.Patch("--alpha", "1", "--epochs", "4"));
        string[] command =
        [
            "merge", "layers", world.Model, Path.Combine(world.Save, "alpha=1"), "-o", world["out"], "--search", "--patched", world.Dataset, "--eval-datasets", "folder:" + world["others"],
            "--resolution", "0.25", "--budget", "14", "--batch-size", "4", "--device", "cpu", "--threads", "2", "--workers", "2",
        ];
        Outcome outcome = TinyWorld.Do(command);
        Assert.That(outcome.Error, Does.Contain("visual.stem=").And.Contain("of at most 14 evaluations").And.Contain("mean "));
        using ClipCheckpoint merged = ClipCheckpoint.Open(world["out"]);
        Assert.That(merged.Metadata["merge_method"], Does.StartWith("layers visual.stem="));
        Assert.That(TinyWorld.Run([.. command, "--slope", "1", "--overwrite"]).Error, Does.Contain("--slope"));
        Assert.That(TinyWorld.Run([.. command[..6], "--budget", "3", "--overwrite"]).Error, Does.Contain("--budget"));
    }

    private void Merge(string method, string models, string options, string output) => TinyWorld.Do(Arguments(method, models, options, output));

    private string[] Arguments(string method, string models, string options, string output) =>
        ["merge", method, .. models.Split(' ').Select(name => world[name]), .. options.Split(' ', StringSplitOptions.RemoveEmptyEntries), "-o", world[output]];

    private byte[] Tensors(string model)
    {
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(world[model]);
        List<byte> bytes = [];
        foreach (ParameterSpec spec in ParameterTable.All(checkpoint.Config))
        {
            float[] values = new float[spec.Length];
            checkpoint.Read(spec, values);
            bytes.AddRange(values.SelectMany(BitConverter.GetBytes));
        }
        return [.. bytes];
    }
}
