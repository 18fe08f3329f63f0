using System.Buffers;
using System.Collections.Immutable;
using System.Text.Json;
using Patching.Kernels;
using Patching.Model.Images;

namespace Patching.Model.Clip;

/// <summary>
/// Reads and writes the two JSON files beside a Hugging Face model: <c>config.json</c> (architecture) and <c>preprocessor_config.json</c>
/// (images).
/// </summary>
/// <remarks>
/// transformers saves only what differs from the defaults of its configuration classes, so an absent member means that class's documented
/// default (CLIPConfig, CLIPTextConfig, CLIPVisionConfig). A default that does not fit the weights shows as a mis-shaped tensor when the
/// checkpoint is opened.
/// </remarks>
public static class HuggingFaceConfig
{
    // The historical value in OpenAI's converted models. transformers pools at the arg max of the ids when it sees it, and so do we.
    private const int LegacyEndOfTextId = 2;
    private const int PillowBicubic = 3;

    /// <summary>Reads <c>config.json</c> of a CLIPModel or a CLIPVisionModelWithProjection.</summary>
    /// <exception cref="InputException">The file cannot be read, is not such a config, or a value is impossible.</exception>
    public static ClipConfig ReadConfig(string path) => Config(JsonMembers.ReadFile(path));

    /// <summary>Reads the same JSON from memory; <paramref name="source"/> begins the messages.</summary>
    public static ClipConfig ParseConfig(string source, ReadOnlyMemory<byte> utf8) => Config(JsonMembers.Parse(source, utf8));

    /// <summary>Reads <c>preprocessor_config.json</c> of a CLIPImageProcessor.</summary>
    /// <exception cref="InputException">The file cannot be read or asks for something else than bicubic resize, centre crop and
    /// normalisation.</exception>
    public static PreprocessConfig ReadPreprocess(string path) => Preprocess(JsonMembers.ReadFile(path));

    /// <summary>Reads the same JSON from memory; <paramref name="source"/> begins the messages.</summary>
    public static PreprocessConfig ParsePreprocess(string source, ReadOnlyMemory<byte> utf8) => Preprocess(JsonMembers.Parse(source, utf8));

    /// <summary>The name of an activation in config.json: <c>quick_gelu</c> or <c>gelu</c>.</summary>
    public static string Name(ActivationKind activation) => activation == ActivationKind.QuickGelu ? "quick_gelu" : "gelu";

    /// <summary>The activation that config.json calls so; null for any other name.</summary>
    public static ActivationKind? ParseActivation(string name) => name switch
    {
        "quick_gelu" => ActivationKind.QuickGelu,
        "gelu" => ActivationKind.Gelu,
        _ => null,
    };

    /// <summary>The content of <c>config.json</c>; the same bytes for the same arguments.</summary>
    /// <param name="config">The architecture.</param>
    /// <param name="torchType">Element type of the weights in PyTorch's words: float32, float16 or bfloat16.</param>
    /// <param name="indented">One member per line and a final line break, or one compact line.</param>
    public static byte[] WriteConfig(ClipConfig config, string torchType, bool indented = true) => Write(indented, json =>
    {
        json.WriteStartArray("architectures");
        json.WriteStringValue(config.Text is null ? "CLIPVisionModelWithProjection" : "CLIPModel");
        json.WriteEndArray();
        if (config.Text is null)
        {
            WriteVision(json, config);
        }
        else
        {
            json.WriteNumber("initializer_factor", 1);
            json.WriteNumber("logit_scale_init_value", 2.6592m);
            json.WriteString("model_type", "clip");
            json.WriteNumber("projection_dim", config.EmbeddingWidth);
            json.WriteStartObject("text_config");
            WriteText(json, config, config.Text);
            json.WriteEndObject();
            json.WriteStartObject("vision_config");
            WriteVision(json, config);
            json.WriteEndObject();
        }
        json.WriteString("torch_dtype", torchType);
    });

    /// <summary>The content of <c>preprocessor_config.json</c>; the same bytes for the same argument.</summary>
    /// <param name="preprocess">Size and normalisation.</param>
    /// <param name="indented">One member per line and a final line break, or one compact line.</param>
    public static byte[] WritePreprocess(PreprocessConfig preprocess, bool indented = true) => Write(indented, json =>
    {
        json.WriteStartObject("crop_size");
        json.WriteNumber("height", preprocess.Size);
        json.WriteNumber("width", preprocess.Size);
        json.WriteEndObject();
        foreach (string step in PreprocessSteps) json.WriteBoolean(step, true);
        json.WriteString("feature_extractor_type", "CLIPFeatureExtractor");
        WriteFloats(json, "image_mean", preprocess.Mean);
        json.WriteString("image_processor_type", "CLIPImageProcessor");
        WriteFloats(json, "image_std", preprocess.Std);
        json.WriteNumber("resample", PillowBicubic);
        json.WriteNumber("rescale_factor", 1 / 255.0);
        json.WriteStartObject("size");
        if (preprocess.Resize == ResizeMode.Shortest)
        {
            json.WriteNumber("shortest_edge", preprocess.Size);
        }
        else
        {
            json.WriteNumber("height", preprocess.Size);
            json.WriteNumber("width", preprocess.Size);
        }
        json.WriteEndObject();
    });

    private static readonly string[] PreprocessSteps = ["do_center_crop", "do_convert_rgb", "do_normalize", "do_rescale", "do_resize"];

    private static ClipConfig Config(JsonMembers root)
    {
        string type = root.Text("model_type", root.HasObject("vision_config") ? "clip" : "");
        bool both = type == "clip";
        if (!both && type != "clip_vision_model")
        {
            string known = "clip (CLIPModel) and clip_vision_model (CLIPVisionModelWithProjection)";
            throw root.Wrong("model_type", $"is {Quote(type)}; only {known} can be used");
        }
        JsonMembers visionMembers = both ? root.Object("vision_config") : root;
        int embedding = root.Positive("projection_dim", 512);
        int channels = visionMembers.Positive("num_channels", 3);
        if (channels != 3) throw visionMembers.Wrong("num_channels", $"is {channels}; only RGB models (3) can be used");
        ActivationKind activation = Activation(visionMembers);
        float epsilon = (float)visionMembers.Number("layer_norm_eps", 1e-5);
        TextConfig? text = null;
        if (both)
        {
            JsonMembers textMembers = root.Object("text_config");
            text = Text(textMembers);
            if (Activation(textMembers) != activation)
                throw textMembers.Wrong("hidden_act", "differs from vision_config.hidden_act; both towers must use the same");
            if ((float)textMembers.Number("layer_norm_eps", 1e-5) != epsilon)
                throw textMembers.Wrong("layer_norm_eps", "differs from vision_config.layer_norm_eps; both towers must use the same");
        }
        var config = new ClipConfig(embedding, Vision(visionMembers), text, activation, epsilon);
        config.Check(root.Source);
        return config;
    }

    private static VisionConfig Vision(JsonMembers vision) => new(
        ImageSize: vision.Positive("image_size", 224), PatchSize: vision.Positive("patch_size", 32),
        Width: vision.Positive("hidden_size", 768), Layers: vision.Positive("num_hidden_layers", 12),
        Heads: vision.Positive("num_attention_heads", 12), MlpWidth: vision.Positive("intermediate_size", 3072));

    private static TextConfig Text(JsonMembers text)
    {
        int vocabulary = text.Positive("vocab_size", 49408);
        int endOfText = text.Positive("eos_token_id", 49407);
        bool legacy = endOfText == LegacyEndOfTextId;
        return new(
            ContextLength: text.Positive("max_position_embeddings", 77), VocabularySize: vocabulary,
            Width: text.Positive("hidden_size", 512), Layers: text.Positive("num_hidden_layers", 12),
            Heads: text.Positive("num_attention_heads", 8), MlpWidth: text.Positive("intermediate_size", 2048),
            legacy ? TextPooling.ArgMaxId : TextPooling.FirstEndOfText, legacy ? vocabulary - 1 : endOfText);
    }

    private static ActivationKind Activation(JsonMembers tower)
    {
        string name = tower.Text("hidden_act", "quick_gelu");
        return ParseActivation(name) ?? throw tower.Wrong("hidden_act", $"is {Quote(name)}; known activations: quick_gelu, gelu");
    }

    private static PreprocessConfig Preprocess(JsonMembers root)
    {
        foreach (string step in PreprocessSteps)
            if (!root.Flag(step, true)) throw root.Wrong(step, "is false; CLIP's preprocessing needs every step");
        int resample = root.Positive("resample", PillowBicubic);
        if (resample != PillowBicubic) throw root.Wrong("resample", $"is {resample}; only 3 (bicubic) is supported");
        double scale = root.Number("rescale_factor", 1 / 255.0);
        if (Math.Abs(scale * 255 - 1) > 1e-6) throw root.Wrong("rescale_factor", "must be 1/255 (0.00392156862745098)");
        int size = Side(root, "size");
        int crop = root.Has("crop_size") ? Side(root, "crop_size") : size;
        if (crop != size) throw root.Wrong("crop_size", $"is {crop} but size is {size}; only equal values are supported");
        ImmutableArray<float> mean = root.Floats("image_mean", 3)?.ToImmutableArray() ?? PreprocessConfig.ClipMean;
        ImmutableArray<float> std = root.Floats("image_std", 3)?.ToImmutableArray() ?? PreprocessConfig.ClipStd;
        if (std.Any(value => value <= 0)) throw root.Wrong("image_std", "must be positive");
        // transformers resizes to exactly this height and width, whatever the proportions of the image.
        bool squash = root.HasObject("size") && !root.Object("size").Has("shortest_edge");
        return new(size, mean, std, squash ? ResizeMode.Squash : ResizeMode.Shortest);
    }

    /// <summary>224, {"shortest_edge": 224} or {"height": 224, "width": 224}: the three ways transformers has written it.</summary>
    private static int Side(JsonMembers root, string name)
    {
        if (!root.HasObject(name)) return root.Positive(name, 224);
        JsonMembers side = root.Object(name);
        if (side.Has("shortest_edge")) return side.Positive("shortest_edge", 0);
        if (!side.Has("height") || !side.Has("width")) throw root.Wrong(name, "must have shortest_edge, or height and width");
        int height = side.Positive("height", 0), width = side.Positive("width", 0);
        return height == width ? height : throw root.Wrong(name, $"is {width} x {height}; only square inputs are supported");
    }

    private static string Quote(string text) => JsonSerializer.Serialize(text.Length <= 60 ? text : text[..60]);

    private static void WriteVision(Utf8JsonWriter json, ClipConfig config)
    {
        VisionConfig vision = config.Vision;
        WriteTower(json, config, vision.Width, vision.Layers, vision.Heads, vision.MlpWidth);
        json.WriteNumber("image_size", vision.ImageSize);
        json.WriteString("model_type", "clip_vision_model");
        json.WriteNumber("num_channels", 3);
        json.WriteNumber("patch_size", vision.PatchSize);
    }

    private static void WriteText(Utf8JsonWriter json, ClipConfig config, TextConfig text)
    {
        WriteTower(json, config, text.Width, text.Layers, text.Heads, text.MlpWidth);
        json.WriteNumber("bos_token_id", Math.Max(0, text.EndOfTextId - 1));
        json.WriteNumber("eos_token_id", text.Pooling == TextPooling.ArgMaxId ? LegacyEndOfTextId : text.EndOfTextId);
        json.WriteNumber("max_position_embeddings", text.ContextLength);
        json.WriteString("model_type", "clip_text_model");
        json.WriteNumber("pad_token_id", text.EndOfTextId);
        json.WriteNumber("vocab_size", text.VocabularySize);
    }

    private static void WriteTower(Utf8JsonWriter json, ClipConfig config, int width, int layers, int heads, int mlpWidth)
    {
        json.WriteNumber("attention_dropout", 0);
        json.WriteString("hidden_act", Name(config.Activation));
        json.WriteNumber("hidden_size", width);
        json.WriteNumber("intermediate_size", mlpWidth);
        json.WriteNumber("layer_norm_eps", config.LayerNormEpsilon);
        json.WriteNumber("num_attention_heads", heads);
        json.WriteNumber("num_hidden_layers", layers);
        json.WriteNumber("projection_dim", config.EmbeddingWidth);
    }

    /// <summary>Writes a list of numbers.</summary>
    internal static void WriteFloats(Utf8JsonWriter json, string name, ImmutableArray<float> values)
    {
        json.WriteStartArray(name);
        foreach (float value in values) json.WriteNumberValue(value);
        json.WriteEndArray();
    }

    /// <summary>An object of JSON, and a final line break where it is indented.</summary>
    internal static byte[] Write(bool indented, Action<Utf8JsonWriter> members)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = indented, NewLine = "\n" }))
        {
            json.WriteStartObject();
            members(json);
            json.WriteEndObject();
        }
        if (indented) buffer.Write("\n"u8);
        return buffer.WrittenSpan.ToArray();
    }
}
