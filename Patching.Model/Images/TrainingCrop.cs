namespace Patching.Model.Images;

/// <summary>A rectangle of pixels inside an image.</summary>
/// <param name="Left">First column.</param>
/// <param name="Top">First row.</param>
/// <param name="Width">Columns.</param>
/// <param name="Height">Rows.</param>
public readonly record struct PixelBox(int Left, int Top, int Width, int Height);

/// <summary>
/// The augmentation CLIP models are fine-tuned with: torchvision's <c>RandomResizedCrop(n, scale, ratio, BICUBIC)</c>. A box with a random
/// share of the image's area and a random aspect ratio is cut out at a random place and resized to a square. Safe for use by several
/// threads; the result depends only on the image and the random stream.
/// </summary>
/// <remarks>The algorithm is torchvision's, the random numbers are <see cref="SampleRandom"/>'s, so boxes agree in distribution, not one by
/// one.</remarks>
public sealed class TrainingCrop
{
    private const int Attempts = 10;

    private readonly double _minScale;
    private readonly double _maxScale;
    private readonly double _minRatio;
    private readonly double _maxRatio;

    /// <summary>Creates the augmentation; the defaults are those of the original patching code.</summary>
    /// <param name="size">Side of the square in pixels.</param>
    /// <param name="minScale">Least share of the image's area, above 0.</param>
    /// <param name="maxScale">Greatest share, at most 1.</param>
    /// <param name="minRatio">Least width / height, above 0.</param>
    /// <param name="maxRatio">Greatest width / height.</param>
    public TrainingCrop(int size, double minScale = 0.9, double maxScale = 1.0, double minRatio = 3.0 / 4.0, double maxRatio = 4.0 / 3.0)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(size);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(size, 16384);
        if (!(minScale > 0 && minScale <= maxScale && maxScale <= 1))
            throw new ArgumentException($"area shares {minScale} to {maxScale} are not within (0, 1]");
        if (!(minRatio > 0 && minRatio <= maxRatio && double.IsFinite(maxRatio)))
            throw new ArgumentException($"aspect ratios {minRatio} to {maxRatio} are no range");
        (Size, _minScale, _maxScale, _minRatio, _maxRatio) = (size, minScale, maxScale, minRatio, maxRatio);
    }

    /// <summary>Side of the square in pixels.</summary>
    public int Size { get; }

    /// <summary>Bytes of one square, <c>3 * Size * Size</c>.</summary>
    public int OutputBytes => 3 * Size * Size;

    /// <summary>Draws a box and writes its square: <see cref="OutputBytes"/> bytes, row-major, RGB.</summary>
    public void Apply(RgbImage image, ref SampleRandom random, Span<byte> destination)
    {
        PixelBox box = DrawBox(image.Width, image.Height, ref random);
        ResampleAxis columns = new(box.Left, box.Width, Size, 0, Size);
        ResampleAxis rows = new(box.Top, box.Height, Size, 0, Size);
        BicubicResampler.OfThread.Resample(image, columns, rows, destination);
    }

    /// <summary>
    /// Draws the box: up to ten times an area share, uniform, and an aspect ratio whose logarithm is uniform, until the box fits the image;
    /// failing that, the largest centred box within the ratios.
    /// </summary>
    public PixelBox DrawBox(int width, int height, ref SampleRandom random)
    {
        double area = (double)width * height;
        double minLogRatio = Math.Log(_minRatio), maxLogRatio = Math.Log(_maxRatio);
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            double target = area * Uniform(_minScale, _maxScale, ref random);
            double ratio = Math.Exp(Uniform(minLogRatio, maxLogRatio, ref random));
            int w = RoundHalfEven(Math.Sqrt(target * ratio));
            int h = RoundHalfEven(Math.Sqrt(target / ratio));
            if (w <= 0 || w > width || h <= 0 || h > height) continue;
            int top = random.NextInt(height - h + 1);
            int left = random.NextInt(width - w + 1);
            return new PixelBox(left, top, w, h);
        }
        return CentredBox(width, height);
    }

    private PixelBox CentredBox(int width, int height)
    {
        double ratio = (double)width / height;
        int w = ratio > _maxRatio ? Math.Clamp(RoundHalfEven(height * _maxRatio), 1, width) : width;
        int h = ratio < _minRatio ? Math.Clamp(RoundHalfEven(width / _minRatio), 1, height) : height;
        return new PixelBox((width - w) / 2, (height - h) / 2, w, h);
    }

    private static double Uniform(double from, double to, ref SampleRandom random) => from + (to - from) * random.NextDouble();

    // Saturates: extreme user-given ratios must fail the fit, not overflow.
    private static int RoundHalfEven(double value) => (int)Math.Min(int.MaxValue, Math.Round(value, MidpointRounding.ToEven));
}
