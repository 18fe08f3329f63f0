using SkiaSharp;

namespace Patching.Model.Images;

/// <summary>Encodes pictures, the counterpart of <see cref="SkiaImageReader"/>.</summary>
internal static unsafe class SkiaImageWriter
{
    /// <summary>Writes a PNG file, complete or not at all.</summary>
    public static void WritePng(RgbImage image, string path)
    {
        string temporary = $"{path}.tmp";
        File.WriteAllBytes(temporary, Encode(image, pixmap => pixmap.Encode(SKPngEncoderOptions.Default)));
        File.Move(temporary, path, overwrite: true);
    }

    /// <summary>A picture as a JPEG.</summary>
    /// <param name="image">The picture.</param>
    /// <param name="quality">1 to 100.</param>
    public static byte[] Jpeg(RgbImage image, int quality) => Encode(image, pixmap => pixmap.Encode(SKEncodedImageFormat.Jpeg, quality));

    private static byte[] Encode(RgbImage image, Func<SKPixmap, SKData?> encode)
    {
        byte[] rgba = new byte[4 * image.Width * image.Height];
        for (int i = 0; i < rgba.Length / 4; i++)
        {
            image.Pixels.AsSpan(3 * i, 3).CopyTo(rgba.AsSpan(4 * i));
            rgba[4 * i + 3] = byte.MaxValue;
        }
        fixed (byte* pixels = rgba)
        {
            SKImageInfo info = new(image.Width, image.Height, SKColorType.Rgba8888, SKAlphaType.Opaque);
            using SKPixmap pixmap = new(info, (IntPtr)pixels);
            using SKData data = encode(pixmap) ?? throw new InvalidOperationException("the picture cannot be encoded");
            return data.ToArray();
        }
    }
}
