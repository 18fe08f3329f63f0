namespace Patching.Model.Images;

/// <summary>
/// Turns the bytes of an image file into RGB as Pillow's <c>Image.open(...).convert('RGB')</c> does: JPEG, PNG, GIF (first frame), BMP,
/// WebP and PNM (P1 to P6). Alpha is dropped, not blended; EXIF orientation and colour profiles are ignored. A file that is truncated,
/// corrupt, too large or of another kind is an <see cref="InputException"/> that names it; nothing is decoded halfway. Safe for use by
/// several threads.
/// </summary>
public static class ImageDecoder
{
    /// <summary>
    /// Pixels an image may have unless the caller says otherwise: Pillow's limit, above which it suspects a decompression bomb.
    /// </summary>
    public const long DefaultMaxPixels = 178_956_970;

    /// <summary>Decodes a file.</summary>
    /// <param name="path">Path of the file; also its name in errors.</param>
    /// <param name="maxPixels">Greatest width times height that will be decoded.</param>
    /// <exception cref="InputException">The file cannot be read or decoded.</exception>
    public static RgbImage DecodeFile(string path, long maxPixels = DefaultMaxPixels) => Decode(ReadFile(path), path, maxPixels);

    /// <summary>
    /// Decodes a file for a use that needs no more than <paramref name="enough"/> pixels on either side: a JPEG whose sides are at least
    /// twice that comes at half, a quarter or an eighth of its size, the smallest of which both sides are still at least
    /// <paramref name="enough"/>. Its blocks of 8 x 8 pixels are then transformed to 4 x 4, 2 x 2 or 1 x 1, which saves most of the time
    /// and gives almost the mean of the pixels that fall together. All other files come as <see cref="DecodeFile"/> gives them.
    /// </summary>
    /// <param name="path">Path of the file; also its name in errors.</param>
    /// <param name="enough">Least width and height that will do, at least 1.</param>
    /// <param name="maxPixels">Greatest width times height, of the whole image, that will be decoded.</param>
    /// <exception cref="InputException">The file cannot be read or decoded.</exception>
    public static RgbImage DecodeFileReduced(string path, int enough, long maxPixels = DefaultMaxPixels) =>
        DecodeReduced(ReadFile(path), path, enough, maxPixels);

    /// <summary>The same with the bytes of a file.</summary>
    /// <param name="bytes">The whole file.</param>
    /// <param name="name">What errors call the image.</param>
    /// <param name="enough">Least width and height that will do, at least 1.</param>
    /// <param name="maxPixels">Greatest width times height, of the whole image, that will be decoded.</param>
    /// <exception cref="InputException">The bytes are no usable image.</exception>
    public static RgbImage DecodeReduced(ReadOnlySpan<byte> bytes, string name, int enough, long maxPixels = DefaultMaxPixels)
    {
        ArgumentOutOfRangeException.ThrowIfNegativeOrZero(enough);
        return Decode(bytes, name, maxPixels, enough);
    }

    private static byte[] ReadFile(string path)
    {
        try
        {
            return File.ReadAllBytes(path);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new InputException($"{path}: no such file", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new InputException($"{path}: cannot be read as an image file ({e.Message.ReplaceLineEndings(" ")})", e);
        }
    }

    /// <summary>Decodes the bytes of a file.</summary>
    /// <param name="bytes">The whole file.</param>
    /// <param name="name">What errors call the image.</param>
    /// <param name="maxPixels">Greatest width times height that will be decoded.</param>
    /// <exception cref="InputException">The bytes are no usable image.</exception>
    public static RgbImage Decode(ReadOnlySpan<byte> bytes, string name, long maxPixels = DefaultMaxPixels) =>
        Decode(bytes, name, maxPixels, int.MaxValue);

    private static RgbImage Decode(ReadOnlySpan<byte> bytes, string name, long maxPixels, int enough)
    {
        if (bytes.IsEmpty) throw new InputException($"{name}: the image file is empty; remove or replace it");
        if (PnmReader.IsPnm(bytes)) return PnmReader.Decode(bytes, name, maxPixels);
        if (bytes.StartsWith("II*\0"u8) || bytes.StartsWith("MM\0*"u8))
            throw new InputException($"{name}: TIFF images are not supported; convert it to PNG");
        return JpegDecoder.TryDecode(bytes, maxPixels, enough) ?? SkiaImageReader.Decode(bytes, name, maxPixels, enough);
    }

    /// <summary>
    /// Throws unless the sides a header claims are positive and their product is within the limit and within what one array can hold.
    /// </summary>
    internal static void CheckSize(long width, long height, string name, long maxPixels)
    {
        if (width < 1 || height < 1 || width > int.MaxValue || height > int.MaxValue)
            throw new InputException($"{name}: the header is corrupt: it claims {width} x {height} pixels; remove or replace the image");
        long limit = Math.Min(maxPixels, Array.MaxLength / 4);
        if (width > limit / height)
            throw new InputException($"{name}: {width} x {height} pixels exceed the limit of {limit} pixels; remove or shrink the image");
    }
}
