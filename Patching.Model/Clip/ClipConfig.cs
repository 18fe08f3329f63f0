using System.Globalization;
using System.Text;
using Patching.Kernels;

namespace Patching.Model.Clip;

/// <summary>Which token's row of the last text layer becomes the text feature.</summary>
public enum TextPooling
{
    /// <summary>
    /// The position of the largest id, the first one on ties: OpenAI's code, where end-of-text has the largest id of all. Hugging Face
    /// configs with the historical <c>eos_token_id</c> 2 mean this too.
    /// </summary>
    ArgMaxId,

    /// <summary>
    /// The first position whose id is <see cref="TextConfig.EndOfTextId"/> (position 0 where there is none): newer Hugging Face configs.
    /// </summary>
    FirstEndOfText,
}

/// <summary>The image tower, one of two kinds: <see cref="VisionConfig"/> or <see cref="ResNetConfig"/>.</summary>
/// <param name="ImageSize">Height and width of the input in pixels.</param>
public abstract record ImageTowerConfig(int ImageSize)
{
    /// <summary>Sizes in words.</summary>
    public abstract string Describe();

    /// <summary>Checks that every number is possible and that they fit together.</summary>
    /// <param name="source">The file the numbers come from; begins the message.</param>
    /// <exception cref="InputException">Something is wrong; the message names the first number at fault.</exception>
    internal abstract void Check(string source);
}

/// <summary>The image tower: a vision transformer over square patches of a square RGB image.</summary>
/// <param name="ImageSize">Height and width of the input in pixels; a multiple of <paramref name="PatchSize"/>.</param>
/// <param name="PatchSize">Height and width p of a patch in pixels.</param>
/// <param name="Width">C, channels of the residual stream.</param>
/// <param name="Layers">Transformer blocks.</param>
/// <param name="Heads">H, attention heads per block; divides <paramref name="Width"/>.</param>
/// <param name="MlpWidth">Hidden channels of the MLP (4C in every published CLIP).</param>
public sealed record VisionConfig(int ImageSize, int PatchSize, int Width, int Layers, int Heads, int MlpWidth) : ImageTowerConfig(ImageSize)
{
    /// <summary>Patches along one side of the image.</summary>
    public int Grid => ImageSize / PatchSize;

    /// <summary>P, patches of an image: Grid * Grid, in row-major order.</summary>
    public int Patches => Grid * Grid;

    /// <summary>T, tokens of an image: the class token, then the patches.</summary>
    public int Tokens => Patches + 1;

    /// <summary>D, channels of one head: C / H.</summary>
    public int HeadSize => Width / Heads;

    /// <inheritdoc/>
    public override string Describe() => string.Create(
        CultureInfo.InvariantCulture, $"{ImageSize} px, patch {PatchSize}, width {Width}, {Layers} layers, {Heads} heads");

    /// <inheritdoc/>
    internal override void Check(string source)
    {
        ClipConfig.Tower(source, "image", Width, Layers, Heads, MlpWidth);
        ClipConfig.Range(source, "the image size (image_size)", ImageSize, ClipConfig.MaxImageSize);
        ClipConfig.Range(source, "the patch size (patch_size)", PatchSize, MaxPatchSize);
        if (ImageSize % PatchSize != 0)
            throw ClipConfig.Wrong(source, $"the image size {ImageSize} is not a multiple of the patch size {PatchSize}");
        if (Grid > ClipConfig.MaxGrid)
            throw ClipConfig.Wrong(source, $"{Grid} x {Grid} patches per image are more than this program handles (255 x 255)");
    }

    private const int MaxPatchSize = 128;
}

/// <summary>The text tower: a causal transformer over token ids.</summary>
/// <param name="ContextLength">T, tokens of a padded text.</param>
/// <param name="VocabularySize">Rows of the token embedding.</param>
/// <param name="Width">C, channels of the residual stream.</param>
/// <param name="Layers">Transformer blocks.</param>
/// <param name="Heads">H, attention heads per block; divides <paramref name="Width"/>.</param>
/// <param name="MlpWidth">Hidden channels of the MLP.</param>
/// <param name="Pooling">Which position gives the text feature.</param>
/// <param name="EndOfTextId">Id of the end-of-text token; with <see cref="TextPooling.ArgMaxId"/> it is the last id of the
/// vocabulary.</param>
public sealed record TextConfig(
    int ContextLength, int VocabularySize, int Width, int Layers, int Heads, int MlpWidth, TextPooling Pooling, int EndOfTextId)
{
    /// <summary>D, channels of one head: C / H.</summary>
    public int HeadSize => Width / Heads;
}

/// <summary>Everything that has to be known besides the weights to run a CLIP model.</summary>
/// <param name="EmbeddingWidth">E, channels of the space that images and texts share.</param>
/// <param name="Image">The image tower.</param>
/// <param name="Text">The text tower; null for a checkpoint that holds only the image tower.</param>
/// <param name="Activation">The non-linearity of the MLPs of all transformers.</param>
/// <param name="LayerNormEpsilon">The constant added to the variance in every LayerNorm.</param>
public sealed record ClipConfig(
    int EmbeddingWidth, ImageTowerConfig Image, TextConfig? Text, ActivationKind Activation, float LayerNormEpsilon)
{
    /// <summary>The epsilon of every published CLIP.</summary>
    public const float DefaultLayerNormEpsilon = 1e-5f;

    // The limits are far above any published CLIP (ViT-bigG: width 1664, MLP 8192, 48 layers) and low enough that no tensor has more than
    // int.MaxValue elements.
    private const int MaxWidth = 8192;
    private const int MaxMlpWidth = 65536;
    private const int MaxLayers = 512;
    internal const int MaxImageSize = 8192;
    internal const int MaxGrid = 255;
    private const int MaxTokens = 65536;
    private const int MaxVocabulary = 250_000;

    /// <summary>The image tower, where it is known to be a transformer.</summary>
    /// <exception cref="InvalidOperationException">It is a ResNet.</exception>
    public VisionConfig Vision => Image as VisionConfig ?? throw new InvalidOperationException("the image tower is a ResNet, no vision transformer");

    /// <summary>Checks that every number is possible and that they fit together.</summary>
    /// <param name="source">The file the numbers come from; begins the message.</param>
    /// <exception cref="InputException">Something is wrong; the message names the first number at fault.</exception>
    public void Check(string source)
    {
        Range(source, "the embedding width (projection_dim)", EmbeddingWidth, MaxWidth);
        if (!(LayerNormEpsilon > 0 && LayerNormEpsilon <= 0.1f))
            throw Wrong(source, $"the LayerNorm epsilon (layer_norm_eps) is {LayerNormEpsilon}, expected 0 to 0.1");
        Image.Check(source);
        if (Text is null) return;
        Tower(source, "text", Text.Width, Text.Layers, Text.Heads, Text.MlpWidth);
        Range(source, "the context length (max_position_embeddings)", Text.ContextLength, MaxTokens);
        Range(source, "the vocabulary size (vocab_size)", Text.VocabularySize, MaxVocabulary);
        if (Text.EndOfTextId < 0 || Text.EndOfTextId >= Text.VocabularySize)
            throw Wrong(source, $"the end-of-text id (eos_token_id) {Text.EndOfTextId} is outside the vocabulary of {Text.VocabularySize}");
    }

    // What the compiler would write, without Vision, which a ResNet does not have.
    private bool PrintMembers(StringBuilder builder)
    {
        builder.Append(
            CultureInfo.InvariantCulture,
            $"EmbeddingWidth = {EmbeddingWidth}, Vision = {Image}, Text = {Text}, Activation = {Activation}, LayerNormEpsilon = {LayerNormEpsilon}");
        return true;
    }

    internal static void Tower(string source, string tower, int width, int layers, int heads, int mlpWidth)
    {
        Range(source, $"the {tower} tower's width (hidden_size)", width, MaxWidth);
        Range(source, $"the {tower} tower's number of layers (num_hidden_layers)", layers, MaxLayers);
        Range(source, $"the {tower} tower's number of heads (num_attention_heads)", heads, MaxWidth);
        Range(source, $"the {tower} tower's MLP width (intermediate_size)", mlpWidth, MaxMlpWidth);
        if (width % heads != 0) throw Wrong(source, $"the {tower} tower's width {width} cannot be divided among {heads} heads");
    }

    internal static void Range(string source, string what, int value, int max)
    {
        if (value < 1 || value > max) throw Wrong(source, $"{what} is {value}, expected 1 to {max}");
    }

    internal static InputException Wrong(string source, FormattableString what) => new($"{source}: {FormattableString.Invariant(what)}");
}
