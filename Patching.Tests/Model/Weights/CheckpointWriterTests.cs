using NUnit.Framework;
using Patching.Model;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Tests.Model.Weights;

internal sealed class CheckpointWriterTests
{
    private TemporaryFolder _folder = null!;

    [SetUp]
    public void CreateFolder() => _folder = new TemporaryFolder();

    [TearDown]
    public void RemoveFolder() => _folder.Dispose();

    [TestCase(SafetensorsType.F32)]
    [TestCase(SafetensorsType.F16)]
    public void Round_trips_are_byte_identical(SafetensorsType type)
    {
        TinyModel.Save(_folder["hf"], type: type);
        Copy(_folder["hf"], _folder["hf2"], CheckpointNaming.HuggingFace, type);
        CopyToFile(_folder["hf"], _folder["o.safetensors"], type);
        Copy(_folder["o.safetensors"], _folder["hf3"], CheckpointNaming.HuggingFace, type);
        Copy(_folder["hf"], _folder["odir"], CheckpointNaming.OpenAi, type);
        CopyToFile(_folder["odir"], _folder["o2.safetensors"], type);
        Assert.Multiple(() =>
        {
            AssertSameFiles(_folder["hf"], _folder["hf2"]);
            AssertSameFiles(_folder["hf"], _folder["hf3"]);
            AssertSameBytes(_folder["o.safetensors"], _folder["o2.safetensors"]);
            AssertSameBytes(_folder["o.safetensors"], _folder["odir", "model.safetensors"]);
        });
    }

    [Test]
    public void Directory_holds_the_tokenizer_of_its_source()
    {
        Directory.CreateDirectory(_folder["t"]);
        foreach (string name in new[] { "vocab.json", "merges.txt", "tokenizer_config.json", "unrelated.txt" })
            File.WriteAllText(_folder["t", name], name);
        CheckpointWriter.Save(_folder["a", "m"], TinyModel.Config, TinyModel.Preprocess, TinyModel.Fill, tokenizerDirectory: _folder["t"]);
        Assert.That(Directory.GetFiles(_folder["a", "m"]).Select(Path.GetFileName), Is.EquivalentTo(
            new[] { "model.safetensors", "config.json", "preprocessor_config.json", "vocab.json", "merges.txt", "tokenizer_config.json" }));
        Assert.That(File.ReadAllText(_folder["a", "m", "merges.txt"]), Is.EqualTo("merges.txt"));
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(_folder["a", "m"]);
        Assert.That(checkpoint.TokenizerDirectory, Is.EqualTo(_folder["a", "m"]));

        File.Delete(_folder["t", "merges.txt"]);
        Assert.That(
            () => CheckpointWriter.Save(_folder["b"], TinyModel.Config, TinyModel.Preprocess, TinyModel.Fill,
                tokenizerDirectory: _folder["t"]),
            Throws.TypeOf<InputException>().With.Message.Contains("holds no merges.txt"));
        Assert.That(_folder.Entries(), Is.EqualTo(new[] { "a", "t" }));
    }

    [Test]
    public void Metadata_is_kept_and_describes_the_model()
    {
        var metadata = new Dictionary<string, string> { ["command"] = "patching patch", ["format"] = "nonsense" };
        CheckpointWriter.Save(_folder["m"], TinyModel.Config, TinyModel.Preprocess, TinyModel.Fill, metadata: metadata);
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(_folder["m"]);
        Assert.That(
            checkpoint.Metadata.Keys, Is.EquivalentTo(new[] { "activation", "clip_config", "clip_preprocess", "command", "format" }));
        Assert.That(checkpoint.Metadata["format"], Is.EqualTo("pt"));
        Assert.That(checkpoint.Metadata["command"], Is.EqualTo("patching patch"));
    }

    [Test]
    public void Nothing_is_left_of_a_failed_save()
    {
        ParameterSource failing = (spec, _) => { if (spec.Name == "text_projection") throw new InputException("no such tensor"); };
        Assert.That(() => CheckpointWriter.Save(_folder["m"], TinyModel.Config, TinyModel.Preprocess, failing),
            Throws.TypeOf<InputException>());
        Assert.That(() => CheckpointWriter.SaveFile(_folder["f"], TinyModel.Config, TinyModel.Preprocess, failing),
            Throws.TypeOf<InputException>());
        Assert.That(_folder.Entries(), Is.Empty);
        TinyModel.Save(_folder["m"]);
        Assert.That(() => CheckpointWriter.Save(_folder["m"], TinyModel.Config, TinyModel.Preprocess, failing, overwrite: true),
            Throws.TypeOf<InputException>());
        ClipCheckpoint.Open(_folder["m"]).Dispose();
        Assert.That(_folder.Entries(), Is.EqualTo(new[] { "m" }));
    }

    [Test]
    public void Existing_directories_are_replaced_only_when_told_and_only_checkpoints()
    {
        Directory.CreateDirectory(_folder["m"]);
        TinyModel.Save(_folder["m"]);
        Assert.That(() => TinyModel.Save(_folder["m"]), Throws.TypeOf<InputException>().With.Message.Contains("exists already"));
        CheckpointWriter.Save(_folder["m"], TinyModel.Config with { Text = null }, TinyModel.Preprocess, TinyModel.Fill, overwrite: true);
        using (ClipCheckpoint checkpoint = ClipCheckpoint.Open(_folder["m"])) Assert.That(checkpoint.Config.Text, Is.Null);
        File.WriteAllText(_folder["m", "thesis.tex"], "years of work");
        Assert.That(() => CheckpointWriter.Save(_folder["m"], TinyModel.Config, TinyModel.Preprocess, TinyModel.Fill, overwrite: true),
            Throws.TypeOf<InputException>().With.Message.Contains("'thesis.tex'"));
        File.WriteAllText(_folder["file"], "");
        Assert.That(() => TinyModel.Save(_folder["file"]), Throws.TypeOf<InputException>().With.Message.Contains("is a file"));
        Assert.That(() => TinyModel.Save(_folder["file", "below"]),
            Throws.TypeOf<InputException>().With.Message.Contains("cannot be written"));
        Assert.That(_folder.Entries(), Is.EqualTo(new[] { "file", "m" }));
    }

    [Test]
    public void Parameters_are_asked_for_once_in_the_order_of_the_table()
    {
        List<ParameterSpec> asked = [];
        CheckpointWriter.Save(_folder["m"], TinyModel.Config, TinyModel.Preprocess, (spec, values) =>
        {
            Assert.That(values.Length, Is.EqualTo(spec.Length));
            asked.Add(spec);
        });
        Assert.That(asked, Is.EqualTo(ParameterTable.All(TinyModel.Config)));
    }

    private static void Copy(string from, string to, CheckpointNaming naming, SafetensorsType type)
    {
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(from);
        CheckpointWriter.Save(to, checkpoint.Config, checkpoint.Preprocess, checkpoint.Read, naming, type, checkpoint.Metadata,
            checkpoint.TokenizerDirectory);
    }

    private static void CopyToFile(string from, string to, SafetensorsType type)
    {
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(from);
        CheckpointWriter.SaveFile(to, checkpoint.Config, checkpoint.Preprocess, checkpoint.Read, type, checkpoint.Metadata);
    }

    private static void AssertSameFiles(string expected, string actual)
    {
        string?[] names = [.. Directory.GetFiles(expected).Select(Path.GetFileName)];
        Assert.That(Directory.GetFiles(actual).Select(Path.GetFileName), Is.EquivalentTo(names));
        foreach (string? name in names) AssertSameBytes(Path.Combine(expected, name!), Path.Combine(actual, name!));
    }

    private static void AssertSameBytes(string expected, string actual) =>
        Assert.That(File.ReadAllBytes(actual).AsSpan().SequenceEqual(File.ReadAllBytes(expected)), $"{actual} differs from {expected}");
}
