using System.Text.Json;
using NUnit.Framework;
using Patching.Model;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Tests.Model.Weights;

/// <summary>Models in several files with an index.</summary>
internal sealed class ShardedTensorFileTests
{
    private const string Index = "model.safetensors.index.json";

    private TemporaryFolder _folder = null!;

    [SetUp]
    public void CreateFolder() => _folder = new TemporaryFolder();

    [TearDown]
    public void RemoveFolder() => _folder.Dispose();

    /// <summary>Splits the tiny model in its folder into three files.</summary>
    public static void Split(string folder)
    {
        Dictionary<string, string> map = [];
        using (SafetensorsFile whole = SafetensorsFile.Open(Path.Combine(folder, "model.safetensors")))
        {
            TensorEntry[] all = [.. whole.Tensors.Values];
            for (int i = 0; i < 3; i++)
            {
                TensorEntry[] mine = [.. all.Where((_, at) => at * 3 / all.Length == i)];
                string name = $"model-0000{i + 1}-of-00003.safetensors";
                using var writer = new SafetensorsWriter(
                    Path.Combine(folder, name), new Dictionary<string, string> { ["format"] = "pt" }, [.. mine.Select(entry => new SafetensorsTensor(entry.Name, entry.DType, entry.Shape))]);
                foreach (TensorEntry entry in mine)
                {
                    float[] values = new float[entry.Elements];
                    whole.ReadFloat32(entry.Name, values);
                    writer.Write(values);
                    map.Add(entry.Name, name);
                }
                writer.Complete();
            }
        }
        File.Delete(Path.Combine(folder, "model.safetensors"));
        File.WriteAllText(Path.Combine(folder, Index), JsonSerializer.Serialize(new { metadata = new { total_size = 1 }, weight_map = map }));
    }

    [Test]
    public void Shards_are_one_model()
    {
        TinyModel.Save(_folder["m"]);
        Split(_folder["m"]);
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(_folder["m"]), byIndex = ClipCheckpoint.Open(_folder["m", Index]);
        Assert.That(checkpoint.Container, Is.EqualTo("3 files, safetensors"));
        Assert.That(checkpoint.Config, Is.EqualTo(TinyModel.Config));
        foreach (ParameterSpec spec in ParameterTable.All(checkpoint.Config))
            Assert.That(TinyModel.Read(checkpoint, spec).SequenceEqual(TinyModel.Values(spec)), spec.Name);
        string hash = checkpoint.Sha256;
        Assert.That(byIndex.Sha256, Is.EqualTo(hash));
        byte[] last = File.ReadAllBytes(_folder["m", "model-00003-of-00003.safetensors"]);
        last[^1] ^= 1;
        File.WriteAllBytes(_folder["m", "model-00003-of-00003.safetensors"], last);
        using ClipCheckpoint changed = ClipCheckpoint.Open(_folder["m"]);
        Assert.That(changed.Sha256, Is.Not.EqualTo(hash), "every file counts");
    }

    [Test]
    public void Missing_shards_are_all_named()
    {
        TinyModel.Save(_folder["m"]);
        Split(_folder["m"]);
        File.Delete(_folder["m", "model-00001-of-00003.safetensors"]);
        File.Delete(_folder["m", "model-00003-of-00003.safetensors"]);
        Expect("2 of its 3 files are missing: model-00001-of-00003.safetensors, model-00003-of-00003.safetensors");
    }

    [TestCase("{", "is not valid JSON")]
    [TestCase("[]", "no object 'weight_map'")]
    [TestCase("{\"weight_map\": []}", "no object 'weight_map'")]
    [TestCase("{\"weight_map\": {}}", "lists no tensors")]
    [TestCase("{\"weight_map\": {\"a\": 3}}", "'3', which is no name of a file")]
    [TestCase("{\"weight_map\": {\"a\": \"../m/x\"}}", "'../m/x', which is no name of a file")]
    [TestCase("{\"weight_map\": {\"a\": \"/etc/passwd\"}}", "'/etc/passwd', which is no name of a file")]
    [TestCase("{\"weight_map\": {\"a\": \"..\"}}", "'..', which is no name of a file")]
    [TestCase("{\"weight_map\": {\"a\": \"model.safetensors.index.json\"}}", "which is no name of a file")]
    [TestCase("{\"weight_map\": {\"a\": \"x\", \"a\": \"y\"}}", "is not valid JSON")]
    [TestCase("{\"weight_map\": {\"nothing\": \"model-00001-of-00003.safetensors\"}}", "places tensor 'nothing' in model-00001-of-00003.safetensors, which does not hold it")]
    [TestCase("{\"weight_map\": {\"logit_scale\": \"model-00003-of-00003.safetensors\"}}", "does not list tensor")]
    public void Indices_that_lie_are_refused(string json, string expected)
    {
        TinyModel.Save(_folder["m"]);
        Split(_folder["m"]);
        File.WriteAllText(_folder["m", Index], json);
        Expect(expected);
    }

    private void Expect(string expected)
    {
        var error = Assert.Throws<InputException>(() => ClipCheckpoint.Open(_folder["m"]).Dispose())!;
        Assert.That(error.Message, Does.StartWith(_folder["m", Index]).And.Contain(expected));
        Assert.That(error.Message.AsSpan().IndexOfAny('\n', '\r'), Is.EqualTo(-1), "one line");
    }
}
