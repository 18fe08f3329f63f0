using NUnit.Framework;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Data;
using Patching.Model.Weights;

namespace Patching.Tests.Model.Clip;

/// <summary>Every activation of the image tower and the outputs of both towers against the reference values.</summary>
[TestFixture(DeviceKind.Host)]
[TestFixture(DeviceKind.Simulator)]
internal sealed class GoldenForwardTests(DeviceKind kind)
{
    private const double Max = 2e-5;
    private const double Relative = 2e-6;

    private Device device = null!;

    [OneTimeSetUp]
    public void OpenDevice() => device = Device.Open(kind);

    [OneTimeTearDown]
    public void CloseDevice() => device.Dispose();

    [TestCase(GoldenModel.Fixture, "hf")]
    [TestCase("tiny", "hf")]
    [TestCase("tiny", "openai.safetensors")]
    [TestCase("medium-vision", "hf")]
    public void ImageTowerMatches(string name, string checkpoint)
    {
        if (kind == DeviceKind.Simulator && name != GoldenModel.Fixture) Assert.Ignore("one model is enough for the simulator");
        using GoldenModel golden = new(GoldenModel.Folder(name));
        using ClipModel model = ClipModel.Open(device, Path.Combine(GoldenModel.Folder(name), checkpoint));
        int batch = golden.Floats("forward", "image_features").Length / model.Config.EmbeddingWidth;
        using VisionActivations a = VisionActivations.Allocate(device, model.Config, batch, training: true);
        a.Images.CopyFrom(golden.Pixels(0, batch, model.Config.Vision.ImageSize));
        model.Tower.Forward(new VisionParameters(model.Vision, model.Config), a);

        Check(a.PatchEmbeddings, "visual.conv1_NPD");
        Check(a.Embedded, "visual.embed_plus_pos_NLD");
        Check(a.Streams[0], "visual.ln_pre_NLD");
        Check(a.Blocks[0].PreActivation, "visual.block0.c_fc_NLD");
        for (int layer = 0; layer < model.Config.Vision.Layers; layer++) Check(a.Streams[layer + 1], $"visual.block{layer}_NLD");
        Check(a.PooledNormalized, "visual.ln_post_ND");
        Check(a.Features, "image_features");

        void Check(Tensor actual, string tensor) => GoldenModel.AssertClose(actual, golden.Floats("forward", tensor), Max, Relative, tensor);
    }

    [Test]
    public void InferenceGivesTheSameFeaturesAsTraining()
    {
        // The batches are smaller than those of the training steps; their first images are the same.
        int batch = kind == DeviceKind.Simulator ? 2 : 8, part = kind == DeviceKind.Simulator ? 1 : 2;
        using GoldenModel golden = new(GoldenModel.Folder(GoldenModel.Fixture));
        using ClipModel model = ClipModel.Open(device, Path.Combine(GoldenModel.Folder(GoldenModel.Fixture), "hf"));
        VisionParameters weights = new(model.Vision, model.Config);
        using VisionActivations training = VisionActivations.Allocate(device, model.Config, batch, training: true);
        using VisionActivations inference = VisionActivations.Allocate(device, model.Config, batch, training: false);
        byte[] pixels = golden.Pixels(0, batch, 32);
        foreach (VisionActivations a in (VisionActivations[])[training, inference])
        {
            a.Images.CopyFrom(pixels);
            model.Tower.Forward(weights, a);
        }
        GoldenModel.AssertClose(inference.Features, training.Features.ToArray(), 2e-6, 1e-6, "inference and training");

        VisionActivations few = inference.Shrink(part);
        few.Images.CopyFrom(pixels.AsSpan(0, part * 32 * 32 * 3));
        model.Tower.Forward(weights, few);
        GoldenModel.AssertClose(few.Features, golden.Floats("forward", "image_features")[..(part * 64)], Max, Relative, "a part of a batch");
    }

    [TestCase("hf")]
    [TestCase("openai.safetensors")]
    public void TextTowerMatches(string checkpoint)
    {
        if (kind == DeviceKind.Simulator && checkpoint != "hf") Assert.Ignore("one naming is enough for the simulator");
        using GoldenModel golden = new(Repository.Shared("golden", "tiny"));
        using ClipCheckpoint opened = ClipCheckpoint.Open(Repository.Shared("golden", "tiny", checkpoint));
        using ParameterSet text = new(device, "text", ParameterTable.Text(opened.Config));
        text.Load(opened.Read);
        int[] tokens = golden.Ints("inputs", "tokens");
        int[][] rows = [.. tokens.Chunk(77)];
        TextTransformer tower = new(device, opened.Config);
        // Two texts are so long that the original lost their end-of-text token and pooled at position 0; the rest must agree whatever the model's pooling rule.
        int[] usable = [.. Enumerable.Range(0, rows.Length).Where(i => rows[i].Contains(49407))];
        // A text's time in the simulator grows with the square of its length.
        if (kind == DeviceKind.Simulator) usable = [.. usable.Where(i => rows[i].IndexOf(49407) < 12).Take(3)];
        float[] features = tower.Encode(text, [.. usable.Select(i => rows[i])], batchSize: 3);
        float[] expected = golden.Floats("forward", "text_features");
        float[] chosen = [.. usable.SelectMany(i => expected.AsSpan(i * 64, 64).ToArray())];
        (double max, double relative) = GoldenModel.Distance(features, chosen);
        Assert.That(max, Is.LessThanOrEqualTo(Max));
        Assert.That(relative, Is.LessThanOrEqualTo(Relative));
    }

    [Test]
    public void StandInFeaturesAndHeadsMatch()
    {
        if (kind == DeviceKind.Simulator) Assert.Ignore("one model is enough for the simulator");
        using SafetensorsFile inputs = SafetensorsFile.Open(Repository.Shared("standin", "inputs.safetensors"));
        using SafetensorsFile forward = SafetensorsFile.Open(Repository.Shared("standin", "forward.safetensors"));
        using SafetensorsFile heads = SafetensorsFile.Open(Repository.Shared("standin", "heads.safetensors"));
        using ClipModel model = ClipModel.Open(device, Repository.Shared("standin", "hf"));
        foreach (string name in heads.Tensors.Keys)
        {
            ZeroShotPrompts prompts = ZeroShotPrompts.For(name);
            ZeroShotHead head = model.BuildHead(prompts.ClassNames, prompts.Templates);
            float[] expected = new float[640];
            heads.ReadFloat32(name, expected);
            (double max, _) = GoldenModel.Distance(head.Weights, expected);
            Assert.That(max, Is.LessThanOrEqualTo(2e-5), name);
        }
        float[] features = new float[16 * 64];
        forward.ReadFloat32("image_features", features);
        float[] planes = new float[16 * 3 * 28 * 28];
        inputs.ReadFloat32("images", planes);
        using VisionActivations a = VisionActivations.Allocate(device, model.Config, 16, training: false);
        a.Images.CopyFrom(GoldenModel.Pixels(planes, 16, 28));
        model.Tower.Forward(new VisionParameters(model.Vision, model.Config), a);
        GoldenModel.AssertClose(a.Features, features, 5e-5, 5e-6, "stand-in features");
    }

    [Test]
    public void HeadsOfManyDataSetsMatch()
    {
        if (kind == DeviceKind.Simulator) Assert.Ignore("the texts alone are enough for the simulator");
        using ClipModel model = ClipModel.Open(device, Repository.Shared("golden", "tiny", "hf"), tokenizerDirectory: Repository.Shared("golden", "hf_tokenizer"));
        using SafetensorsFile heads = SafetensorsFile.Open(Repository.Shared("golden", "heads", "heads.safetensors"));
        foreach (string name in (string[])["MNIST", "FashionMNIST", "CIFAR10", "EuroSAT", "GTSRB", "KITTI"])
        {
            ZeroShotPrompts prompts = ZeroShotPrompts.For(name);
            ZeroShotHead head = model.BuildHead(prompts.ClassNames, prompts.Templates);
            float[] expected = new float[heads.Tensors[name].Elements];
            heads.ReadFloat32(name, expected);
            (double max, _) = GoldenModel.Distance(head.Weights, expected);
            Assert.That(max, Is.LessThanOrEqualTo(2e-5), name);
        }
    }
}
