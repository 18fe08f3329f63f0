using NUnit.Framework;
using Patching.Model.Clip;
using Patching.Model.Weights;
using Patching.Tests.Model.Weights;

namespace Patching.Tests.Cli;

/// <summary><c>convert</c>, <c>verify</c> and what <c>info</c> says about files, through the real command line.</summary>
internal sealed class ConvertVerifyTests
{
    private TinyWorld world = null!;

    [SetUp]
    public void CreateWorld() => world = new TinyWorld();

    [TearDown]
    public void RemoveWorld() => world.Dispose();

    /// <summary>Through every naming and container and back: the tensors and the files beside them are the same bytes.</summary>
    [Test]
    public void ConversionsGoAroundWithoutLoss([Values("f32", "f16", "bf16")] string type)
    {
        string first = world["first"], file = world["o.safetensors"], folder = world["o"], back = world["back"], fromFolder = world["again"];
        Outcome outcome = TinyWorld.Do("convert", world.Model, first, "--type", type);
        Assert.That((outcome.Output, outcome.Error), Is.EqualTo((first + "\n", "")));
        TinyWorld.Do("convert", first, file);
        TinyWorld.Do("convert", first, folder, "--naming", "openai");
        TinyWorld.Do("convert", file, back, "--tokenizer", world.Model);
        TinyWorld.Do("convert", folder, fromFolder, "--naming", "huggingface");
        foreach (string other in (string[])[back, fromFolder])
        {
            foreach (string name in (string[])["config.json", "preprocessor_config.json", "vocab.json", "merges.txt"])
                Assert.That(File.ReadAllBytes(Path.Combine(other, name)).AsSpan().SequenceEqual(File.ReadAllBytes(Path.Combine(first, name))), Is.True, $"{other} {name}");
            Assert.That(Values(Path.Combine(other, "model.safetensors")).AsSpan().SequenceEqual(Values(Path.Combine(first, "model.safetensors"))), Is.True, other);
        }
        Assert.That(Values(Path.Combine(folder, "model.safetensors")).AsSpan().SequenceEqual(Values(file)), Is.True);
        using SafetensorsFile written = SafetensorsFile.Open(file);
        Assert.That(TensorSurvey.Types(written.Tensors.Values), Does.StartWith(type.ToUpperInvariant()), "the type of the input is kept");
    }

    [Test]
    public void TheResultSaysWhereItComesFrom()
    {
        TinyWorld.Do("convert", world.Model, world["o.safetensors"]);
        byte[] once = File.ReadAllBytes(world["o.safetensors"]);
        TinyWorld.Do("convert", world.Model, world["o.safetensors"], "--overwrite");
        using ClipCheckpoint source = ClipCheckpoint.Open(world.Model), result = ClipCheckpoint.Open(world["o.safetensors"]);
        Assert.That(result.Metadata["source_sha256"], Is.EqualTo(source.Sha256));
        Assert.That(result.Metadata["source_container"], Is.EqualTo("safetensors"));
        Assert.That(result.Metadata["command"], Is.EqualTo($"patching convert {world.Model} {world["o.safetensors"]} --overwrite"));
        TinyWorld.Do("convert", world.Model, world["p.safetensors"]);
        Assert.That(Values(world["p.safetensors"]).AsSpan().SequenceEqual(Values(world["o.safetensors"])), Is.True);
        Assert.That(once, Has.Length.Not.Zero);
    }

    [Test]
    public void PyTorchFilesBecomeModelsThatRun()
    {
        WriteTorch(world["m.pt"], scalars: false);
        Outcome refused = TinyWorld.Run(["convert", world["m.pt"], world["m"]]);
        Assert.That((refused.Code, refused.ErrorLines.Length), Is.EqualTo((2, 1)));
        Assert.That(refused.Error, Does.Contain("does not say which activation it uses"));
        Assert.That(Directory.Exists(world["m"]), Is.False);
        Outcome without = TinyWorld.Do("convert", world["m.pt"], world["m"], "--activation", "quickgelu");
        Assert.That(without.Error, Does.Contain("has no tokenizer"));
        TinyWorld.Do("convert", world["m.pt"], world["m"], "--activation", "quickgelu", "--tokenizer", world.Model, "--overwrite");
        string expected = Accuracy(world.Evaluate(world["wide"]));
        Assert.That(expected, Does.Contain("%"));
        Assert.That(Accuracy(world.Evaluate(world["m"])), Is.EqualTo(expected));
        string[] asItIs = world.Evaluate(world["m.pt"], "--activation", "quickgelu", "--tokenizer", world.Model);
        Assert.That(Accuracy(asItIs), Is.EqualTo(expected), "as it is");
    }

    [Test]
    public void VerifyListsEveryTensor()
    {
        Outcome good = TinyWorld.Do("verify", world.Model);
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(world.Model);
        Assert.That(good.OutputLines[0], Is.EqualTo($"sha256      {checkpoint.Sha256}  {world.Weights}"));
        Assert.That(good.OutputLines[^1], Is.EqualTo($"{world.Weights}: usable"));
        Assert.That(good.OutputLines.Count(line => line.StartsWith("F32 ", StringComparison.Ordinal)), Is.EqualTo(checkpoint.Tensors.Count));
        Assert.That(good.Output, Does.Not.Contain("  ! "));
    }

    [Test]
    public void VerifyCountsWhatIsBroken()
    {
        CheckpointWriter.SaveFile(world["b.safetensors"], TinyWorld.Config, PreprocessConfig.Default(16), (spec, values) =>
        {
            values.Fill(spec.Name == "visual.ln_pre.bias" ? 0 : 1);
            if (spec.Name != "visual.proj") return;
            values[0] = values[1] = float.NaN;
            values[2] = float.NegativeInfinity;
        });
        Outcome outcome = TinyWorld.Run(["verify", world["b.safetensors"]]);
        Assert.That((outcome.Code, outcome.ErrorLines.Length), Is.EqualTo((2, 1)));
        Assert.That(outcome.Error, Does.Contain("not usable: 1 tensors hold NaN or infinite values: visual.proj"));
        Assert.That(outcome.OutputLines, Has.Some.EndsWith("visual.proj  ! 2 NaN, 1 infinite"));
        Assert.That(outcome.OutputLines, Has.Some.EndsWith("visual.ln_pre.bias  ! all zero"));
        Outcome info = TinyWorld.Do("info", "--model", world["b.safetensors"]);
        Assert.That(info.Output, Does.Contain("1 tensors are all zero").And.Match("problems +1 tensors hold NaN"));
    }

    [Test]
    public void VerifyComparesWithTheArchitecture()
    {
        string config = world["model", "config.json"];
        File.WriteAllText(config, File.ReadAllText(config).Replace("\"vocab_size\": 523", "\"vocab_size\": 524", StringComparison.Ordinal));
        Outcome outcome = TinyWorld.Run(["verify", world.Model]);
        Assert.That((outcome.Code, outcome.ErrorLines.Length), Is.EqualTo((2, 1)));
        Assert.That(outcome.OutputLines, Has.Some.EndsWith("text_model.embeddings.token_embedding.weight  ! expected [524, 16]"));
        Assert.That(outcome.Error, Does.Contain("1 wrong shape"));
    }

    [Test]
    public void InfoSaysWhatTheFileIs()
    {
        WriteTorch(world["m.pt"], scalars: true, prefix: "module.");
        Outcome info = TinyWorld.Do("info", "--model", world["m.pt"]);
        Assert.That(info.Output, Does.Match("container +PyTorch archive").And.Match("note +'module.' was removed from the names")
            .And.Match("problems +none"));
    }

    [TestCase("no target", "out is missing", "{root}/model")]
    [TestCase("unknown type", "--type 'f64'", "{root}/model", "{root}/x", "--type", "f64")]
    [TestCase("unknown naming", "--naming 'mine'", "{root}/model", "{root}/x", "--naming", "mine")]
    [TestCase("no source", "there is no such file", "{root}/none", "{root}/x")]
    [TestCase("target exists", "exists already", "{root}/model", "{root}/model")]
    [TestCase("target is a folder of others", "which is no checkpoint file", "{root}/model", "{root}/colours", "--overwrite")]
    [TestCase("Hugging Face names in a file", "name a folder", "{root}/model", "{root}/x.safetensors", "--naming", "huggingface")]
    [TestCase("not a checkpoint", "vocab.json", "{root}/model/vocab.json", "{root}/x")]
    [TestCase("tokenizer that is none", "holds no vocab.json", "{root}/model", "{root}/x", "--tokenizer", "{root}/colours")]
    public void BadConversionsAreRefused(string name, string mentions, params string[] args)
    {
        Dictionary<string, string> before = TinyWorld.Snapshot(world.Root);
        Outcome outcome = TinyWorld.Run(["convert", .. args.Select(arg => arg.Replace("{root}", world.Root, StringComparison.Ordinal))]);
        Assert.That((outcome.Code, outcome.Output, outcome.ErrorLines.Length), Is.EqualTo((2, "", 1)), name);
        Assert.That(outcome.Error, Does.Contain(mentions));
        Assert.That(TinyWorld.Snapshot(world.Root), Is.EqualTo(before));
    }

    private void WriteTorch(string path, bool scalars, string prefix = "")
    {
        // Without a config.json heads must be 64 wide.
        ClipConfig config = TinyWorld.MakeConfig(visionWidth: 64);
        TinyWorld.WriteModel(world["wide"], config with { Text = config.Text! with { Width = 64 } }, tokenizer: world.Model);
        string safetensors = world["scratch.safetensors"];
        TinyWorld.Do("convert", world["wide"], safetensors);
        var writer = new TorchWriter(TorchForm.Archive);
        using (SafetensorsFile file = SafetensorsFile.Open(safetensors))
            writer.StateDict(
                [.. file.Tensors.Values.Where(entry => scalars || entry.DType == SafetensorsType.F32).Select(entry => (entry.Name, entry.DType, entry.Shape.ToArray(), file.Bytes(entry.Name).ToArray()))], prefix);
        File.WriteAllBytes(path, writer.ToArray());
        File.Delete(safetensors);
    }

    private static string Accuracy(string[] evaluate) => TinyWorld.Do(evaluate).OutputLines[^1].Split('|')[2].Trim();

    /// <summary>The bytes after the header.</summary>
    private static byte[] Values(string path)
    {
        byte[] bytes = File.ReadAllBytes(path);
        return bytes[(8 + (int)BitConverter.ToUInt64(bytes))..];
    }
}
