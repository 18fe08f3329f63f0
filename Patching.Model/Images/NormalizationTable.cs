namespace Patching.Model.Images;

/// <summary>
/// The channel statistics every OpenAI CLIP model was trained with (those of its own training set, in units of full scale, RGB order).
/// </summary>
public static class ClipNormalization
{
    /// <summary>Channel means.</summary>
    public static ReadOnlySpan<float> Mean => [0.48145466f, 0.4578275f, 0.40821073f];

    /// <summary>Channel standard deviations.</summary>
    public static ReadOnlySpan<float> StandardDeviation => [0.26862954f, 0.26130258f, 0.27577711f];

    /// <summary>The table made of these.</summary>
    public static NormalizationTable Table { get; } = new(Mean, StandardDeviation);
}

/// <summary>
/// What <c>ToTensor</c> and <c>Normalize</c> make of each byte: <c>(v / 255 - mean[c]) / std[c]</c>, every operation rounded to single
/// precision.
/// </summary>
public sealed class NormalizationTable
{
    private readonly float[] _values = new float[3 * 256];

    /// <summary>Fills the table for three means and three positive standard deviations, in units of full scale.</summary>
    /// <exception cref="ArgumentException">Not three of each, or one is not finite, or a deviation is not positive.</exception>
    public NormalizationTable(ReadOnlySpan<float> mean, ReadOnlySpan<float> standardDeviation)
    {
        if (mean.Length != 3 || standardDeviation.Length != 3)
            throw new ArgumentException($"three means and three deviations are needed, not {mean.Length} and {standardDeviation.Length}");
        for (int c = 0; c < 3; c++)
        {
            if (!float.IsFinite(mean[c]) || !float.IsFinite(standardDeviation[c]) || standardDeviation[c] <= 0)
                throw new ArgumentException($"channel {c} has mean {mean[c]} and deviation {standardDeviation[c]}");
            for (int v = 0; v < 256; v++) _values[256 * c + v] = (v / 255f - mean[c]) / standardDeviation[c];
        }
    }

    /// <summary>[3, 256], row-major: the value of byte v in channel c is at <c>256 c + v</c>.</summary>
    public ReadOnlySpan<float> Values => _values;

    /// <summary>Turns interleaved bytes [pixels, 3] into normalised planes [3, pixels], the layout of the model's input.</summary>
    /// <param name="pixels">RGB bytes.</param>
    /// <param name="planes">As many floats: red plane, green plane, blue plane. Written.</param>
    public void Apply(ReadOnlySpan<byte> pixels, Span<float> planes)
    {
        if (pixels.Length % 3 != 0 || planes.Length != pixels.Length)
            throw new ArgumentException($"{pixels.Length} bytes do not make {planes.Length} normalised values in three planes");
        int count = pixels.Length / 3;
        ReadOnlySpan<float> red = Values[..256], green = Values[256..512], blue = Values[512..];
        Span<float> redPlane = planes[..count], greenPlane = planes.Slice(count, count), bluePlane = planes.Slice(2 * count, count);
        for (int i = 0, b = 0; i < count; i++, b += 3)
        {
            redPlane[i] = red[pixels[b]];
            greenPlane[i] = green[pixels[b + 1]];
            bluePlane[i] = blue[pixels[b + 2]];
        }
    }
}
