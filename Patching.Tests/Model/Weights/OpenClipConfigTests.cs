using NUnit.Framework;
using Patching.Kernels;
using Patching.Model;
using Patching.Model.Clip;
using Patching.Model.Images;
using Patching.Model.Weights;

namespace Patching.Tests.Model.Weights;

/// <summary><c>open_clip_config.json</c>: what it says is used, what it asks for and the towers lack is refused.</summary>
internal sealed class OpenClipConfigTests
{
    // As published with ViT-H-14 (laion2b_s32b_b79k): heads of 80 channels, exact GELU.
    private const string Huge = """
        {"model_cfg": {"embed_dim": 1024,
          "vision_cfg": {"image_size": 224, "layers": 32, "width": 1280, "head_width": 80, "patch_size": 14},
          "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 1024, "heads": 16, "layers": 24}},
         "preprocess_cfg": {"mean": [0.48145466, 0.4578275, 0.40821073], "std": [0.26862954, 0.26130258, 0.27577711]}}
        """;

    private const string Tiny = """
        {"model_cfg": {"embed_dim": 6,
          "vision_cfg": {"image_size": 8, "layers": 2, "width": 64, "head_width": 16, "mlp_ratio": 0.16, "patch_size": 4},
          "text_cfg": {"context_length": 5, "vocab_size": 11, "width": 128, "heads": 4, "layers": 1, "mlp_ratio": 0.1}},
         "preprocess_cfg": {"mean": [0.5, 0.5, 0.5], "std": [0.25, 0.5, 1], "resize_mode": "squash"}}
        """;

    // As open_clip describes OpenAI's RN50.
    private const string ResNet50 = """
        {"model_cfg": {"embed_dim": 1024, "quick_gelu": true,
          "vision_cfg": {"image_size": 224, "layers": [3, 4, 6, 3], "width": 64, "patch_size": null},
          "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 512, "heads": 8, "layers": 12}}}
        """;

    private TemporaryFolder folder = null!;

    [SetUp]
    public void CreateFolder() => folder = new TemporaryFolder();

    [TearDown]
    public void RemoveFolder() => folder.Dispose();

    [Test]
    public void APublishedConfigIsUnderstood()
    {
        File.WriteAllText(folder["c.json"], Huge);
        ClipConfig config = OpenClipConfig.ReadModel(folder["c.json"]);
        Assert.That(config.Vision, Is.EqualTo(new VisionConfig(224, 14, 1280, 32, 16, 5120)));
        Assert.That(config.Text, Is.EqualTo(new TextConfig(77, 49408, 1024, 24, 16, 4096, TextPooling.ArgMaxId, 49407)));
        Assert.That((config.EmbeddingWidth, config.Activation), Is.EqualTo((1024, ActivationKind.Gelu)));
        Assert.That(OpenClipConfig.ReadPreprocess(folder["c.json"], 224), Is.EqualTo(PreprocessConfig.Default(224)));
        File.WriteAllText(folder["c.json"], Huge.Replace("\"embed_dim\"", "\"quick_gelu\": true, \"embed_dim\""));
        Assert.That(OpenClipConfig.ReadModel(folder["c.json"]).Activation, Is.EqualTo(ActivationKind.QuickGelu));
    }

    [TestCase("open_clip_model.safetensors", true)]
    [TestCase("model.safetensors", true)]
    [TestCase("open_clip_model.safetensors", false)]
    public void WeightsAreOpenedWithTheConfigBesideThem(string weights, bool asFolder)
    {
        CheckpointWriter.SaveFile(folder["plain.safetensors"], TinyModel.Config, TinyModel.Preprocess, TinyModel.Fill);
        Strip(folder["plain.safetensors"], folder["m", weights]);
        Assert.That(() => ClipCheckpoint.Open(folder["m", weights]), Throws.InstanceOf<InputException>(), "nothing says the activation");
        File.WriteAllText(folder["m", OpenClipConfig.FileName], Tiny);
        using ClipCheckpoint opened = ClipCheckpoint.Open(asFolder ? folder["m"] : folder["m", weights]);
        Assert.That(opened.Config.Activation, Is.EqualTo(ActivationKind.Gelu));
        Assert.That(((VisionConfig)opened.Config.Vision).Heads, Is.EqualTo(4), "of 16 channels, which no shape shows");
        Assert.That(opened.Config.Text!.Heads, Is.EqualTo(4));
        Assert.That(opened.Preprocess, Is.EqualTo(new PreprocessConfig(8, [0.5f, 0.5f, 0.5f], [0.25f, 0.5f, 1], ResizeMode.Squash)));
    }

    [Test]
    public void WideTowersWithoutAConfigAreRefused()
    {
        ClipConfig wide = TinyModel.Config with { Image = new VisionConfig(8, 4, 1280, 1, 20, 16), Text = null };
        CheckpointWriter.SaveFile(folder["plain.safetensors"], wide, TinyModel.Preprocess, TinyModel.Fill);
        Strip(folder["plain.safetensors"], folder["wide.safetensors"]);
        Assert.That(() => ClipCheckpoint.Open(folder["wide.safetensors"], ActivationKind.Gelu),
            Throws.InstanceOf<InputException>().With.Message.Contains("width 1280 may have heads of any size"));
    }

    [TestCase("\"width\": 1280", "\"width\": 1281", "head_width")]
    [TestCase("\"image_size\": 224", "\"image_size\": \"big\"", "image_size")]
    [TestCase("\"image_size\"", "\"timm_model_name\": \"resnet\", \"image_size\"", "timm_model_name")]
    [TestCase("\"image_size\"", "\"no_ln_pre\": true, \"image_size\"", "no_ln_pre")]
    [TestCase("\"image_size\"", "\"pool_type\": \"avg\", \"image_size\"", "pool_type")]
    [TestCase("\"layers\": 32", "\"layers\": [3, 4, 6, 3]", "width")]
    [TestCase("\"context_length\"", "\"hf_model_name\": \"roberta\", \"context_length\"", "hf_model_name")]
    [TestCase("\"context_length\"", "\"no_causal_mask\": true, \"context_length\"", "no_causal_mask")]
    [TestCase("\"embed_dim\"", "\"multimodal_cfg\": {}, \"embed_dim\"", "multimodal_cfg")]
    [TestCase("\"patch_size\": 14", "\"patch_size\": 14, \"mlp_ratio\": -1", "mlp_ratio")]
    [TestCase("\"text_cfg\"", "\"text\"", "text_cfg")]
    [TestCase("{\"model_cfg\"", "{\"model\"", "model_cfg")]
    public void WhatTheTowersDoNotComputeIsRefusedByName(string what, string with, string named)
    {
        File.WriteAllText(folder["c.json"], Huge.Replace(what, with));
        Assert.That(() => OpenClipConfig.ReadModel(folder["c.json"]),
            Throws.InstanceOf<InputException>().With.Message.StartsWith(folder["c.json"]).And.Message.Contains(named));
    }

    [Test]
    public void AListOfLayersIsAResNet()
    {
        File.WriteAllText(folder["c.json"], ResNet50);
        ClipConfig config = OpenClipConfig.ReadModel(folder["c.json"]);
        Assert.That(config.Image, Is.EqualTo(new ResNetConfig(224, [3, 4, 6, 3], 64, 32)));
        Assert.That((config.EmbeddingWidth, config.Activation), Is.EqualTo((1024, ActivationKind.QuickGelu)));
        File.WriteAllBytes(folder["d.json"], OpenClipConfig.Write(config, PreprocessConfig.Default(224)));
        Assert.That(OpenClipConfig.ReadModel(folder["d.json"]), Is.EqualTo(config));
        Assert.That(OpenClipConfig.ReadPreprocess(folder["d.json"], 224), Is.EqualTo(PreprocessConfig.Default(224)));
        ClipConfig odd = config with { Text = config.Text! with { Width = 150, MlpWidth = 491, Heads = 2 } };
        File.WriteAllBytes(folder["d.json"], OpenClipConfig.Write(odd, PreprocessConfig.Default(224)));
        Assert.That(OpenClipConfig.ReadModel(folder["d.json"]), Is.EqualTo(odd), "a ratio that no binary fraction is");
    }

    [TestCase("[3, 4, 6, 3]", "[3, 4, 6]", "layers")]
    [TestCase("[3, 4, 6, 3]", "[3, 4, 6, 0]", "layers")]
    [TestCase("[3, 4, 6, 3]", "[3, 4, 6, 1000000]", "layers")]
    [TestCase("[3, 4, 6, 3]", "[3, 4, 6, \"3\"]", "layers")]
    [TestCase("[3, 4, 6, 3]", "[[3], 4, 6, 3]", "layers")]
    [TestCase("\"image_size\": 224", "\"image_size\": 230", "multiple of 32")]
    [TestCase("\"image_size\": 224", "\"image_size\": 2147483646", "image_size")]
    [TestCase("\"width\": 64", "\"width\": 63", "even")]
    [TestCase("\"width\": 64", "\"width\": 2147483646", "width")]
    [TestCase("\"width\": 64", "\"width\": 64, \"head_width\": 2047", "head_width")]
    [TestCase("\"width\": 64", "\"width\": 64, \"timm_model_name\": \"resnet50\"", "timm_model_name")]
    public void ImpossibleResNetsAreRefusedByName(string what, string with, string named)
    {
        File.WriteAllText(folder["c.json"], ResNet50.Replace(what, with));
        Assert.That(() => OpenClipConfig.ReadModel(folder["c.json"]),
            Throws.InstanceOf<InputException>().With.Message.StartsWith(folder["c.json"]).And.Message.Contains(named));
    }

    [TestCase("\"interpolation\": \"bilinear\"", "interpolation")]
    [TestCase("\"resize_mode\": \"longest\"", "resize_mode")]
    [TestCase("\"resize_mode\": 1", "resize_mode")]
    [TestCase("\"std\": [1, 0, 1]", "std")]
    public void OtherPreprocessingIsRefusedByName(string member, string named)
    {
        File.WriteAllText(folder["c.json"], $$"""{"preprocess_cfg": { {{member}} } }""");
        Assert.That(() => OpenClipConfig.ReadPreprocess(folder["c.json"], 8),
            Throws.InstanceOf<InputException>().With.Message.StartsWith(folder["c.json"]).And.Message.Contains(named));
    }

    /// <summary>The same tensors without the texts of the header, as open_clip writes them.</summary>
    private static void Strip(string source, string target)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(target)!);
        using SafetensorsFile file = SafetensorsFile.Open(source);
        TensorEntry[] floats = [.. file.Tensors.Values.Where(tensor => TensorEntry.IsFloat(tensor.DType))];
        using SafetensorsWriter writer = new(
            target, new Dictionary<string, string>(), [.. floats.Select(tensor => new SafetensorsTensor(tensor.Name, tensor.DType, tensor.Shape))], overwrite: false);
        foreach (TensorEntry tensor in floats)
        {
            float[] values = new float[tensor.Elements];
            file.ReadFloat32(tensor.Name, values);
            writer.Write(values);
        }
        writer.Complete();
    }
}
