namespace Patching.Model.Images;

/// <summary>
/// A decoded picture: 8 bits per channel, red-green-blue interleaved, rows from top to bottom without padding. The bytes of pixel (x, y)
/// start at <c>3 * (y * Width + x)</c>. What Pillow calls mode <c>RGB</c>.
/// </summary>
public sealed record RgbImage
{
    /// <summary>Wraps the pixels; nothing is copied.</summary>
    /// <param name="width">Columns, at least 1.</param>
    /// <param name="height">Rows, at least 1.</param>
    /// <param name="pixels">Exactly <c>3 * width * height</c> bytes.</param>
    /// <exception cref="ArgumentOutOfRangeException">A side is not positive.</exception>
    /// <exception cref="ArgumentException">The number of bytes does not fit the sides.</exception>
    public RgbImage(int width, int height, byte[] pixels)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(width);
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(height);
        ArgumentNullException.ThrowIfNull(pixels);
        long needed = 3L * width * height;
        if (pixels.Length != needed)
            throw new ArgumentException($"a {width} x {height} RGB image needs {needed} bytes, not {pixels.Length}", nameof(pixels));
        Width = width;
        Height = height;
        Pixels = pixels;
    }

    /// <summary>Columns.</summary>
    public int Width { get; }

    /// <summary>Rows.</summary>
    public int Height { get; }

    /// <summary><c>3 * Width * Height</c> bytes, row-major, RGB interleaved.</summary>
    public byte[] Pixels { get; }
}
