using Patching.Model.Images;

namespace Patching.Tests.Model.Images;

/// <summary>
/// Pillow's resize restated as plainly as possible: whole images, one byte at a time, weights in decimal arithmetic (28 digits) instead of
/// double.
/// </summary>
internal static class PlainBicubic
{
    public static RgbImage Resize(RgbImage image, int width, int height)
    {
        if (width != image.Width) image = ResizeColumns(image, width);
        return height == image.Height ? image : Transpose(ResizeColumns(Transpose(image), height));
    }

    public static RgbImage Crop(RgbImage image, int left, int top, int width, int height)
    {
        byte[] pixels = new byte[3 * width * height];
        for (int y = 0; y < height; y++)
            Array.Copy(image.Pixels, 3 * ((top + y) * image.Width + left), pixels, 3 * y * width, 3 * width);
        return new RgbImage(width, height, pixels);
    }

    private static RgbImage ResizeColumns(RgbImage image, int width)
    {
        byte[] pixels = new byte[3 * width * image.Height];
        for (int i = 0; i < width; i++)
        {
            (int first, long[] weights) = Weights(image.Width, width, i);
            for (int y = 0; y < image.Height; y++)
            {
                for (int c = 0; c < 3; c++)
                {
                    long sum = 1L << 21;
                    for (int t = 0; t < weights.Length; t++) sum += weights[t] * image.Pixels[3 * (y * image.Width + first + t) + c];
                    pixels[3 * (y * width + i) + c] = (byte)Math.Clamp(sum >> 22, 0, 255);
                }
            }
        }
        return new RgbImage(width, image.Height, pixels);
    }

    public static (int First, long[] Weights) Weights(int source, int output, int i)
    {
        decimal scale = (decimal)source / output, stretch = Math.Max(scale, 1m), center = (i + 0.5m) * scale;
        // The same bounds in units of 1 / (2 output), free of rounding.
        long twiceCenter = (2L * i + 1) * source, reach = 4L * Math.Max(source, output);
        int first = (int)(Math.Max(0, twiceCenter - reach + output) / (2 * output));
        int end = (int)Math.Min(source, (twiceCenter + reach + output) / (2 * output));
        decimal[] weights = [.. Enumerable.Range(first, end - first).Select(j => Cubic((j - center + 0.5m) / stretch))];
        decimal sum = weights.Sum();
        return (first, [.. weights.Select(w => (long)Math.Round(w / sum * (1 << 22), MidpointRounding.AwayFromZero))]);
    }

    // Keys' cubic with a = -1/2, written out.
    private static decimal Cubic(decimal x)
    {
        x = Math.Abs(x);
        if (x < 1) return 1.5m * x * x * x - 2.5m * x * x + 1;
        return x < 2 ? -0.5m * x * x * x + 2.5m * x * x - 4 * x + 2 : 0;
    }

    private static RgbImage Transpose(RgbImage image)
    {
        byte[] pixels = new byte[image.Pixels.Length];
        for (int y = 0; y < image.Height; y++)
        {
            for (int x = 0; x < image.Width; x++)
                Array.Copy(image.Pixels, 3 * (y * image.Width + x), pixels, 3 * (x * image.Height + y), 3);
        }
        return new RgbImage(image.Height, image.Width, pixels);
    }
}
