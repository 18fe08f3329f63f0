using System.Collections.Immutable;
using Patching.Model.Images;

namespace Patching.Model.Clip;

/// <summary>
/// How an image becomes the input of the image tower: bicubic resize of the shorter side to Size, centre crop to Size x Size (or resize of
/// both sides), RGB, <c>(v / 255 - mean) / std</c> per channel.
/// </summary>
/// <param name="Size">Side of the square input in pixels.</param>
/// <param name="Mean">Mean of the channels red, green, blue, on the scale 0 to 1.</param>
/// <param name="Std">Standard deviation of the channels red, green, blue, on the scale 0 to 1.</param>
/// <param name="Resize">How the square is made.</param>
public sealed record PreprocessConfig(
    int Size, ImmutableArray<float> Mean, ImmutableArray<float> Std, ResizeMode Resize = ResizeMode.Shortest)
{
    /// <summary>The means of OpenAI's training images, used by nearly every CLIP.</summary>
    public static ImmutableArray<float> ClipMean { get; } = [.. ClipNormalization.Mean];

    /// <summary>The standard deviations of OpenAI's training images, used by nearly every CLIP.</summary>
    public static ImmutableArray<float> ClipStd { get; } = [.. ClipNormalization.StandardDeviation];

    /// <summary>CLIP's own normalisation for images of this size.</summary>
    public static PreprocessConfig Default(int size) => new(size, ClipMean, ClipStd);

    /// <summary>Equal sizes, means, deviations and ways to resize.</summary>
    public bool Equals(PreprocessConfig? other) =>
        other is not null && Size == other.Size && Resize == other.Resize && Mean.AsSpan().SequenceEqual(other.Mean.AsSpan())
            && Std.AsSpan().SequenceEqual(other.Std.AsSpan());

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Size, Mean[0], Std[0]);
}
