using System.Collections.Immutable;
using System.Text.Json;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Images;

namespace Patching.Model.Weights;

/// <summary>
/// Reads and writes <c>open_clip_config.json</c>, which lies beside open_clip's weights: architecture and activation in <c>model_cfg</c>, normalisation
/// in <c>preprocess_cfg</c>. Absent members mean the defaults of open_clip's <c>CLIPVisionCfg</c> and <c>CLIPTextCfg</c>; a member that asks
/// for something this program's towers do not compute is refused by name.
/// </summary>
internal static class OpenClipConfig
{
    /// <summary>Name of the file.</summary>
    public const string FileName = "open_clip_config.json";

    private static readonly string[] VisionFlags =
    [
        "attentional_pool", "no_ln_pre", "final_ln_after_pool", "qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn", "scale_fc",
    ];

    private static readonly string[] TextFlags =
    [
        "no_causal_mask", "embed_cls", "final_ln_after_pool", "proj_bias", "qk_norm", "scaled_cosine_attn", "scale_heads", "scale_attn_inner", "scale_attn",
        "scale_fc",
    ];

    /// <summary>Members that make the tower another one.</summary>
    private static readonly string[] VisionExtras = ["timm_model_name", "ls_init_value", "act_kwargs", "norm_kwargs"];

    private static readonly string[] TextExtras = ["hf_model_name", "hf_tokenizer_name", "ls_init_value", "act_kwargs", "norm_kwargs"];

    /// <summary>The architecture.</summary>
    /// <exception cref="InputException">The file cannot be read, or describes something else than CLIP's two transformers.</exception>
    public static ClipConfig ReadModel(string path) => Model(JsonMembers.ReadFile(path));

    /// <summary>Reads the same JSON from memory; <paramref name="source"/> begins the messages.</summary>
    public static ClipConfig ParseModel(string source, ReadOnlyMemory<byte> utf8) => Model(JsonMembers.Parse(source, utf8));

    /// <summary>What the image tower expects of its images.</summary>
    /// <exception cref="InputException">The file cannot be read, or asks for another way of resizing.</exception>
    public static PreprocessConfig ReadPreprocess(string path, int imageSize) => Preprocess(JsonMembers.ReadFile(path), imageSize);

    /// <summary>Reads the same JSON from memory; <paramref name="source"/> begins the messages.</summary>
    public static PreprocessConfig ParsePreprocess(string source, ReadOnlyMemory<byte> utf8, int imageSize) => Preprocess(JsonMembers.Parse(source, utf8), imageSize);

    /// <summary>The content of the file for a model with a ResNet; the same bytes for the same arguments.</summary>
    /// <param name="config">The architecture.</param>
    /// <param name="preprocess">Size and normalisation.</param>
    /// <param name="indented">One member per line and a final line break, or one compact line.</param>
    public static byte[] Write(ClipConfig config, PreprocessConfig preprocess, bool indented = true) => HuggingFaceConfig.Write(indented, json =>
    {
        json.WriteStartObject("model_cfg");
        json.WriteNumber("embed_dim", config.EmbeddingWidth);
        json.WriteBoolean("quick_gelu", config.Activation == ActivationKind.QuickGelu);
        WriteVision(json, (ResNetConfig)config.Image);
        if (config.Text is { } text) WriteText(json, text);
        json.WriteEndObject();
        json.WriteStartObject("preprocess_cfg");
        json.WriteNumber("size", preprocess.Size);
        HuggingFaceConfig.WriteFloats(json, "mean", preprocess.Mean);
        HuggingFaceConfig.WriteFloats(json, "std", preprocess.Std);
        json.WriteString("interpolation", "bicubic");
        json.WriteString("resize_mode", preprocess.Resize == ResizeMode.Squash ? "squash" : "shortest");
        json.WriteEndObject();
    });

    private static void WriteVision(Utf8JsonWriter json, ResNetConfig vision)
    {
        json.WriteStartObject("vision_cfg");
        json.WriteNumber("image_size", vision.ImageSize);
        json.WriteStartArray("layers");
        foreach (int blocks in vision.Blocks) json.WriteNumberValue(blocks);
        json.WriteEndArray();
        json.WriteNumber("width", vision.Width);
        json.WriteNumber("head_width", vision.FeatureWidth / vision.Heads);
        json.WriteNull("patch_size");
        json.WriteEndObject();
    }

    private static void WriteText(Utf8JsonWriter json, TextConfig text)
    {
        json.WriteStartObject("text_cfg");
        json.WriteNumber("context_length", text.ContextLength);
        json.WriteNumber("vocab_size", text.VocabularySize);
        json.WriteNumber("width", text.Width);
        json.WriteNumber("heads", text.Heads);
        json.WriteNumber("layers", text.Layers);
        double ratio = (double)text.MlpWidth / text.Width;
        // Readers round the product down.
        json.WriteNumber("mlp_ratio", text.Width * ratio < text.MlpWidth ? Math.BitIncrement(ratio) : ratio);
        json.WriteEndObject();
    }

    private static ClipConfig Model(JsonMembers root)
    {
        JsonMembers model = root.Object("model_cfg");
        foreach (string other in (string[])["multimodal_cfg", "audio_cfg", "init_logit_bias"])
            if (model.Has(other)) throw model.Wrong(other, "belongs to another kind of model; only CLIP's two transformers can be used");
        int embedding = model.Positive("embed_dim", 512);
        ActivationKind activation = model.Flag("quick_gelu", false) ? ActivationKind.QuickGelu : ActivationKind.Gelu;
        JsonMembers vision = model.Object("vision_cfg");
        ImageTowerConfig image = vision.HasList("layers") ? ResNet(vision) : Vision(vision);
        // A lone image tower, which only this program writes, has none.
        TextConfig? text = model.Has("text_cfg") || image is VisionConfig ? Text(model.Object("text_cfg")) : null;
        ClipConfig config = new(embedding, image, text, activation, ClipConfig.DefaultLayerNormEpsilon);
        config.Check(root.Source);
        return config;
    }

    private static PreprocessConfig Preprocess(JsonMembers root, int imageSize)
    {
        if (!root.HasObject("preprocess_cfg")) return PreprocessConfig.Default(imageSize);
        JsonMembers preprocess = root.Object("preprocess_cfg");
        Require(preprocess, "interpolation", "bicubic");
        string mode = preprocess.Text("resize_mode", "shortest");
        if (mode is not ("shortest" or "squash")) throw preprocess.Wrong("resize_mode", $"is '{HostileText.Show(mode)}'; shortest and squash can be used");
        ImmutableArray<float> mean = preprocess.Floats("mean", 3)?.ToImmutableArray() ?? PreprocessConfig.ClipMean;
        ImmutableArray<float> std = preprocess.Floats("std", 3)?.ToImmutableArray() ?? PreprocessConfig.ClipStd;
        if (std.Any(value => value <= 0)) throw preprocess.Wrong("std", "must be positive");
        return new PreprocessConfig(imageSize, mean, std, mode == "squash" ? ResizeMode.Squash : ResizeMode.Shortest);
    }

    private static ResNetConfig ResNet(JsonMembers vision)
    {
        Refuse(vision, VisionFlags, VisionExtras);
        int width = vision.Positive("width", 64), headWidth = vision.Positive("head_width", ResNetConfig.HeadSize);
        // Before the product is formed, so that it cannot overflow.
        ResNetConfig config = new(vision.Positive("image_size", 224), [.. vision.Integers("layers")], width, Heads: 1);
        config.Check(vision.Source);
        if (config.FeatureWidth % headWidth != 0) throw vision.Wrong("head_width", $"is {headWidth}, which does not divide the width {config.FeatureWidth}");
        return config with { Heads = config.FeatureWidth / headWidth };
    }

    private static VisionConfig Vision(JsonMembers vision)
    {
        Refuse(vision, VisionFlags, VisionExtras);
        Require(vision, "pool_type", "tok");
        Require(vision, "pos_embed_type", "learnable");
        int width = vision.Positive("width", 768), headWidth = vision.Positive("head_width", 64);
        if (width % headWidth != 0) throw vision.Wrong("head_width", $"is {headWidth}, which does not divide the width {width}");
        return new VisionConfig(
            ImageSize: vision.Positive("image_size", 224), PatchSize: vision.Positive("patch_size", 16), width, Layers: vision.Positive("layers", 12),
            Heads: width / headWidth, MlpWidth(vision, width));
    }

    private static TextConfig Text(JsonMembers text)
    {
        Refuse(text, TextFlags, TextExtras);
        Require(text, "pool_type", "argmax");
        Require(text, "proj_type", "linear");
        Require(text, "text_arch", "clip");
        int width = text.Positive("width", 512), vocabulary = text.Positive("vocab_size", 49408);
        return new TextConfig(
            ContextLength: text.Positive("context_length", 77), vocabulary, width, Layers: text.Positive("layers", 12), Heads: text.Positive("heads", 8),
            MlpWidth(text, width), TextPooling.ArgMaxId, EndOfTextId: vocabulary - 1);
    }

    // open_clip: int(width * ratio).
    private static int MlpWidth(JsonMembers tower, int width)
    {
        double wide = width * tower.Number("mlp_ratio", 4.0);
        if (!(wide >= 1 && wide <= int.MaxValue)) throw tower.Wrong("mlp_ratio", "gives no possible width");
        return (int)wide;
    }

    private static void Refuse(JsonMembers tower, string[] flags, string[] extras)
    {
        foreach (string flag in flags)
            if (tower.Flag(flag, false)) throw tower.Wrong(flag, "is true; this program's towers do not compute that");
        foreach (string extra in extras)
            if (tower.Has(extra)) throw tower.Wrong(extra, "is set; only CLIP's own transformers can be used");
    }

    private static void Require(JsonMembers tower, string name, string known)
    {
        string value = tower.Text(name, known);
        if (value != known) throw tower.Wrong(name, $"is '{HostileText.Show(value)}'; only {known} can be used");
    }
}
