using System.Collections.Immutable;
using System.Globalization;
using System.Text.Json.Serialization;

namespace Patching.Model.Clip;

/// <summary>How a batch normalisation gets its mean and variance while the tower is trained.</summary>
[JsonConverter(typeof(JsonStringEnumConverter<BatchNormStatistics>))]
public enum BatchNormStatistics
{
    /// <summary>From the checkpoint; they stay as they are.</summary>
    [JsonStringEnumMemberName("frozen")]
    Frozen,

    /// <summary>From the batch; the running ones follow, and are what evaluation uses.</summary>
    [JsonStringEnumMemberName("batch")]
    Batch,
}

/// <summary>The image tower: CLIP's modified ResNet (Radford et al. 2021, section 2.4; He et al. 2016) over a square RGB image.</summary>
/// <param name="ImageSize">Height and width of the input in pixels; a multiple of 32.</param>
/// <param name="Blocks">Bottleneck blocks of the four stages.</param>
/// <param name="Width">w, channels of the stem's output and of the first stage's bottleneck.</param>
/// <param name="Heads">Attention heads of the pooling; divides <see cref="FeatureWidth"/>.</param>
public sealed record ResNetConfig(int ImageSize, ImmutableArray<int> Blocks, int Width, int Heads) : ImageTowerConfig(ImageSize)
{
    /// <summary>Stages of every ResNet.</summary>
    public const int Stages = 4;

    /// <summary>The constant added to the variance in every batch normalisation.</summary>
    public const float BatchNormEpsilon = 1e-5f;

    /// <summary>Weight of a batch in the running statistics.</summary>
    public const float BatchNormMomentum = 0.1f;

    /// <summary>Pixels of the input per pixel of the last feature map, along one side: two halvings in the stem, three in the stages.</summary>
    public const int Reduction = 32;

    /// <summary>A bottleneck's output has this many times the channels of its inside.</summary>
    internal const int Expansion = 4;

    /// <summary>Channels of an attention head, from which files that do not say the number of heads follow.</summary>
    internal const int HeadSize = 64;

    private const int MaxWidth = 1024;
    private const int MaxBlocks = 256;

    /// <summary>Channels of the last feature map: 32 w.</summary>
    public int FeatureWidth => Width * Reduction;

    /// <summary>Pixels of the last feature map along one side.</summary>
    public int Grid => ImageSize / Reduction;

    /// <summary>T, tokens of the attention pooling: the mean, then the pixels.</summary>
    public int Tokens => Grid * Grid + 1;

    /// <inheritdoc/>
    public override string Describe() => string.Create(
        CultureInfo.InvariantCulture, $"{ImageSize} px, ResNet of {string.Join(" + ", Blocks)} blocks, width {Width}, {Heads} heads");

    /// <summary>Equal sizes.</summary>
    public bool Equals(ResNetConfig? other) =>
        other is not null && ImageSize == other.ImageSize && Width == other.Width && Heads == other.Heads && Blocks.AsSpan().SequenceEqual(other.Blocks.AsSpan());

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(ImageSize, Width, Heads, Blocks.Sum());

    /// <inheritdoc/>
    internal override void Check(string source)
    {
        ClipConfig.Range(source, "the image tower's width (width)", Width, MaxWidth);
        // The stem's first two convolutions have half of it.
        if (Width % 2 != 0) throw ClipConfig.Wrong(source, $"the image tower's width {Width} is not even");
        if (Blocks.Length != Stages) throw ClipConfig.Wrong(source, $"the image tower has {Blocks.Length} stages (layers), a ResNet has {Stages}");
        foreach (int blocks in Blocks) ClipConfig.Range(source, "the number of blocks of a stage (layers)", blocks, MaxBlocks);
        ClipConfig.Range(source, "the image size (image_size)", ImageSize, ClipConfig.MaxImageSize);
        if (ImageSize % Reduction != 0) throw ClipConfig.Wrong(source, $"the image size {ImageSize} is not a multiple of {Reduction}");
        ClipConfig.Range(source, "the attention pooling's number of heads", Heads, FeatureWidth);
        if (FeatureWidth % Heads != 0)
            throw ClipConfig.Wrong(source, $"the attention pooling's width {FeatureWidth} cannot be divided among {Heads} heads");
    }
}
