using System.Security.Cryptography;
using System.Text;
using NUnit.Framework;
using Patching.Kernels;
using Patching.Model;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Tests.Model.Weights;

internal sealed class ClipCheckpointTests
{
    private TemporaryFolder _folder = null!;

    [SetUp]
    public void CreateFolder() => _folder = new TemporaryFolder();

    [TearDown]
    public void RemoveFolder() => _folder.Dispose();

    [TestCase(CheckpointNaming.HuggingFace, SafetensorsType.F32)]
    [TestCase(CheckpointNaming.HuggingFace, SafetensorsType.BF16)]
    [TestCase(CheckpointNaming.OpenAi, SafetensorsType.F16)]
    public void Values_come_back_in_the_canonical_layout(CheckpointNaming naming, SafetensorsType type)
    {
        TinyModel.Save(_folder["m"], naming, type);
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(_folder["m"]);
        Assert.That(checkpoint.Config, Is.EqualTo(TinyModel.Config));
        Assert.That(checkpoint.Preprocess, Is.EqualTo(TinyModel.Preprocess));
        Assert.That(checkpoint.Naming, Is.EqualTo(naming));
        Assert.That(checkpoint.TokenizerDirectory, Is.Null);
        foreach (ParameterSpec spec in ParameterTable.All(checkpoint.Config))
            Assert.That(TinyModel.Read(checkpoint, spec).SequenceEqual(TinyModel.Values(spec)), spec.Name);
    }

    [Test]
    public void OpenAi_files_hold_the_transpose_of_the_projections()
    {
        TinyModel.Save(_folder["m"], CheckpointNaming.OpenAi);
        using SafetensorsFile file = SafetensorsFile.Open(_folder["m", "model.safetensors"]);
        ParameterSpec projection = ParameterTable.Vision(TinyModel.Config)[^1];
        Assert.That(projection.ToString(), Is.EqualTo("visual.proj [6, 64]"));
        Assert.That(file.Tensors["visual.proj"].ShapeText, Is.EqualTo("[64, 6]"));
        float[] stored = new float[projection.Length], canonical = TinyModel.Values(projection);
        file.ReadFloat32("visual.proj", stored);
        for (int e = 0; e < 6; e++)
            for (int c = 0; c < 64; c++) Assert.That(stored[c * 6 + e], Is.EqualTo(canonical[e * 64 + c]));
    }

    [Test]
    public void HuggingFace_files_hold_queries_keys_and_values_apart()
    {
        TinyModel.Save(_folder["m"]);
        using SafetensorsFile file = SafetensorsFile.Open(_folder["m", "model.safetensors"]);
        float[] keys = new float[128], canonical = TinyModel.Values(new("transformer.resblocks.0.attn.in_proj_bias", [384]));
        file.ReadFloat32("text_model.encoder.layers.0.self_attn.k_proj.bias", keys);
        Assert.That(keys, Is.EqualTo(canonical[128..256]));
        Assert.That(file.Tensors, Does.ContainKey("vision_model.pre_layrnorm.weight"));
        Assert.That(file.Tensors, Does.ContainKey("vision_model.encoder.layers.1.mlp.fc2.bias"));
    }

    [Test]
    public void Table_counts_every_parameter_once()
    {
        var b32 = new ClipConfig(
            512, new VisionConfig(224, 32, 768, 12, 12, 3072), new TextConfig(77, 49408, 512, 12, 8, 2048, TextPooling.ArgMaxId, 49407),
            ActivationKind.QuickGelu, 1e-5f);
        Assert.That(ParameterTable.Vision(b32).Sum(spec => (long)spec.Length), Is.EqualTo(87_849_216), "ViT-B/32 image tower");
        Assert.That(ParameterTable.All(b32).Sum(spec => (long)spec.Length), Is.EqualTo(151_277_313), "ViT-B/32");
        Assert.That(ParameterTable.All(b32).Select(spec => spec.Name), Is.Unique);
        Assert.That(ParameterTable.Text(b32 with { Text = null }), Is.Empty);
    }

    [Test]
    public void Lone_OpenAi_file_says_its_architecture_in_the_metadata()
    {
        VisionConfig vision = TinyModel.Config.Vision with { Heads = 4 };
        ClipConfig config = TinyModel.Config with { Activation = ActivationKind.Gelu, LayerNormEpsilon = 2e-5f, Image = vision };
        var preprocess = new PreprocessConfig(8, [0.5f, 0.5f, 0.5f], [0.25f, 0.5f, 1]);
        CheckpointWriter.SaveFile(_folder["a.safetensors"], config, preprocess, TinyModel.Fill);
        File.WriteAllText(_folder["config.json"], "some other program's");
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(_folder["a.safetensors"]);
        Assert.That(checkpoint.Config, Is.EqualTo(config));
        Assert.That(checkpoint.Preprocess, Is.EqualTo(preprocess));
        Assert.That(checkpoint.Metadata, Does.ContainKey("activation").WithValue("gelu"));
    }

    [Test]
    public void Shapes_give_the_architecture_but_not_the_activation()
    {
        WriteOpenAi(scalars: false, metadata: []);
        Expect(_folder["o"], "state quick_gelu (OpenAI's weights) or gelu");
        using (ClipCheckpoint stated = ClipCheckpoint.Open(_folder["o"], ActivationKind.Gelu))
            Assert.That(stated.Config, Is.EqualTo(TinyModel.Config with { Activation = ActivationKind.Gelu }));
        WriteOpenAi(scalars: false, metadata: new() { ["activation"] = "gelu" });
        using (ClipCheckpoint said = ClipCheckpoint.Open(_folder["o"]))
            Assert.That(said.Config.Activation, Is.EqualTo(ActivationKind.Gelu));
        WriteOpenAi(scalars: false, metadata: new() { ["activation"] = "selu" });
        Expect(_folder["o"], "'selu'; known: quick_gelu, gelu");
        WriteOpenAi(scalars: true, metadata: []);
        using (ClipCheckpoint export = ClipCheckpoint.Open(_folder["o"])) Assert.That(export.Config, Is.EqualTo(TinyModel.Config));
    }

    [Test]
    public void Stated_activation_overrides_the_files()
    {
        TinyModel.Save(_folder["m"]);
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(_folder["m"], ActivationKind.Gelu);
        Assert.That(checkpoint.Config.Activation, Is.EqualTo(ActivationKind.Gelu));
    }

    [Test]
    public void Every_difference_is_listed_at_once()
    {
        WriteOpenAi(scalars: true, metadata: [], edit: tensors =>
        {
            tensors.RemoveAll(tensor => tensor.Name is "ln_final.bias" or "visual.ln_pre.weight");
            tensors.Add(new("visual.extra\n", SafetensorsType.F32, [2]));
            tensors.Add(new("module.other", SafetensorsType.F32, []));
            Change(tensors, "logit_scale", tensor => tensor with { Shape = [1] });
            Change(tensors, "visual.ln_post.bias", tensor => tensor with { Shape = [65] });
            Change(tensors, "visual.ln_post.weight", tensor => tensor with { DType = SafetensorsType.I64 });
        });
        Expect(_folder["o"],
            "2 missing: visual.ln_pre.weight, ln_final.bias; 2 unexpected: module.other, visual.extra?; "
            + "2 wrong shape: visual.ln_post.bias is [65], expected [64], logit_scale is [1], expected []; "
            + "1 unsupported type (F32, F16, BF16 and F64 can be read): visual.ln_post.weight is I64");
    }

    [Test]
    public void Long_lists_are_cut()
    {
        WriteOpenAi(scalars: true, metadata: [], edit: tensors =>
            tensors.AddRange(Enumerable.Range(10, 50).Select(i => new SafetensorsTensor($"x{i}", SafetensorsType.F32, [1]))));
        Expect(_folder["o"], "50 unexpected: x10, x11, ", "x29 and 30 more");
    }

    [Test]
    public void Tensors_that_shapes_are_read_from_are_missed_together()
    {
        WriteOpenAi(scalars: true, metadata: [], edit: tensors =>
        {
            tensors.RemoveAll(tensor => tensor.Name is "visual.conv1.weight" or "positional_embedding");
            Change(tensors, "visual.proj", tensor => tensor with { Shape = [384] });
        });
        Expect(_folder["o"], "visual.conv1.weight is missing; visual.proj is [384], expected 2 sizes; positional_embedding is missing");
    }

    [TestCase("visual.positional_embedding", 4L, 64L, "has 4 rows; expected a square number of patches plus 1")]
    [TestCase("visual.positional_embedding", 1L, 64L, "has 1 rows; expected a square")]
    [TestCase("visual.positional_embedding", 17L, 64L, "input_resolution is 8, but the shapes of the tensors say 16")]
    [TestCase("token_embedding.weight", 11L, 100L, "width 100 is not a multiple of 64")]
    [TestCase("token_embedding.weight", 300000L, 0L, "token_embedding.weight is [300000, 0], expected 2 sizes")]
    [TestCase("token_embedding.weight", 12L, 128L, "vocab_size is 11, but the shapes of the tensors say 12")]
    public void Impossible_shapes_are_refused(string name, long rows, long columns, string expected)
    {
        WriteOpenAi(scalars: true, metadata: [], edit: tensors => Change(tensors, name, tensor => tensor with { Shape = [rows, columns] }));
        Expect(_folder["o"], expected);
    }

    [Test]
    public void Files_of_other_models_are_refused()
    {
        Write(_folder["o"], [new("bert.weight", SafetensorsType.F32, [1])], []);
        Expect(_folder["o"], "none of its 1 tensors is of a CLIP image tower (vision_model. or visual.; the first is 'bert.weight')");
        File.WriteAllBytes(_folder["e"], TinyModel.Raw("{}", 0));
        Expect(_folder["e"], "none of its 0 tensors");
        Write(_folder["b"], [new("visual.proj", SafetensorsType.F32, [1]), new("vision_model.x", SafetensorsType.F32, [1])], []);
        Expect(_folder["b"], "mixes Hugging Face");
    }

    [Test]
    public void Config_that_does_not_fit_the_tensors_is_refused()
    {
        TinyModel.Save(_folder["m"]);
        Rewrite(_folder["m", "config.json"], "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 3");
        Expect(_folder["m"], "16 missing: vision_model.encoder.layers.2.layer_norm1.weight");
        Rewrite(_folder["m", "config.json"], "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 1");
        Expect(_folder["m"], "16 unexpected: vision_model.encoder.layers.1.layer_norm1.bias");
        Rewrite(_folder["m", "config.json"], "\"intermediate_size\": 10,", "");
        Expect(_folder["m"], "vision_model.encoder.layers.0.mlp.fc1.weight is [10, 64], expected [3072, 64]");
    }

    [Test]
    public void Position_ids_are_ignored()
    {
        TinyModel.Save(_folder["m"]);
        List<SafetensorsTensor> tensors = Tensors(CheckpointNaming.HuggingFace);
        tensors.Insert(0, new("vision_model.embeddings.position_ids", SafetensorsType.I64, [1, 5]));
        tensors.Insert(0, new("text_model.embeddings.position_ids", SafetensorsType.I64, [1, 5]));
        Write(_folder["m", "model.safetensors"], tensors, []);
        ClipCheckpoint.Open(_folder["m"]).Dispose();
        tensors.Insert(0, new("text_model.embeddings.position_idz", SafetensorsType.I64, [1, 5]));
        Write(_folder["m", "model.safetensors"], tensors, []);
        Expect(_folder["m", "model.safetensors"], "1 unexpected: text_model.embeddings.position_idz");
    }

    [Test]
    public void Preprocessing_must_fit_the_model()
    {
        TinyModel.Save(_folder["m"]);
        File.WriteAllBytes(_folder["m", "preprocessor_config.json"], HuggingFaceConfig.WritePreprocess(PreprocessConfig.Default(224)));
        ExpectFrom(_folder["m", "preprocessor_config.json"], _folder["m"], "prepares images of 224 pixels, but the model needs 8");
    }

    [Test]
    public void Directories_without_usable_files_are_refused()
    {
        Expect(_folder.Path, "holds no model.safetensors; give");
        Expect(_folder["none"], "there is no such file");
        File.WriteAllText(_folder["pytorch_model.bin"], "x");
        ExpectFrom(_folder["pytorch_model.bin"], _folder.Path, "1 bytes are too few");
        File.WriteAllText(_folder["model.safetensors.index.json"], "{}");
        ExpectFrom(_folder["model.safetensors.index.json"], _folder.Path, "no object 'weight_map'");
        TinyModel.Save(_folder["m"]);
        string config = _folder["m", "config.json"];
        File.WriteAllText(config, "");
        ExpectFrom(config, _folder["m"], "is not valid JSON");
        File.WriteAllBytes(config, new byte[5 << 20]);
        ExpectFrom(config, _folder["m"], "too many for a configuration file");
    }

    [Test]
    public void HuggingFace_weights_need_their_config()
    {
        Write(_folder["model.safetensors"], [new("vision_model.pre_layrnorm.weight", SafetensorsType.F32, [4])], []);
        ExpectFrom(_folder["config.json"], _folder.Path, "need the config.json of their model beside them");
        ExpectFrom(_folder["config.json"], _folder["model.safetensors"], "need the config.json of their model beside them");
    }

    [TestCase(float.NaN)]
    [TestCase(float.NegativeInfinity)]
    public void Broken_values_are_counted(float value)
    {
        CheckpointWriter.SaveFile(_folder["a"], TinyModel.Config, TinyModel.Preprocess, (spec, values) =>
        {
            TinyModel.Fill(spec, values);
            if (spec.Name == "visual.proj") values[5] = values[100] = values[383] = value;
        });
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(_folder["a"]);
        Assert.That(() => TinyModel.Read(checkpoint, Find("visual.proj")),
            Throws.TypeOf<InputException>().With.Message.Contains("tensor 'visual.proj' holds 3 NaN or infinite values among 384"));
        Assert.That(TinyModel.Read(checkpoint, Find("text_projection")), Has.Length.EqualTo(768));
    }

    [Test]
    public void Hash_is_of_the_whole_file()
    {
        TinyModel.Save(_folder["m"]);
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(_folder["m"]);
        byte[] bytes = File.ReadAllBytes(checkpoint.WeightsPath);
        Assert.That(checkpoint.Sha256, Is.EqualTo(Convert.ToHexString(SHA256.HashData(bytes)).ToLowerInvariant()));
    }

    private static ParameterSpec Find(string name) => ParameterTable.All(TinyModel.Config).Single(spec => spec.Name == name);

    /// <summary>The tiny model under OpenAI's names in file "o", as some other program would have written it.</summary>
    private void WriteOpenAi(bool scalars, Dictionary<string, string> metadata, Action<List<SafetensorsTensor>>? edit = null)
    {
        List<SafetensorsTensor> tensors = Tensors(CheckpointNaming.OpenAi);
        string[] names = scalars ? ["input_resolution", "context_length", "vocab_size"] : [];
        tensors.AddRange(names.Select(name => new SafetensorsTensor(name, SafetensorsType.I64, [])));
        edit?.Invoke(tensors);
        Write(_folder["o"], tensors, metadata);
    }

    private static List<SafetensorsTensor> Tensors(CheckpointNaming naming) =>
        [.. ParameterTable.All(TinyModel.Config).SelectMany(spec => NameMap.Stored(naming, spec))
            .Select(stored => new SafetensorsTensor(stored.Name, SafetensorsType.F32, [.. stored.Shape.Select(size => (long)size)]))];

    private static void Write(string path, IReadOnlyList<SafetensorsTensor> tensors, Dictionary<string, string> metadata)
    {
        using var writer = new SafetensorsWriter(path, metadata, tensors, overwrite: true);
        foreach (SafetensorsTensor tensor in tensors)
        {
            if (tensor.DType != SafetensorsType.I64)
            {
                writer.Write(new float[tensor.Shape.Aggregate(1L, (count, size) => count * size)]);
                continue;
            }
            long value = tensor.Name switch { "input_resolution" => 8, "context_length" => 5, _ => 11 };
            for (long i = 0; i < tensor.Length / 8; i++) writer.WriteInt64(value);
        }
        writer.Complete();
    }

    private static void Change(List<SafetensorsTensor> tensors, string name, Func<SafetensorsTensor, SafetensorsTensor> change)
    {
        int index = tensors.FindIndex(tensor => tensor.Name == name);
        tensors[index] = change(tensors[index]);
    }

    private static void Rewrite(string path, string from, string to)
    {
        string text = File.ReadAllText(path);
        // Only the image tower's member: the text tower comes first in the file.
        int at = text.LastIndexOf(from, StringComparison.Ordinal);
        Assert.That(at, Is.Positive);
        File.WriteAllText(path, text.Remove(at, from.Length).Insert(at, to), new UTF8Encoding(false));
    }

    private static void Expect(string path, params string[] expected) => ExpectFrom(path, path, expected);

    /// <summary>Opening the path must fail with one line that begins with the file at fault and says all that is expected.</summary>
    private static void ExpectFrom(string file, string path, params string[] expected)
    {
        var error = Assert.Throws<InputException>(() => ClipCheckpoint.Open(path).Dispose())!;
        Assert.That(error.Message, Does.StartWith(file));
        foreach (string part in expected) Assert.That(error.Message, Does.Contain(part));
        Assert.That(error.Message.AsSpan().IndexOfAny('\n', '\r'), Is.EqualTo(-1), "one line");
    }
}
