namespace Patching.Model.Images;

/// <summary>
/// CLIP's preprocessing for evaluation: the short side is resized to <see cref="Size"/> with Pillow's bicubic, then the centre square is
/// cut out (torchvision's <c>Resize(n, BICUBIC)</c> and <c>CenterCrop(n)</c> on an RGB image). Only the square is computed.
/// <see cref="ResizeMode.Squash"/> resizes both sides instead (<c>Resize((n, n), BICUBIC)</c>). Safe for use by several threads.
/// </summary>
public sealed class ImagePreprocessor
{
    /// <summary>Creates the preprocessor for squares of <paramref name="size"/> pixels.</summary>
    public ImagePreprocessor(int size, ResizeMode resize = ResizeMode.Shortest)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(size);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(size, 16384);
        Size = size;
        Resize = resize;
    }

    /// <summary>Side of the square in pixels.</summary>
    public int Size { get; }

    /// <summary>How the square is made.</summary>
    public ResizeMode Resize { get; }

    /// <summary>Bytes of one square, <c>3 * Size * Size</c>.</summary>
    public int OutputBytes => 3 * Size * Size;

    /// <summary>Writes the square of <paramref name="image"/>: <see cref="OutputBytes"/> bytes, row-major, RGB.</summary>
    public void Apply(RgbImage image, Span<byte> destination)
    {
        if (Resize == ResizeMode.Squash)
        {
            BicubicResampler.OfThread.Resample(
                image, new ResampleAxis(0, image.Width, Size, 0, Size), new ResampleAxis(0, image.Height, Size, 0, Size), destination);
            return;
        }
        int shortSide = Math.Min(image.Width, image.Height);
        BicubicResampler.OfThread.Resample(image, Axis(image.Width, shortSide), Axis(image.Height, shortSide), destination);
    }

    // torchvision: the long side becomes int(size * long / short), and the crop starts at int(round((length - size) / 2)), Python rounding
    // half to even.
    private ResampleAxis Axis(int length, int shortSide)
    {
        long resized = (long)Size * length / shortSide;
        long start = (long)Math.Round((resized - Size) / 2.0, MidpointRounding.ToEven);
        return new ResampleAxis(0, length, resized, start, Size);
    }
}
