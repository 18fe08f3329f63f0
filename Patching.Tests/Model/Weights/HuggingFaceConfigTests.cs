using System.Text;
using NUnit.Framework;
using Patching.Kernels;
using Patching.Model;
using Patching.Model.Clip;
using Patching.Model.Images;

namespace Patching.Tests.Model.Weights;

internal sealed class HuggingFaceConfigTests
{
    private const string Source = "dir/config.json";

    [Test]
    public void Absent_members_mean_the_defaults_of_transformers()
    {
        ClipConfig config = Parse("""{"model_type":"clip","text_config":{},"vision_config":{}}""");
        Assert.That(config, Is.EqualTo(new ClipConfig(
            512, new VisionConfig(224, 32, 768, 12, 12, 3072),
            new TextConfig(77, 49408, 512, 12, 8, 2048, TextPooling.FirstEndOfText, 49407),
            ActivationKind.QuickGelu, 1e-5f)));
        Assert.That((config.Vision.Grid, config.Vision.Patches, config.Vision.Tokens, config.Vision.HeadSize), Is.EqualTo((7, 49, 50, 64)));
    }

    [Test]
    public void Legacy_end_of_text_pools_at_the_largest_id()
    {
        ClipConfig config = Parse("""{"model_type":"clip","text_config":{"eos_token_id":2},"vision_config":{}}""");
        Assert.That(config.Text, Has.Property("Pooling").EqualTo(TextPooling.ArgMaxId).And.Property("EndOfTextId").EqualTo(49407));
    }

    [Test]
    public void What_is_written_reads_the_same()
    {
        ClipConfig[] configs =
        [
            TinyModel.Config, TinyModel.Config with { Text = null },
            TinyModel.Config with { Activation = ActivationKind.Gelu, LayerNormEpsilon = 1e-6f },
            TinyModel.Config with { Text = TinyModel.Config.Text! with { Pooling = TextPooling.FirstEndOfText, EndOfTextId = 7 } },
        ];
        foreach (ClipConfig config in configs)
        {
            Assert.That(HuggingFaceConfig.ParseConfig(Source, HuggingFaceConfig.WriteConfig(config, "float32")), Is.EqualTo(config));
            Assert.That(HuggingFaceConfig.ParseConfig(Source, HuggingFaceConfig.WriteConfig(config, "float32", indented: false)),
                Is.EqualTo(config));
        }
        var preprocess = new PreprocessConfig(30, [0.1f, 0.25f, 1 / 3f], [0.5f, 0.6f, 0.7f]);
        Assert.That(HuggingFaceConfig.ParsePreprocess(Source, HuggingFaceConfig.WritePreprocess(preprocess)), Is.EqualTo(preprocess));
        Assert.That(Encoding.UTF8.GetString(HuggingFaceConfig.WritePreprocess(preprocess)),
            Does.Contain("0.25,").And.Contain("0.00392156862745098,"));
    }

    [TestCase("[]", "expected a JSON object, found a list of 0")]
    [TestCase("{", "not valid JSON")]
    [TestCase("", "not valid JSON")]
    [TestCase("""{"model_type":"clip","model_type":"clip"}""", "not valid JSON")]
    [TestCase("{}", "model_type is \"\"; only clip (CLIPModel)")]
    [TestCase("""{"model_type":"siglip","vision_config":{}}""", "model_type is \"siglip\"; only clip")]
    [TestCase("""{"model_type":"clip_text_model"}""", "model_type is \"clip_text_model\"")]
    [TestCase("""{"model_type":7}""", "model_type must be a text, found 7")]
    [TestCase("""{"model_type":"clip","vision_config":{}}""", "text_config is missing")]
    [TestCase("""{"model_type":"clip","text_config":{}}""", "vision_config is missing")]
    [TestCase("""{"model_type":"clip","text_config":{},"vision_config":[]}""", "vision_config must be an object, found a list of 0")]
    [TestCase("""{"model_type":"clip","vision_config":{},"text_config":{"hidden_act":"gelu"}}""", "text_config.hidden_act differs")]
    [TestCase("""{"model_type":"clip","vision_config":{},"text_config":{"layer_norm_eps":1e-6}}""", "text_config.layer_norm_eps differs")]
    [TestCase("""{"model_type":"clip","vision_config":{},"text_config":{"eos_token_id":49408}}""", "49408 is outside the vocabulary")]
    [TestCase("""{"model_type":"clip","vision_config":{},"text_config":{"vocab_size":1000000000}}""", "is 1000000000, expected")]
    public void Wrong_config_is_refused(string json, string expected) => Expect(() => Parse(json), expected);

    [TestCase("hidden_size", "0", "hidden_size must be a whole number from 1")]
    [TestCase("hidden_size", "-768", "hidden_size must be a whole number from 1 to 2147483647, found -768")]
    [TestCase("hidden_size", "\"768\"", "hidden_size must be a whole number from 1 to 2147483647, found \"768\"")]
    [TestCase("hidden_size", "768.5", "hidden_size must be a whole number")]
    [TestCase("hidden_size", "1e99", "hidden_size must be a whole number")]
    [TestCase("hidden_size", "2147483647", "width (hidden_size) is 2147483647, expected 1 to 8192")]
    [TestCase("hidden_size", "770", "width 770 cannot be divided among 12 heads")]
    [TestCase("intermediate_size", "100000000", "MLP width (intermediate_size) is 100000000")]
    [TestCase("num_hidden_layers", "100000", "num_hidden_layers) is 100000, expected 1 to 512")]
    [TestCase("num_attention_heads", "0", "num_attention_heads must be a whole number")]
    [TestCase("num_attention_heads", "7", "cannot be divided among 7 heads")]
    [TestCase("projection_dim", "{}", "projection_dim must be a whole number from 1 to 2147483647, found an object")]
    [TestCase("projection_dim", "99999", "projection_dim) is 99999")]
    [TestCase("image_size", "100000", "image_size) is 100000")]
    [TestCase("image_size", "225", "image size 225 is not a multiple of the patch size 32")]
    [TestCase("patch_size", "33", "image size 224 is not a multiple of the patch size 33")]
    [TestCase("patch_size", "448", "patch_size) is 448, expected 1 to 128")]
    [TestCase("num_channels", "1", "num_channels is 1; only RGB")]
    [TestCase("hidden_act", "\"relu\"", "hidden_act is \"relu\"; known activations: quick_gelu, gelu")]
    [TestCase("hidden_act", "\"a\\nb\"", "hidden_act is \"a\\nb\"; known")]
    [TestCase("hidden_act", "\"\\ud800\"", "hidden_act is not valid text")]
    [TestCase("layer_norm_eps", "0", "layer_norm_eps) is 0")]
    [TestCase("layer_norm_eps", "-1e-5", "layer_norm_eps) is -")]
    [TestCase("layer_norm_eps", "true", "layer_norm_eps must be a number, found true")]
    public void Wrong_member_is_refused(string member, string value, string expected)
    {
        Expect(() => Parse($$"""{"model_type":"clip_vision_model","{{member}}":{{value}}}"""), expected);
    }

    [TestCase("resample", "2", "resample is 2; only 3 (bicubic) is supported")]
    [TestCase("do_normalize", "false", "do_normalize is false")]
    [TestCase("do_resize", "1", "do_resize must be true or false, found 1")]
    [TestCase("rescale_factor", "1", "rescale_factor must be 1/255")]
    [TestCase("size", "0", "size must be a whole number")]
    [TestCase("size", "{\"longest_edge\":224}", "size must have shortest_edge, or height and width")]
    [TestCase("size", "{\"height\":224,\"width\":225}", "size is 225 x 224; only square")]
    [TestCase("size", "{\"shortest_edge\":-1}", "size.shortest_edge must be a whole number")]
    [TestCase("crop_size", "223", "crop_size is 223 but size is 224")]
    [TestCase("image_mean", "[1,2]", "image_mean must be a list of 3 numbers, found a list of 2")]
    [TestCase("image_mean", "[1,2,\"3\"]", "item 2 is \"3\"")]
    [TestCase("image_mean", "[1,2,1e999]", "item 2 is 1e999")]
    [TestCase("image_std", "[1,0,1]", "image_std must be positive")]
    public void Wrong_preprocessing_is_refused(string member, string value, string expected)
    {
        Expect(() => HuggingFaceConfig.ParsePreprocess(Source, Encoding.UTF8.GetBytes($$"""{"{{member}}":{{value}}}""")), expected);
    }

    [TestCase("{}")]
    [TestCase("""{"size":224,"crop_size":224}""")]
    [TestCase("""{"size":{"height":224,"width":224},"crop_size":{"height":224,"width":224}}""")]
    public void Every_way_of_writing_the_size_is_read(string json)
    {
        Assert.That(HuggingFaceConfig.ParsePreprocess(Source, Encoding.UTF8.GetBytes(json)), Is.EqualTo(PreprocessConfig.Default(224) with
        {
            Resize = json.Contains("\"size\":{\"height\"", StringComparison.Ordinal) ? ResizeMode.Squash : ResizeMode.Shortest,
        }));
    }

    private static ClipConfig Parse(string json) => HuggingFaceConfig.ParseConfig(Source, Encoding.UTF8.GetBytes(json));

    private static void Expect(Action act, string expected)
    {
        var error = Assert.Throws<InputException>(act)!;
        Assert.That(error.Message, Does.StartWith($"{Source}: ").And.Contain(expected));
        Assert.That(error.Message.AsSpan().IndexOfAny('\n', '\r'), Is.EqualTo(-1), "one line");
    }
}
