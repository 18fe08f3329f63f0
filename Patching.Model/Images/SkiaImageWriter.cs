using SkiaSharp;

namespace Patching.Model.Images;

/// <summary>Writes PNG files, the counterpart of <see cref="SkiaImageReader"/>.</summary>
internal static unsafe class SkiaImageWriter
{
    /// <summary>Writes a picture, complete or not at all.</summary>
    public static void WritePng(RgbImage image, string path)
    {
        byte[] rgba = new byte[4 * image.Width * image.Height];
        for (int i = 0; i < rgba.Length / 4; i++)
        {
            image.Pixels.AsSpan(3 * i, 3).CopyTo(rgba.AsSpan(4 * i));
            rgba[4 * i + 3] = byte.MaxValue;
        }
        string temporary = $"{path}.tmp";
        fixed (byte* pixels = rgba)
        {
            SKImageInfo info = new(image.Width, image.Height, SKColorType.Rgba8888, SKAlphaType.Opaque);
            using SKPixmap pixmap = new(info, (IntPtr)pixels);
            using SKData data = pixmap.Encode(SKPngEncoderOptions.Default) ?? throw new InvalidOperationException($"{path}: the picture cannot be encoded");
            using FileStream file = File.Create(temporary);
            data.SaveTo(file);
        }
        File.Move(temporary, path, overwrite: true);
    }
}
