using System.Globalization;
using NUnit.Framework;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Tests.Cli;

/// <summary>The commands that are parts of <c>patch</c>, and those that stand for themselves.</summary>
internal sealed class CommandTests
{
    private TinyWorld world = null!;

    [SetUp]
    public void CreateWorld() => world = new TinyWorld();

    [TearDown]
    public void RemoveWorld() => world.Dispose();

    [Test]
    public void FinetuneInterpolateEvaluateIsPatch()
    {
        Outcome patch = TinyWorld.Do(world.Patch("--alpha", "0.25", "1"));
        string[] finetune = [.. world.Patch("--save", world["parts"])];
        finetune[0] = "finetune";
        Outcome tuned = TinyWorld.Do(finetune);
        Assert.That(tuned.Output, Is.EqualTo(world["parts", "alpha=1"] + "\n"));
        Outcome interpolated = TinyWorld.Do("interpolate", world.Model, world["parts", "alpha=1"], "--alpha", "0.25", "--save", world["line"], "--threads", "2");
        Assert.That(interpolated.Output, Is.EqualTo(world["line", "alpha=0.25"] + "\n"));

        AssertSameWeights(Path.Combine(world.Save, "alpha=1"), world["parts", "alpha=1"]);
        AssertSameWeights(Path.Combine(world.Save, "alpha=0.25"), world["line", "alpha=0.25"]);
        Outcome evaluated = TinyWorld.Do(world.Evaluate(world["line", "alpha=0.25"]));
        Assert.That(evaluated.OutputLines[^1].Split('|')[2].Trim(), Is.EqualTo(patch.OutputLines[2].Split('|')[2].Trim()), "accuracy");
    }

    [Test]
    public void LoadTakesAFineTunedModelInsteadOfTraining()
    {
        Outcome trained = TinyWorld.Do(world.Patch("--alpha", "0.5", "1"));
        Outcome loaded = TinyWorld.Do(world.Patch("--alpha", "0.5", "1", "--load", Path.Combine(world.Save, "alpha=1"), "--save", world["loaded"]));
        Assert.That(loaded.Output, Is.EqualTo(trained.Output));
        Assert.That(Directory.Exists(world["loaded", "finetune"]), Is.False);
        AssertSameWeights(Path.Combine(world.Save, "alpha=0.5"), world["loaded", "alpha=0.5"]);
    }

    [Test]
    public void TheEndsOfTheLineAreTheModelsThemselves()
    {
        TinyWorld.WriteModel(world["other"], TinyWorld.Config, seed: 2);
        TinyWorld.Do("interpolate", world.Model, world["other"], "--alpha", "0", "1", "0.5", "--save", world["line"]);
        AssertSameWeights(world.Model, world["line", "alpha=0"]);
        AssertSameWeights(world["other"], world["line", "alpha=1"]);
        using ClipCheckpoint zero = ClipCheckpoint.Open(world.Model), one = ClipCheckpoint.Open(world["other"]), half = ClipCheckpoint.Open(world["line", "alpha=0.5"]);
        ParameterSpec spec = ParameterTable.All(zero.Config)[^2];
        float[] a = Read(zero, spec), b = Read(one, spec);
        Assert.That(Read(half, spec), Is.EqualTo(a.Zip(b, (x, y) => x * 0.5f + y * 0.5f)));
        Assert.That(File.Exists(world["line", "alpha=0.5", "vocab.json"]), Is.True, "the tokenizer comes along");

        Dictionary<string, string> before = TinyWorld.Snapshot(world.Root);
        Outcome again = TinyWorld.Run(["interpolate", world.Model, world["other"], "--alpha", "0.75", "0.5", "--save", world["line"]]);
        Assert.That((again.Code, again.Output), Is.EqualTo((2, "")), "alpha=0.5 exists");
        Assert.That(TinyWorld.Snapshot(world.Root), Is.EqualTo(before), "and nothing was written before that was found");
        TinyWorld.Do("interpolate", world.Model, world["other"], "--alpha", "0.75", "0.5", "--save", world["line"], "--overwrite");
    }

    [Test]
    public void ClassifyPrintsTheMostProbableLabelsFirst()
    {
        string red = Path.Combine(world.Colours, "test", "red", "00.png"), blue = Path.Combine(world.Colours, "test", "blue", "01.ppm");
        TinyWorld.Do(world.Patch("--alpha", "1", "--epochs", "6"));
        Outcome outcome = TinyWorld.Do(
            "classify", red, blue, "--model", Path.Combine(world.Save, "alpha=1"), "--labels", "red,lime green,blue", "--template", "a photo of a {}.");
        string[][] rows = [.. outcome.OutputLines.Select(line => line.Split('\t'))];
        Assert.That(rows.Select(row => row[0]), Is.EqualTo([red, red, red, blue, blue, blue]));
        Assert.That((rows[0][2], rows[3][2]), Is.EqualTo(("red", "blue")));
        double[] shares = [.. rows.Take(3).Select(row => double.Parse(row[1], CultureInfo.InvariantCulture))];
        Assert.That(shares, Is.Ordered.Descending);
        Assert.That(shares.Sum(), Is.EqualTo(1).Within(2e-4));
        Assert.That(outcome.Error, Is.Empty);

        Outcome top = TinyWorld.Do("classify", red, "--model", world.Model, "--labels", "red,lime green,blue", "--top", "1");
        Assert.That(top.OutputLines, Has.Length.EqualTo(1));
    }

    [Test]
    public void ClassifyCanSkipWhatItCannotRead()
    {
        string red = Path.Combine(world.Colours, "test", "red", "00.png");
        Outcome outcome = TinyWorld.Do("classify", world["none.png"], world.Weights, red, "--model", world.Model, "--labels", "a,b", "--skip-bad-images");
        Assert.That(outcome.OutputLines, Has.Length.EqualTo(2));
        Assert.That(outcome.ErrorLines, Has.Length.EqualTo(2));
        Assert.That(outcome.Error, Does.Contain("none.png").And.Contain(world.Weights));
    }

    [Test]
    public void InfoCountsParametersAndMemory()
    {
        Outcome outcome = TinyWorld.Do("info", "--model", world.Model, "--batch-size", "4");
        Assert.That(outcome.Error, Is.Empty);
        long image = ParameterTable.Vision(TinyWorld.Config).Sum(spec => (long)spec.Length), text = ParameterTable.Text(TinyWorld.Config).Sum(spec => (long)spec.Length);
        Assert.That(outcome.Output, Does.Contain(FormattableString.Invariant($"{image:N0} parameters")).And.Contain(FormattableString.Invariant($"{text:N0} parameters")));
        Assert.That(new FileInfo(world.Weights).Length, Is.InRange((image + text) * 4, (image + text) * 4 + 8192));
        Assert.That(outcome.Output, Does.Contain("16 px, patch 8, width 16, 1 layers, 1 heads").And.Contain("vocabulary 523"));
        int column = outcome.OutputLines[0].LastIndexOf(' ') + 1;
        Assert.That(outcome.OutputLines, Has.All.Matches<string>(line => line![(column - 2)..column] == "  " && line[column] != ' '), "values below each other");
        foreach (TowerPrecision precision in Enum.GetValues<TowerPrecision>())
        {
            IReadOnlyList<MemoryRole> plan = MemoryPlan.Training(TinyWorld.Config, 4, 100, precision);
            string job = $"fine-tune, batch 4, {precision.Name()}";
            Assert.That(outcome.Output, Does.Match(FormattableString.Invariant($"\n{job}  +{plan.Sum(role => role.Bytes) / 1048576.0:N1} MiB")));
            Assert.That(plan.Single(role => role.Role == "weights").Bytes, Is.InRange(image * 4, image * 4 + 512 * 30));
            foreach (MemoryRole role in plan) Assert.That(outcome.Output, Does.Contain(role.Role));
            string alone = TinyWorld.Do("info", "--model", world.Model, "--batch-size", "4", "--precision", precision.Name()).Output;
            Assert.That(alone.Contains(job, StringComparison.Ordinal), Is.True);
            Assert.That(alone, Has.Length.LessThan(outcome.Output.Length));
        }
        Assert.That(TinyWorld.Do("info").OutputLines, Has.Length.EqualTo(3));
    }

    [Test]
    public void HelpGoesToStandardOutput([Values("", "patch", "finetune", "evaluate", "interpolate", "classify", "info")] string command)
    {
        string[] args = command.Length == 0 ? ["--help"] : [command, "--help"];
        Outcome help = TinyWorld.Do(args);
        Assert.That(help.Error, Is.Empty);
        Assert.That(help.Output, Does.Contain("Usage"));
    }

    private static void AssertSameWeights(string expected, string actual)
    {
        using ClipCheckpoint a = ClipCheckpoint.Open(expected), b = ClipCheckpoint.Open(actual);
        foreach (ParameterSpec spec in ParameterTable.All(a.Config)) Assert.That(Read(b, spec), Is.EqualTo(Read(a, spec)), spec.Name);
    }

    private static float[] Read(ClipCheckpoint checkpoint, ParameterSpec spec)
    {
        float[] values = new float[spec.Length];
        checkpoint.Read(spec, values);
        return values;
    }
}
