using System.Text.Json;
using NUnit.Framework;
using Patching.Model.Weights;

namespace Patching.Tests.Cli;

/// <summary><c>patching patch</c> from the arguments to the files, on a model and data of a few kilobytes.</summary>
internal sealed class PatchCommandTests
{
    private TinyWorld world = null!;

    [SetUp]
    public void CreateWorld() => world = new TinyWorld();

    [TearDown]
    public void RemoveWorld() => world.Dispose();

    [Test]
    public void LearnsPrintsTheTableAndSavesWhatItMeasured()
    {
        string results = world["results.jsonl"];
        Outcome outcome = TinyWorld.Do(world.Patch("--alpha", "0", "0.5", "1", "--results-db", results, "--exp_name", "colours", "--epochs", "6"));

        Assert.That(outcome.OutputLines, Has.Length.EqualTo(5), outcome.Output);
        Assert.That(outcome.OutputLines[0], Does.Contain("alpha").And.Contain("(patched)"));
        Assert.That(outcome.OutputLines, Has.All.StartsWith("|"), "results only");
        Assert.That(outcome.Error, Does.Contain("fine-tune: 54/54 steps").And.Contain("saved "));

        JsonElement[] lines = [.. File.ReadLines(results).Select(line => JsonDocument.Parse(line).RootElement)];
        Assert.That(lines.Select(line => line.GetProperty("alpha").GetDouble()), Is.EqualTo([0, 0.5, 1]));
        Assert.That(lines[2].GetProperty("correct").GetInt32(), Is.EqualTo(TinyWorld.TestImages), "three colours are learnt");
        Assert.That(lines[0].GetProperty("correct").GetInt32(), Is.LessThan(TinyWorld.TestImages), "and were not known before");
        foreach (JsonElement line in lines) AssertEverySetting(line);

        foreach (JsonElement line in lines)
        {
            string model = Path.Combine(world.Save, $"alpha={line.GetProperty("alpha").GetRawText()}");
            Outcome again = TinyWorld.Do(world.Evaluate(model));
            Assert.That(again.Output, Does.Contain($"({line.GetProperty("correct").GetInt32()}/{TinyWorld.TestImages})"), model);
        }
    }

    [Test]
    public void AlphaZeroIsTheModelItself()
    {
        TinyWorld.Do(world.Patch("--alpha", "0"));
        using ClipCheckpoint before = ClipCheckpoint.Open(world.Model), after = ClipCheckpoint.Open(Path.Combine(world.Save, "alpha=0"));
        foreach (var spec in Patching.Model.Clip.ParameterTable.All(before.Config))
        {
            float[] a = new float[spec.Length], b = new float[spec.Length];
            before.Read(spec, a);
            after.Read(spec, b);
            Assert.That(b, Is.EqualTo(a), spec.Name);
        }
    }

    [Test]
    public void ASecondRunReusesTheFineTuneAndTheModels()
    {
        TinyWorld.Do(world.Patch("--alpha", "0.5"));
        Dictionary<string, string> before = TinyWorld.Snapshot(world.Save);
        Outcome again = TinyWorld.Do(world.Patch("--alpha", "0.5"));
        Assert.That(again.Error, Does.Contain("found complete").And.Not.Contain("fine-tune: "));
        Assert.That(TinyWorld.Snapshot(world.Save), Is.EqualTo(before));

        TinyWorld.Do(world.Patch("--alpha", "0.25", "0.5"));
        Assert.That(before.Remove("report.html"), "the report is that of the last run");
        Assert.That(TinyWorld.Snapshot(world.Save), Is.SupersetOf(before));
        Assert.That(Directory.Exists(Path.Combine(world.Save, "alpha=0.25")), Is.True);
    }

    [TestCase("--epochs", "3", "epochs")]
    [TestCase("--lr", "0.02", "learning_rate")]
    [TestCase("--wd", "0.2", "weight_decay")]
    [TestCase("--ls", "0.1", "label_smoothing")]
    [TestCase("--batch-size", "5", "batch_size")]
    [TestCase("--warmup_length", "3", "warmup_length")]
    [TestCase("--clip-norm", "2", "clip_norm")]
    [TestCase("--seed", "1", "seed")]
    public void OtherSettingsAreRefusedByNameAndOverwriteTrainsAgain(string flag, string value, string setting)
    {
        TinyWorld.Do(world.Patch("--alpha", "1"));
        Dictionary<string, string> before = TinyWorld.Snapshot(world.Root);
        // Another alpha, so that the refusal comes from the state of the training.
        Outcome refused = TinyWorld.Run(world.Patch("--alpha", "0.9", flag, value));
        Assert.That((refused.Code, refused.Output), Is.EqualTo((2, "")));
        Assert.That(refused.Error, Does.Contain($"({setting})").And.Contain("--overwrite").And.StartsWith("patching: "));
        Assert.That(TinyWorld.Snapshot(world.Root), Is.EqualTo(before));
        Outcome sameAlpha = TinyWorld.Run(world.Patch("--alpha", "1", flag, value));
        Assert.That((sameAlpha.Code, sameAlpha.Output), Is.EqualTo((2, "")));
        Assert.That(TinyWorld.Snapshot(world.Root), Is.EqualTo(before));

        Outcome redone = TinyWorld.Do(world.Patch("--alpha", "1", flag, value, "--overwrite"));
        Assert.That(redone.Error, Does.Contain("fine-tune: ").And.Not.Contain("continuing"));
        Dictionary<string, string> after = TinyWorld.Snapshot(world.Save);
        Assert.That(after.Keys, Is.EqualTo(TinyWorld.Snapshot(world.Save).Keys));
        Assert.That(after[Path.Combine("alpha=1", "model.safetensors")], Is.Not.EqualTo(before[Path.Combine("save", "alpha=1", "model.safetensors")]));
    }

    [Test]
    public void NamesOfAlphasNeverCollide()
    {
        TinyWorld.Do(world.Patch("--alpha", "0.3", "0.3001", "1e-7", "--epochs", "1"));
        Assert.That(
            Directory.GetDirectories(world.Save, "alpha=*").Select(Path.GetFileName), Is.EquivalentTo(["alpha=0.3", "alpha=0.3001", "alpha=1E-07"]));
    }

    [Test]
    public void EvaluatesAfterEveryEpoch()
    {
        string results = world["db", "results.jsonl"];
        Outcome outcome = TinyWorld.Do(world.Patch("--alpha", "1", "--results-db", results, "--eval-every-epoch"));
        JsonElement[] lines = [.. File.ReadLines(results).Select(line => JsonDocument.Parse(line).RootElement)];
        Assert.That(lines.Select(line => line.TryGetProperty("epoch", out JsonElement epoch) ? epoch.GetInt32() : 0), Is.EqualTo([1, 2, 0]));
        Assert.That(lines[1].GetProperty("correct").GetInt32(), Is.EqualTo(lines[2].GetProperty("correct").GetInt32()), "the last epoch is alpha 1");
        Assert.That(outcome.Error, Does.Contain("epoch 1: "));
    }

    [Test]
    public void HeadsAreBuiltOncePerModelAndClassNames()
    {
        TinyWorld.Do(world.Patch("--alpha", "1"));
        File.Delete(world["model", "vocab.json"]);
        TinyWorld.Do(world.Patch("--alpha", "1", "0.5"));

        Directory.Move(Path.Combine(world.Colours, "train", "red"), Path.Combine(world.Colours, "train", "crimson"));
        Directory.Move(Path.Combine(world.Colours, "test", "red"), Path.Combine(world.Colours, "test", "crimson"));
        Outcome renamed = TinyWorld.Run(world.Patch("--alpha", "1", "--overwrite"));
        Assert.That((renamed.Code, renamed.Output), Is.EqualTo((2, "")));
        Assert.That(renamed.Error, Does.Contain("vocab.json"), "the head of other class names has to be built anew");
    }

    [Test]
    public void ADamagedHeadIsBuiltAgain([Values("cut", "noise", "NaN", "empty")] string damage)
    {
        TinyWorld.Do(world.Patch("--alpha", "1"));
        string head = Directory.GetFiles(Path.Combine(world.Save, "heads")).Single();
        byte[] good = File.ReadAllBytes(head), bad = [.. good];
        if (damage == "cut") bad = bad[..^5];
        else if (damage == "noise") new Random(1).NextBytes(bad.AsSpan(0, 60));
        else if (damage == "NaN") bad.AsSpan(bad.Length - 4).Fill(0xFF);
        else bad = [];
        File.WriteAllBytes(head, bad);
        TinyWorld.Do(world.Patch("--alpha", "1"));
        Assert.That(File.ReadAllBytes(head), Is.EqualTo(good));
    }

    [Test]
    public void UnreadableImagesAreNamedOrSkippedAndCounted()
    {
        string bad = Path.Combine(world.Colours, "train", "blue", "01.ppm"), badTest = Path.Combine(world.Colours, "test", "red", "00.png");
        File.WriteAllText(bad, "P6\n5 5\n255\nshort");
        File.WriteAllBytes(badTest, [0x89, 0x50]);
        Outcome refused = TinyWorld.Run(world.Patch("--alpha", "1"));
        Assert.That((refused.Code, refused.Output), Is.EqualTo((2, "")));
        Assert.That(refused.Error, Does.Contain(bad).And.StartsWith("patching: "));
        Assert.That(TinyWorld.Snapshot(world.Save).Keys, Has.None.Contains("alpha").And.None.EndsWith(".tmp"));

        Outcome skipped = TinyWorld.Do(world.Patch("--alpha", "1", "--skip-bad-images"));
        Assert.That(skipped.Error, Does.Contain(bad));
        Assert.That(skipped.Output, Does.Contain($"/{TinyWorld.TestImages - 1}), 1 skipped"));
    }

    [Test]
    public void WarmUpLongerThanTheRunMustBeAskedFor()
    {
        string[] withoutWarmup = [.. world.Patch("--alpha", "1")];
        int at = Array.IndexOf(withoutWarmup, "--warmup_length");
        Outcome refused = TinyWorld.Run([.. withoutWarmup[..at], .. withoutWarmup[(at + 2)..]]);
        Assert.That((refused.Code, refused.Output), Is.EqualTo((2, "")));
        Assert.That(refused.Error, Does.Contain("--warmup_length").And.Contain("18 steps"));
        Assert.That(Directory.Exists(world.Save), Is.False);
        TinyWorld.Do(world.Patch("--alpha", "1", "--warmup_length", "500"));
    }

    [Test]
    public void WorksWithoutSavingAnything()
    {
        string[] args = [.. world.Patch("--alpha", "0.5")];
        int at = Array.IndexOf(args, "--save");
        Dictionary<string, string> before = TinyWorld.Snapshot(world.Root);
        TinyWorld.Do([.. args[..at], .. args[(at + 2)..]]);
        Assert.That(TinyWorld.Snapshot(world.Root), Is.EqualTo(before));
    }

    private void AssertEverySetting(JsonElement line)
    {
        Assert.That(line.GetProperty("exp_name").GetString(), Is.EqualTo("colours"));
        Assert.That(line.GetProperty("model").GetString(), Is.EqualTo(world.Model));
        Assert.That(line.GetProperty("eval_dataset").GetString(), Is.EqualTo(world.Dataset));
        Assert.That(line.GetProperty("top1").GetDouble(), Is.EqualTo(line.GetProperty("correct").GetDouble() / TinyWorld.TestImages));
        Assert.That(line.GetProperty("command").GetString(), Does.StartWith("patching patch --model").And.Contain("--alpha 0 0.5 1"));
        Assert.That(line.GetProperty("mean_per_class").GetDouble(), Is.EqualTo(line.GetProperty("top1").GetDouble()).Within(1e-12), "every colour has as many images");
        Assert.That(line.GetProperty("ece").GetDouble(), Is.InRange(0, 1));
        Assert.That(line.TryGetProperty("top5", out _), Is.False, "there are only three classes");
        string[] names = ["model_sha256", "count", "skipped", "head_key", "device", "version", "time"];
        foreach (string name in names) Assert.That(line.TryGetProperty(name, out _), Is.True, name);
        Assert.That(line.GetProperty("precision").GetString(), Is.EqualTo("fp32"));
        JsonElement recipe = line.GetProperty("finetune");
        Assert.That(recipe.GetProperty("train_dataset").GetString(), Is.EqualTo(world.Dataset));
        Assert.That(recipe.GetProperty("train_images").GetInt32(), Is.EqualTo(TinyWorld.TrainImages));
        Assert.That(recipe.GetProperty("learning_rate").GetDouble(), Is.EqualTo(0.01));
        Assert.That(recipe.GetProperty("precision").GetString(), Is.EqualTo("fp32"));
        Assert.That(recipe.GetProperty("epochs").GetInt32(), Is.EqualTo(6));
        names = ["base_model_sha256", "head_key", "weight_decay", "label_smoothing", "batch_size", "warmup_length", "clip_norm", "seed"];
        foreach (string name in names) Assert.That(recipe.TryGetProperty(name, out _), Is.True, name);
    }
}
