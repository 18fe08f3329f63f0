using System.IO.Compression;
using System.Runtime.InteropServices;
using NUnit.Framework;
using Patching.Kernels;
using Patching.Model;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Tests.Model.Weights;

/// <summary>What PyTorch writes is read: every container, every way to wrap a state dict, every way to lay out a tensor.</summary>
internal sealed class TorchFileTests
{
    private static readonly Lazy<(string Name, SafetensorsType Type, long[] Shape, byte[] Bytes)[]> Tiny = new(() => TinyTensors(SafetensorsType.F32));

    private TemporaryFolder _folder = null!;

    /// <summary>The tiny model under OpenAI's names, with its three scalars.</summary>
    public static (string Name, SafetensorsType Type, long[] Shape, byte[] Bytes)[] TinyTensors(SafetensorsType type, CheckpointNaming naming = CheckpointNaming.OpenAi)
    {
        using var folder = new TemporaryFolder();
        TinyModel.Save(folder["m"], naming, type);
        using SafetensorsFile file = SafetensorsFile.Open(folder["m", "model.safetensors"]);
        return [.. file.Tensors.Values.Select(entry => (entry.Name, entry.DType, entry.Shape.ToArray(), file.Bytes(entry.Name).ToArray()))];
    }

    [SetUp]
    public void CreateFolder() => _folder = new TemporaryFolder();

    [TearDown]
    public void RemoveFolder() => _folder.Dispose();

    [Test]
    public void State_dicts_are_read_from_every_container(
        [Values] TorchForm form, [Values(SafetensorsType.F32, SafetensorsType.F16, SafetensorsType.BF16)] SafetensorsType type)
    {
        var writer = new TorchWriter(form);
        writer.StateDict(TinyTensors(type));
        string expected = form switch { TorchForm.Archive => "PyTorch archive", TorchForm.Stream => "PyTorch stream (before 1.6)", _ => "Python pickle" };
        using ClipCheckpoint checkpoint = Open(writer.ToArray());
        Assert.That(checkpoint.Container, Is.EqualTo(expected));
        Assert.That(checkpoint.Notes, Is.Empty);
        AssertIsTiny(checkpoint);
    }

    [TestCase("state_dict", "")]
    [TestCase("state_dict", "module.")]
    [TestCase("model", "model.")]
    [TestCase("model_state_dict", "_orig_mod.module.")]
    public void Training_checkpoints_are_unwrapped(string key, string prefix)
    {
        var writer = new TorchWriter(TorchForm.Archive);
        writer.Pickle.Op('}', '(').Unicode("epoch").Int(3).Unicode("loss").Op('G').Raw(new byte[8]).Unicode("optimizer").Op('}', '(').Int(0).Op('}', 'u');
        writer.Pickle.Unicode("args").Global("argparse", "Namespace").Op(')').Raw(0x81).Op('}', 'b').Unicode(key);
        writer.StateDict(Tiny.Value, prefix);
        writer.Pickle.Op('u');
        using ClipCheckpoint checkpoint = Open(writer.ToArray());
        AssertIsTiny(checkpoint);
        Assert.That(checkpoint.Notes, Has.Some.EqualTo($"taken from its entry '{key}'").And.Some.EqualTo("not used: epoch, loss, optimizer, args"));
    }

    [Test]
    public void TorchScript_archives_are_read_and_their_code_is_not()
    {
        var writer = new TorchWriter(TorchForm.Archive);
        writer.Module(Tiny.Value, "__torch__.clip.model", "CLIP", script: true);
        List<ZipPart> parts = [.. writer.ToEntries(), new("archive/code/__torch__/clip/model.py", "import os"u8.ToArray()), new("archive/constants.pkl", "nonsense"u8.ToArray())];
        using ClipCheckpoint checkpoint = Open(TorchWriter.Zip(parts));
        Assert.That(checkpoint.Container, Is.EqualTo("TorchScript archive (its code is ignored)"));
        Assert.That(checkpoint.Metadata["activation"], Is.EqualTo("quick_gelu"), "the class of the activation is in the file");
        AssertIsTiny(checkpoint);
    }

    [Test]
    public void Modules_of_the_original_are_read([Values] TorchForm form, [Values] bool asClassifier)
    {
        // Its image encoder deletes the text tower's blocks and keeps the rest; its classifier adds a head.
        string prefix = asClassifier ? "image_encoder.model." : "model.";
        List<(string Name, SafetensorsType, long[], byte[])> tensors =
            [.. Tiny.Value.Where(tensor => !tensor.Name.StartsWith("transformer.", StringComparison.Ordinal) && tensor.Type == SafetensorsType.F32).Select(tensor => tensor with { Name = prefix + tensor.Name })];
        if (asClassifier) tensors.AddRange([("classification_head.weight", SafetensorsType.F32, [3, 6], new byte[72]), ("classification_head.bias", SafetensorsType.F32, [3], new byte[12])]);
        var writer = new TorchWriter(form);
        writer.Module(tensors, "src.modeling", asClassifier ? "ImageClassifier" : "ImageEncoder", script: false);
        using ClipCheckpoint checkpoint = Open(writer.ToArray());
        Assert.That(checkpoint.Config, Is.EqualTo(TinyModel.Config with { Text = null }));
        foreach (ParameterSpec spec in ParameterTable.Vision(checkpoint.Config))
            Assert.That(TinyModel.Read(checkpoint, spec).SequenceEqual(TinyModel.Values(spec)), spec.Name);
        Assert.That(checkpoint.Notes, Has.Some.Contains("token_embedding.weight"));
    }

    [Test]
    public void A_classification_head_is_a_file_of_two_tensors()
    {
        var writer = new TorchWriter(TorchForm.Pickle);
        writer.Module([("weight", SafetensorsType.F32, [1, 2], [0, 0, 128, 63, 0, 0, 0, 64]), ("bias", SafetensorsType.F32, [1], new byte[4])], "src.modeling", "ClassificationHead", script: false);
        File.WriteAllBytes(_folder["head.pt"], writer.ToArray());
        using TensorFile file = TensorFile.Open(_folder["head.pt"]);
        float[] weight = new float[2];
        file.ReadFloat32("weight", weight);
        Assert.That(weight, Is.EqualTo(new[] { 1f, 2f }));
        Assert.That(() => ClipCheckpoint.Open(_folder["head.pt"]), Throws.TypeOf<InputException>().With.Message.Contains("none of its 2 tensors is of a CLIP"));
    }

    [Test]
    public void Nothing_says_the_activation_of_a_state_dict()
    {
        var writer = new TorchWriter(TorchForm.Archive);
        writer.StateDict(Tiny.Value.Where(tensor => tensor.Type == SafetensorsType.F32));
        byte[] bytes = writer.ToArray();
        Assert.That(() => Open(bytes), Throws.TypeOf<InputException>().With.Message.Contains("state quick_gelu (OpenAI's weights) or gelu"));
        using ClipCheckpoint stated = Open(bytes, ActivationKind.Gelu);
        Assert.That(stated.Config.Activation, Is.EqualTo(ActivationKind.Gelu));
    }

    [Test]
    public void Views_share_storages_and_have_strides_and_offsets([Values(TorchForm.Archive, TorchForm.Stream)] TorchForm form)
    {
        float[] values = [.. Enumerable.Range(0, 24).Select(i => (float)i)];
        var writer = new TorchWriter(form);
        writer.Storages.Add(("s", "FloatStorage", MemoryMarshal.AsBytes<float>(values).ToArray()));
        writer.Pickle.Op('}', '(').Unicode("all");
        writer.View("s", SafetensorsType.F32, [2, 3, 4], [12, 4, 1], 0);
        writer.Pickle.Unicode("transposed");
        writer.View("s", SafetensorsType.F32, [4, 3], [1, 4], 12);
        writer.Pickle.Unicode("column");
        writer.View("s", SafetensorsType.F32, [3, 1], [4, 77], 2);
        writer.Pickle.Unicode("last");
        writer.View("s", SafetensorsType.F32, [], [], 23);
        writer.Pickle.Unicode("nothing");
        writer.View("s", SafetensorsType.F32, [0, 5], [5, 1], 24);
        writer.Pickle.Op('u');
        File.WriteAllBytes(_folder["f"], writer.ToArray());
        using TensorFile file = TensorFile.Open(_folder["f"]);
        Assert.Multiple(() =>
        {
            Assert.That(Values(file, "all"), Is.EqualTo(values));
            Assert.That(Values(file, "transposed"), Is.EqualTo(new float[] { 12, 16, 20, 13, 17, 21, 14, 18, 22, 15, 19, 23 }));
            Assert.That(Values(file, "column"), Is.EqualTo(new float[] { 2, 6, 10 }));
            Assert.That(Values(file, "last"), Is.EqualTo(new float[] { 23 }));
            Assert.That(Values(file, "nothing"), Is.Empty);
        });
        float[] middle = new float[5];
        file.ReadFloat32("transposed", 4, middle);
        Assert.That(middle, Is.EqualTo(new float[] { 17, 21, 14, 18, 22 }));
    }

    [Test]
    public void Doubles_and_views_of_old_storages_are_read()
    {
        var writer = new TorchWriter(TorchForm.Stream);
        writer.Storages.Add(("d", "DoubleStorage", MemoryMarshal.AsBytes<double>([1, 2, 3, 0.1]).ToArray()));
        writer.Pickle.Op('}', '(').Unicode("x").Global("torch._utils", "_rebuild_tensor").Op('(');
        writer.Pickle.Op('(').Unicode("storage").Global("torch", "DoubleStorage").Unicode("d").Unicode("cuda:0").Int(4);
        writer.Pickle.Op('(').Unicode("view").Int(1).Int(3).Op('t', 't', 'Q').Int(1);
        writer.Numbers([2]);
        writer.Numbers([1]);
        writer.Pickle.Op('t', 'R', 'u');
        File.WriteAllBytes(_folder["f"], writer.ToArray());
        using TensorFile file = TensorFile.Open(_folder["f"]);
        Assert.That(Values(file, "x"), Is.EqualTo(new[] { 3f, 0.1f }));
    }

    [Test]
    public void Archives_of_other_programs_are_read([Values] bool zip64)
    {
        var writer = new TorchWriter(TorchForm.Archive);
        writer.StateDict(Tiny.Value);
        List<ZipPart> parts = writer.ToEntries();
        if (zip64)
        {
            using ClipCheckpoint wide = Open(TorchWriter.Zip(parts, zip64: true));
            AssertIsTiny(wide);
            return;
        }
        using (var archive = new ZipArchive(File.Create(_folder["m.pt"]), ZipArchiveMode.Create))
        {
            foreach (ZipPart part in parts)
            {
                // The pickle may be packed, the tensors may not.
                bool isTensor = part.Name.Contains("/data/", StringComparison.Ordinal);
                using Stream entry = archive.CreateEntry(part.Name, isTensor ? CompressionLevel.NoCompression : CompressionLevel.SmallestSize).Open();
                entry.Write(part.Bytes);
            }
        }
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(_folder["m.pt"]);
        AssertIsTiny(checkpoint);
    }

    [TestCase("pytorch_model.bin")]
    [TestCase("open_clip_pytorch_model.bin")]
    public void Directories_may_hold_PyTorch_weights(string name)
    {
        TinyModel.Save(_folder["m"]);
        File.Delete(_folder["m", "model.safetensors"]);
        var writer = new TorchWriter(TorchForm.Archive);
        writer.StateDict(TinyTensors(SafetensorsType.F32, CheckpointNaming.HuggingFace));
        File.WriteAllBytes(_folder["m", name], writer.ToArray());
        using ClipCheckpoint directory = ClipCheckpoint.Open(_folder["m"]), file = ClipCheckpoint.Open(_folder["m", name]);
        Assert.That(directory.Naming, Is.EqualTo(CheckpointNaming.HuggingFace));
        AssertIsTiny(directory);
        AssertIsTiny(file);
    }

    [TestCase("archive.pt", "PyTorch archive", null)]
    [TestCase("training.pt", "PyTorch archive", null)]
    [TestCase("stream.pt", "PyTorch stream (before 1.6)", null)]
    [TestCase("module-stream.pt", "PyTorch stream (before 1.6)", "quick_gelu")]
    [TestCase("module-protocol3.pkl", "Python pickle", "quick_gelu")]
    [TestCase("module-protocol4.pkl", "Python pickle", "quick_gelu")]
    [TestCase("module-protocol5.pkl", "Python pickle", "quick_gelu")]
    public void Files_of_Pythons_own_encoders_are_read(string name, string container, string? activation)
    {
        using TensorFile file = TensorFile.Open(Repository.Fixture("torch", name));
        Assert.That(file.Container, Is.EqualTo(container));
        Assert.That(file.Metadata.GetValueOrDefault("activation"), Is.EqualTo(activation));
        Assert.That(file.Tensors.Keys, Is.EquivalentTo(new[] { "proj", "turned", "half" }));
        Assert.Multiple(() =>
        {
            Assert.That(file.Tensors["proj"].ShapeText, Is.EqualTo("[2, 3]"));
            Assert.That(Values(file, "proj"), Is.EqualTo(new float[] { 0, 1, 2, 3, 4, 5 }));
            Assert.That(Values(file, "turned"), Is.EqualTo(new float[] { 0, 3, 1, 4, 2, 5 }));
            Assert.That(Values(file, "half"), Is.EqualTo(new[] { 0, 0.5f, 1, 1.5f }));
        });
    }

    /// <summary>Files of <c>make_pytorch_files.py</c>.</summary>
    [Test]
    public void PyTorchs_TorchScript_archive_is_a_model()
    {
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(Repository.Fixture("pytorch", "script.pt"));
        Assert.That(checkpoint.Container, Is.EqualTo("TorchScript archive (its code is ignored)"));
        Assert.That(checkpoint.Tensors.Values.Select(tensor => tensor.DType).Distinct(), Is.EquivalentTo(new[] { SafetensorsType.F16, SafetensorsType.I64 }));
        AssertIsTiny(checkpoint);
    }

    [TestCase("dtypes.pt")]
    [TestCase("dtypes-old.pt")]
    public void PyTorchs_element_types_are_read(string name)
    {
        using TensorFile file = TensorFile.Open(Repository.Fixture("pytorch", name));
        Assert.That(
            file.Tensors.Values.Select(tensor => $"{tensor.Name} {tensor.DType} {tensor.ShapeText}"),
            Is.EquivalentTo(new[] { "f64 F64 [4]", "f32 F32 [4]", "f16 F16 [4]", "bf16 BF16 [4]", "i64 I64 [2]", "scalar F32 []", "empty F32 [0, 3]" }));
        Assert.That(Values(file, "f64"), Is.EqualTo(new[] { 0, 1, -2.5f, 0.1f }));
        foreach (string type in (string[])["f32", "f16", "bf16"]) Assert.That(Values(file, type), Is.EqualTo(new[] { 0, 1, -2.5f, 0.15625f }), type);
        Assert.That(Values(file, "scalar"), Is.EqualTo(new[] { 4.5f }));
    }

    [TestCase("views.pt")]
    [TestCase("views-old.pt")]
    public void PyTorchs_views_are_read(string name)
    {
        using TensorFile file = TensorFile.Open(Repository.Fixture("pytorch", name));
        Assert.Multiple(() =>
        {
            Assert.That(Values(file, "whole"), Is.EqualTo(Enumerable.Range(0, 24)));
            Assert.That(Values(file, "transposed"), Is.EqualTo(new[] { 12, 16, 20, 13, 17, 21, 14, 18, 22, 15, 19, 23 }));
            Assert.That(Values(file, "column"), Is.EqualTo(new[] { 2, 6, 10 }));
            Assert.That(Values(file, "every_other"), Is.EqualTo(Enumerable.Range(0, 12).Select(i => 2 * i + 1)));
            Assert.That(Values(file, "last"), Is.EqualTo(new[] { 23 }));
            Assert.That(Values(file, "parameter"), Is.EqualTo(Enumerable.Range(0, 12)));
        });
    }

    [TestCase("encoder.pt", "PyTorch archive")]
    [TestCase("encoder-old.pt", "PyTorch stream (before 1.6)")]
    [TestCase("encoder.pkl", "Python pickle")]
    public void PyTorchs_whole_objects_are_read_as_far_as_the_tensors_go(string name, string container)
    {
        using TensorFile file = TensorFile.Open(Repository.Fixture("pytorch", name));
        Assert.That(file.Container, Is.EqualTo(container));
        Assert.That(file.Metadata["activation"], Is.EqualTo("quick_gelu"));
        Assert.That(
            file.Tensors.Values.Select(tensor => $"{tensor.Name} {tensor.DType}"),
            Is.EquivalentTo(new[] { "visual.proj F32", "visual.norm.running_mean F32", "visual.norm.num_batches_tracked I64" }));
        Assert.That(Values(file, "visual.proj"), Is.EqualTo(new[] { 0, 1, 2, 3, 4, 5 }));
        Assert.That(Values(file, "visual.norm.running_mean"), Is.EqualTo(new[] { 3, 4 }));
        Assert.That(file.ReadInt64Scalar("visual.norm.num_batches_tracked"), Is.EqualTo(7));
    }

    [Test]
    public void PyTorchs_classification_head_is_two_tensors()
    {
        using TensorFile file = TensorFile.Open(Repository.Fixture("pytorch", "head.pt"));
        Assert.That(file.Tensors.Keys, Is.EquivalentTo(new[] { "weight", "bias" }));
        Assert.That(Values(file, "weight"), Is.EqualTo(new[] { 0, 1, 2, 3, 4, 5 }));
    }

    private static void AssertIsTiny(ClipCheckpoint checkpoint)
    {
        Assert.That(checkpoint.Config, Is.EqualTo(TinyModel.Config));
        foreach (ParameterSpec spec in ParameterTable.All(checkpoint.Config))
            Assert.That(TinyModel.Read(checkpoint, spec).SequenceEqual(TinyModel.Values(spec)), spec.Name);
    }

    private static float[] Values(TensorFile file, string name)
    {
        float[] values = new float[file.Tensors[name].Elements];
        file.ReadFloat32(name, values);
        return values;
    }

    private ClipCheckpoint Open(byte[] bytes, ActivationKind? activation = null)
    {
        File.WriteAllBytes(_folder["model.pt"], bytes);
        return ClipCheckpoint.Open(_folder["model.pt"], activation);
    }
}
