using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.Intrinsics;
using SkiaSharp;

namespace Patching.Model.Images;

/// <summary>
/// JPEG, PNG, GIF, BMP and WebP through SkiaSharp. This is the only file that knows SkiaSharp; another decoder need only offer
/// <see cref="Decode"/>. Its pixels were compared with Pillow's and are equal to the bit, given two corrections made here
/// (<see cref="Gray16PngAsGrayAlpha"/>, <see cref="GifWithoutTransparency"/>).
/// </summary>
internal static unsafe class SkiaImageReader
{
    // The densest coding of the formats whose data grow with the picture: one-bit PNG pixels (8 per byte) in DEFLATE runs of 258 bytes per
    // 2 bits (1032 to 1). JPEG needs at least a bit per 64 pixels, GIF 12 bits per 4094 pixels. Flat lossless WebP images and run-length
    // BMPs know no such bound.
    private const long MaxPixelsPerByte = 8 * 1032;

    private static ReadOnlySpan<byte> PngSignature => [0x89, (byte)'P', (byte)'N', (byte)'G', (byte)'\r', (byte)'\n', 0x1A, (byte)'\n'];

    /// <summary>Decodes the first frame and drops alpha.</summary>
    /// <param name="bytes">The whole file.</param>
    /// <param name="name">What errors call the image.</param>
    /// <param name="maxPixels">Greatest width times height.</param>
    /// <param name="enough">Sides that are enough, so that a JPEG may be reduced (<see cref="ImageDecoder.DecodeReduced"/>).</param>
    /// <exception cref="InputException">Truncated, corrupt, too large or of another kind.</exception>
    public static RgbImage Decode(ReadOnlySpan<byte> bytes, string name, long maxPixels, int enough)
    {
        byte[]? gray16 = Gray16PngAsGrayAlpha(bytes);
        byte[]? changed = gray16 ?? GifWithoutTransparency(bytes);
        if (changed is not null) bytes = changed;
        fixed (byte* start = bytes)
        {
            using SKData data = SKData.Create((IntPtr)start, bytes.Length);
            using SKMemoryStream stream = new(data);
            using SKCodec? codec = SKCodec.Create(stream, out SKCodecResult opened);
            if (codec is null) throw Unusable(name, HasKnownSignature(bytes) ? opened : SKCodecResult.Unimplemented);
            CheckHeader(codec, bytes.Length, name, maxPixels);
            return DecodePixels(codec, SizeToDecode(codec, enough), gray16 is not null, name);
        }
    }

    private static void CheckHeader(SKCodec codec, long fileBytes, string name, long maxPixels)
    {
        SKEncodedImageFormat format = codec.EncodedFormat;
        bool bounded = format is SKEncodedImageFormat.Jpeg or SKEncodedImageFormat.Png or SKEncodedImageFormat.Gif;
        if (!bounded && format is not (SKEncodedImageFormat.Bmp or SKEncodedImageFormat.Webp))
            throw new InputException($"{name}: {format} images are not supported; convert it to PNG");
        (long width, long height) = (codec.Info.Width, codec.Info.Height);
        ImageDecoder.CheckSize(width, height, name, maxPixels);
        if (bounded && width * height / MaxPixelsPerByte > fileBytes)
            throw new InputException($"{name}: corrupt: {fileBytes} bytes cannot hold {width} x {height} pixels; remove or replace it");
    }

    // Halves only: libjpeg-turbo has vector code for no other reductions, and three or five eighths are slower than the whole image.
    private static SKSizeI SizeToDecode(SKCodec codec, int enough)
    {
        SKSizeI size = new(codec.Info.Width, codec.Info.Height);
        if (codec.EncodedFormat != SKEncodedImageFormat.Jpeg) return size;
        foreach (float scale in (ReadOnlySpan<float>)[0.5f, 0.25f, 0.125f])
        {
            SKSizeI reduced = codec.GetScaledDimensions(scale);
            if (reduced.Width < enough || reduced.Height < enough) break;
            size = reduced;
        }
        return size;
    }

    private static RgbImage DecodePixels(SKCodec codec, SKSizeI size, bool isGray16, string name)
    {
        SKImageInfo info = new(size.Width, size.Height, SKColorType.Rgba8888, SKAlphaType.Unpremul);
        byte[] rgba = ArrayPool<byte>.Shared.Rent(info.BytesSize);
        try
        {
            fixed (byte* pixels = rgba) Read(codec, info, pixels, name);
            byte[] rgb = GC.AllocateUninitializedArray<byte>(info.Width * info.Height * 3);
            if (isGray16) Saturate(rgba, rgb);
            else DropAlpha(rgba, rgb);
            return new RgbImage(info.Width, info.Height, rgb);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(rgba);
        }
    }

    private static void Read(SKCodec codec, SKImageInfo info, byte* pixels, string name)
    {
        SKCodecResult result = codec.GetPixels(info, (IntPtr)pixels);
        if (result != SKCodecResult.Success) throw Unusable(name, result);
    }

    // Skia calls any short file incomplete.
    private static bool HasKnownSignature(ReadOnlySpan<byte> bytes) =>
        bytes.StartsWith((ReadOnlySpan<byte>)[0xFF, 0xD8]) || bytes.StartsWith(PngSignature)
        || bytes.StartsWith("GIF8"u8) || bytes.StartsWith("BM"u8) || bytes.StartsWith("RIFF"u8);

    private static InputException Unusable(string name, SKCodecResult result) => new(result switch
    {
        SKCodecResult.IncompleteInput => $"{name}: the image file is truncated; remove or replace it",
        SKCodecResult.ErrorInInput or SKCodecResult.InvalidInput => $"{name}: the image file is corrupt; remove or replace it",
        SKCodecResult.Unimplemented => $"{name}: not an image of a supported kind (JPEG, PNG, GIF, BMP, WebP, PNM); remove or convert it",
        _ => $"{name}: the image cannot be decoded ({result}); remove or replace it",
    });

    private static void DropAlpha(ReadOnlySpan<byte> rgba, Span<byte> rgb)
    {
        Vector128<byte> order = Vector128.Create((byte)0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 255, 255, 255, 255);
        int source = 0, target = 0;
        // Writes 16 bytes of which 12 count; the next step overwrites the rest.
        for (; target <= rgb.Length - 16; source += 16, target += 12)
        {
            Vector128<byte> four = Vector128.LoadUnsafe(in rgba[source]);
            Vector128.Shuffle(four, order).StoreUnsafe(ref rgb[target]);
        }
        for (; target < rgb.Length; source += 4, target += 3) rgba.Slice(source, 3).CopyTo(rgb[target..]);
    }

    // High byte in the colours, low byte in alpha: see Gray16PngAsGrayAlpha.
    private static void Saturate(ReadOnlySpan<byte> rgba, Span<byte> rgb)
    {
        for (int target = 0, source = 0; target < rgb.Length; target += 3, source += 4)
            rgb.Slice(target, 3).Fill(rgba[source] != 0 ? (byte)255 : rgba[source + 3]);
    }

    /// <summary>
    /// A 16-bit gray PNG opens in Pillow as 32-bit integers, of which the conversion to RGB keeps min(value, 255); Skia would keep the high
    /// byte. Since gray with alpha of 8 bits each is stored byte for byte like 16-bit gray, a copy of the file whose header says so yields
    /// both bytes: the high one as gray, the low one as alpha. Null for any other file.
    /// </summary>
    private static byte[]? Gray16PngAsGrayAlpha(ReadOnlySpan<byte> bytes)
    {
        // Signature (8), length of IHDR (4), "IHDR" (4), width (4), height (4), bit depth, colour type, three more bytes, CRC (4).
        const int chunk = 12, depth = 24, colorType = 25, crc = 29;
        bool isGray16 = bytes.Length >= crc + 4 && bytes.StartsWith(PngSignature) && bytes[depth] == 16 && bytes[colorType] == 0;
        // A header that is damaged already must not be repaired.
        if (!isGray16 || BinaryPrimitives.ReadUInt32BigEndian(bytes[crc..]) != Crc32(bytes[chunk..crc])) return null;
        byte[] copy = bytes.ToArray();
        (copy[depth], copy[colorType]) = (8, 4);
        BinaryPrimitives.WriteUInt32BigEndian(copy.AsSpan(crc), Crc32(copy.AsSpan(chunk, crc - chunk)));
        return copy;
    }

    // The CRC of PNG, ISO 3309; bit by bit, for 17 bytes.
    private static uint Crc32(ReadOnlySpan<byte> bytes)
    {
        uint crc = ~0u;
        foreach (byte b in bytes)
        {
            crc ^= b;
            for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320u : 0);
        }
        return ~crc;
    }

    /// <summary>
    /// Pillow shows a transparent GIF pixel in its palette colour, Skia in black. Returns a copy of the file in which the first frame has
    /// no transparent colour, or null where there is nothing to change. Walks the extension blocks before the first frame; anything odd is
    /// left to the decoder.
    /// </summary>
    private static byte[]? GifWithoutTransparency(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length < 13 || !bytes.StartsWith("GIF8"u8)) return null;
        int at = 13 + ((bytes[10] & 0x80) != 0 ? 3 << ((bytes[10] & 7) + 1) : 0);
        byte[]? copy = null;
        while (at + 4 < bytes.Length && bytes[at] == 0x21)
        {
            bool isGraphicControl = bytes[at + 1] == 0xF9 && bytes[at + 2] == 4;
            if (isGraphicControl && (bytes[at + 3] & 1) != 0)
            {
                copy ??= bytes.ToArray();
                copy[at + 3] &= 0xFE;
            }
            at += 2;
            while (at < bytes.Length && bytes[at] != 0) at += bytes[at] + 1;
            at++;
        }
        return copy;
    }
}
