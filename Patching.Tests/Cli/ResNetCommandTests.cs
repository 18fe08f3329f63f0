using System.Text.Json;
using NUnit.Framework;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Tests.Cli;

/// <summary>Every command on a CLIP with a ResNet, from the arguments to the files.</summary>
internal sealed class ResNetCommandTests
{
    private TinyWorld world = null!;
    private string model = null!;

    [SetUp]
    public void CreateWorld()
    {
        world = new TinyWorld();
        model = world["rn"];
        TinyWorld.WriteModel(model, TinyWorld.ResNetConfig, tokenizer: world.Model);
    }

    [TearDown]
    public void RemoveWorld() => world.Dispose();

    [Test]
    public void TheFolderIsOpenClips()
    {
        Assert.That(
            Directory.GetFiles(model).Select(Path.GetFileName),
            Is.EquivalentTo(new[] { "open_clip_config.json", "open_clip_model.safetensors", "vocab.json", "merges.txt" }));
        JsonElement config = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(model, "open_clip_config.json"))).RootElement.GetProperty("model_cfg");
        Assert.That(config.GetProperty("vision_cfg").GetProperty("layers").GetRawText(), Does.Match(@"\[\s*1,\s*1,\s*1,\s*1\s*\]"));
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(model);
        Assert.That(checkpoint.Config, Is.EqualTo(TinyWorld.ResNetConfig));
        Assert.That(checkpoint.Counters, Has.Count.EqualTo(3 + 4 * 4));
    }

    [Test]
    public void PatchLearnsAndItsModelsEvaluateTheSame([Values("frozen", "batch")] string batchNorm)
    {
        string results = world["results.jsonl"];
        // Statistics of six images are noise that takes longer to learn in.
        TinyWorld.Do(Patch("--alpha", "0", "1", "--results-db", results, "--batch-norm", batchNorm, "--epochs", batchNorm == "batch" ? "16" : "4"));
        JsonElement[] lines = [.. File.ReadLines(results).Select(line => JsonDocument.Parse(line).RootElement)];
        Assert.That(lines[0].GetProperty("finetune").GetProperty("batch_norm").GetString(), Is.EqualTo(batchNorm));
        Assert.That(lines[1].GetProperty("correct").GetInt32(), Is.GreaterThan(lines[0].GetProperty("correct").GetInt32()));
        foreach (JsonElement line in lines)
        {
            Outcome again = TinyWorld.Do(world.Evaluate(Path.Combine(world.Save, $"alpha={line.GetProperty("alpha").GetRawText()}")));
            Assert.That(again.Output, Does.Contain($"({line.GetProperty("correct").GetInt32()}/{TinyWorld.TestImages})"));
        }
        using ClipCheckpoint before = ClipCheckpoint.Open(model), after = ClipCheckpoint.Open(Path.Combine(world.Save, "alpha=1"));
        string[] moved = [.. ParameterTable.Vision(before.Config).Where(spec => !Values(before, spec).SequenceEqual(Values(after, spec))).Select(spec => spec.Name)];
        string[] statistics = [.. moved.Where(name => name.Contains("running_", StringComparison.Ordinal))];
        Assert.That(statistics, batchNorm == "batch" ? Is.Not.Empty : Is.Empty, "running statistics");
        Assert.That(moved.Except(statistics), Is.Not.Empty, "weights");
    }

    [Test]
    public void TheSameRunGivesTheSameBytesAndAnotherIsNotReused()
    {
        TinyWorld.Do(Patch("--epochs", "2", "--batch-norm", "batch", "--alpha", "1"));
        byte[] once = TinyWorld.WithoutCommand(Path.Combine(world.Save, "alpha=1", "open_clip_model.safetensors"));
        TinyWorld.Do(Patch("--epochs", "2", "--batch-norm", "batch", "--alpha", "1", "--save", world["again"]));
        Assert.That(TinyWorld.WithoutCommand(world["again", "alpha=1", "open_clip_model.safetensors"]), Is.EqualTo(once));
        Outcome refused = TinyWorld.Run(Patch("--epochs", "2", "--batch-norm", "frozen", "--alpha", "1"));
        Assert.That(refused.Code, Is.EqualTo(2));
        Assert.That(refused.Error, Does.Contain("exists already"), "another model");
    }

    [Test]
    public void IntegersAreNeverInterpolated()
    {
        WriteCounters("one", 11);
        WriteCounters("two", 8);
        TinyWorld.Do("interpolate", world["one"], world["two"], "--alpha", "0.5", "--save", world["line"], "--device", "cpu");
        using ClipCheckpoint half = ClipCheckpoint.Open(world["line", "alpha=0.5"]), one = ClipCheckpoint.Open(world["one"]), two = ClipCheckpoint.Open(world["two"]);
        Assert.That(half.Counters.Values, Is.All.EqualTo(11), "the first model's");
        ParameterSpec variance = ParameterTable.Vision(half.Config).First(spec => spec.Name.EndsWith("running_var", StringComparison.Ordinal));
        Assert.That(Values(half, variance), Is.EqualTo(Values(one, variance).Zip(Values(two, variance), (a, b) => 0.5f * a + 0.5f * b)), "statistics are");
        void WriteCounters(string name, long value)
        {
            using ClipCheckpoint checkpoint = ClipCheckpoint.Open(model);
            CheckpointWriter.Save(
                world[name], checkpoint.Config, checkpoint.Preprocess, (spec, values) =>
                {
                    checkpoint.Read(spec, values);
                    values[0] += value;
                },
                counters: checkpoint.Counters.ToDictionary(pair => pair.Key, _ => value));
        }
    }

    [Test]
    public void ConvertGoesRoundToTheSameBytes()
    {
        TinyWorld.Do("convert", model, world["file.safetensors"]);
        using (ClipCheckpoint file = ClipCheckpoint.Open(world["file.safetensors"])) Assert.That(file.Config, Is.EqualTo(TinyWorld.ResNetConfig));
        TinyWorld.Do("convert", world["file.safetensors"], world["back"], "--tokenizer", model);
        foreach (string name in (string[])["open_clip_config.json", "vocab.json"])
            Assert.That(File.ReadAllBytes(world["back", name]), Is.EqualTo(File.ReadAllBytes(Path.Combine(model, name))), name);
        using ClipCheckpoint before = ClipCheckpoint.Open(model), after = ClipCheckpoint.Open(world["back"]);
        foreach (ParameterSpec spec in ParameterTable.All(before.Config)) Assert.That(Values(after, spec), Is.EqualTo(Values(before, spec)), spec.Name);
        Outcome refused = TinyWorld.Run(["convert", model, world["hf"], "--naming", "huggingface"]);
        Assert.That(refused.Code, Is.EqualTo(2));
        Assert.That(refused.Error, Does.Contain("transformers has no CLIP ResNets"));
        Assert.That(Directory.Exists(world["hf"]), Is.False);
    }

    [Test]
    public void InfoAndVerifyDescribeIt()
    {
        Outcome info = TinyWorld.Do("info", "--model", model, "--batch-size", "8");
        Assert.That(info.Output, Does.Contain("32 px, ResNet of 1 + 1 + 1 + 1 blocks, width 2, 1 heads").And.Contain("fine-tune, batch 8, fp32").And.Not.Contain("bf16"));
        Outcome verify = TinyWorld.Do("verify", model);
        Assert.That(verify.Output, Does.Contain("visual.bn1.num_batches_tracked  ! not used").And.Contain("usable"));
        File.Copy(Path.Combine(model, "open_clip_model.safetensors"), world["lone.safetensors"]);
        Assert.That(TinyWorld.Do("verify", world["lone.safetensors"]).Output, Does.Contain("usable"));
    }

    [Test]
    public void WhatItCannotDoIsSaidInALine()
    {
        Refused(Patch("--precision", "bf16"), "--precision bf16", "single precision only");
        Refused(world.Patch("--batch-norm", "batch"), "--batch-norm", "no batch normalisation");
        Refused(["pretrain", "--model", model, "--train-dataset", world.Dataset, "--save", world["p"], "--batch-size", "4"], "only vision transformers");

        void Refused(string[] arguments, params string[] parts)
        {
            Outcome outcome = TinyWorld.Run(arguments);
            Assert.That(outcome.Code, Is.EqualTo(2), outcome.Error);
            Assert.That(outcome.ErrorLines, Has.Length.EqualTo(1), outcome.Error);
            foreach (string part in parts) Assert.That(outcome.Error, Does.Contain(part));
        }
    }

    private string[] Patch(params string[] more) => TinyWorld.Defaults(
        ["patch", "--model", model, "--train-dataset", world.Dataset, "--eval-datasets", world.Dataset],
        [("--epochs", "4"), ("--lr", "0.01"), ("--warmup_length", "2"), ("--batch-size", "6"), ("--save", world.Save), ("--device", "cpu"), ("--threads", "2"), ("--workers", "2")],
        more);

    private static float[] Values(ClipCheckpoint checkpoint, ParameterSpec spec)
    {
        float[] values = new float[spec.Length];
        checkpoint.Read(spec, values);
        return values;
    }
}
