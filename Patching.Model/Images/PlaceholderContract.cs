// Placeholder of the images contract; dropped at merge in favour of the real Patching.Model/Images.
#pragma warning disable CS1591
namespace Patching.Model.Images;

public sealed record RgbImage(int Width, int Height, byte[] Pixels);

public struct SampleRandom
{
    private ulong state;

    public static SampleRandom ForSample(long seed, int epoch, long index) =>
        new() { state = (ulong)((seed * 1000003) + (epoch * 7919L) + (index * 104729)) };

    public double NextDouble()
    {
        state = (state * 6364136223846793005) + 1442695040888963407;
        return (state >> 11) * (1.0 / (1UL << 53));
    }
}

public static class ImageDecoder
{
    public static RgbImage DecodeFile(string path)
    {
        byte[] bytes;
        try
        {
            bytes = File.ReadAllBytes(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{path}: {e.Message}", e);
        }
        int at = 2, found = 0;
        int[] header = new int[3];
        while (found < 3 && at < bytes.Length)
        {
            if (char.IsAsciiDigit((char)bytes[at]))
                header[found] = (header[found] * 10) + bytes[at] - '0';
            else if (header[found] > 0) found++;
            at++;
        }
        if (path.EndsWith(".png", StringComparison.OrdinalIgnoreCase) && SkiaSharp.SKBitmap.Decode(bytes) is { } png)
            return new RgbImage(png.Width, png.Height, [.. png.Pixels.SelectMany(p => new[] { p.Red, p.Green, p.Blue })]);
        if (bytes.Length < 2 || bytes[0] != 'P' || bytes[1] != '6' || bytes.Length - at < header[0] * header[1] * 3)
            throw new InputException($"{path}: not a whole P6 image");
        return new RgbImage(header[0], header[1], bytes[at..(at + (header[0] * header[1] * 3))]);
    }
}

public sealed class ImagePreprocessor(int size)
{
    public void Apply(RgbImage image, Span<byte> destination)
    {
        if (image.Width == size && image.Height == size)
        {
            image.Pixels.CopyTo(destination);
            return;
        }
        for (int i = 0; i < size * size; i++)
        {
            int source = 3 * ((i / size * image.Height / size * image.Width) + (i % size * image.Width / size));
            image.Pixels.AsSpan(source, 3).CopyTo(destination[(3 * i)..]);
        }
    }
}

public sealed class TrainingCrop(int size)
{
    private readonly ImagePreprocessor preprocessor = new(size);

    public void Apply(RgbImage image, ref SampleRandom random, Span<byte> destination)
    {
        preprocessor.Apply(image, destination);
        destination[0] = (byte)(random.NextDouble() * 256);
        destination[1] = (byte)(random.NextDouble() * 256);
    }
}
