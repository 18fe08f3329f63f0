using System.Buffers;
using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;
using NUnit.Framework;
using Patching.Model;
using Patching.Model.Images;
using SkiaSharp;

namespace Patching.Tests.Model.Images;

[TestFixture]
public sealed class ImageDecoderTests
{
    private static byte[] Fixture(string file) => File.ReadAllBytes(Repository.Fixture("images", file));

    public static IEnumerable<TestCaseData> BadFiles()
    {
        byte[] jpeg = Fixture("03_jpeg_RGB_106x150.jpg"), png = Fixture("31_png_checker.png");
        byte[] gif = Fixture("32_gif.gif"), bmp = Fixture("33_bmp.bmp");
        byte[] gray16 = Fixture("17_png_gray16_small_values.png"), ppm = Fixture("34_ppm_gtsrb.ppm");
        yield return Bad("empty", [], "empty");
        yield return Bad("one byte", [0xFF], "not an image");
        yield return Bad("text", Encoding.ASCII.GetBytes("this is a letter, not a picture, however long it may be\n"), "not an image");
        yield return Bad("html", Encoding.ASCII.GetBytes("<html>404</html>"), "not an image");
        yield return Bad("zeros", new byte[4096], "not an image");
        yield return Bad("tiff", [.. "II*\0"u8, .. new byte[100]], "TIFF");
        yield return Bad("jpeg cut in half", jpeg[..(jpeg.Length / 2)], "truncated");
        yield return Bad("jpeg without its last 200 bytes", jpeg[..^200], "truncated");
        yield return Bad("jpeg header only", jpeg[..20], "truncated|corrupt|decoded|not an image");
        yield return Bad("png cut in half", png[..(png.Length / 2)], "truncated|corrupt");
        yield return Bad("png header only", png[..33], "truncated|corrupt|not an image");
        yield return Bad("png with a flipped data byte", With(png, 400, (byte)~png[400]), "truncated|corrupt");
        yield return Bad("gray16 png cut", gray16[..20000], "truncated|corrupt");
        yield return Bad("gray16 png with a damaged header", With(gray16, 20, 1), "truncated|corrupt|not an image|decoded");
        yield return Bad("gif cut in half", gif[..(gif.Length / 2)], "truncated|corrupt");
        yield return Bad("gif signature only", gif[..6], "truncated|corrupt|not an image");
        yield return Bad("gif ending in an extension",
            [.. gif[..6], 1, 0, 1, 0, 0, 0, 0, 0x21, 0xF9, 4, 1], "truncated|corrupt|not an image");
        yield return Bad("bmp cut in half", bmp[..(bmp.Length / 2)], "truncated");
        yield return Bad("webp cut in half", Cut(Encode(SKEncodedImageFormat.Webp)), "truncated|corrupt");
        yield return Bad("png of 60000 x 60000", PngHeader(60000, 60000), "limit");
        yield return Bad("png of 13000 x 13000 in a few bytes", PngHeader(13000, 13000), "cannot hold");
        yield return Bad("ppm of 60000 x 60000", Encoding.ASCII.GetBytes("P6 60000 60000 255\n1234"), "limit");
        yield return Bad("ppm with lying header", [.. "P6 5000 5000 255\n"u8, .. new byte[1000]], "truncated");
        yield return Bad("ppm cut", ppm[..^2], "truncated");
        yield return Bad("ppm of negative width", Encoding.ASCII.GetBytes("P6 -5 5 255\n123456"), "width");
        yield return Bad("ppm of zero height", Encoding.ASCII.GetBytes("P6 5 0 255\n123456"), "header is corrupt");
        yield return Bad("ppm with an overflowing width", Encoding.ASCII.GetBytes("P6 99999999999999999999 5 255\n123"), "digits");
        yield return Bad("ppm of 2^31 columns", Encoding.ASCII.GetBytes("P6 4294967297 1 255\n123"), "header is corrupt");
        yield return Bad("ppm with maximum zero", Encoding.ASCII.GetBytes("P6 1 1 0\n123"), "maximum");
        yield return Bad("ppm with maximum 70000", Encoding.ASCII.GetBytes("P5 1 1 70000\n123"), "maximum");
        yield return Bad("ppm without maximum", Encoding.ASCII.GetBytes("P6 1 1"), "truncated");
        yield return Bad("ppm with an endless comment", Encoding.ASCII.GetBytes("P6 # and so on"), "truncated");
        yield return Bad("plain graymap with a letter", Encoding.ASCII.GetBytes("P2 2 1 255 12 x4"), "sample");
        yield return Bad("plain graymap with a negative sample", Encoding.ASCII.GetBytes("P2 2 1 255 12 -4"), "sample");
        yield return Bad("plain graymap above its maximum", Encoding.ASCII.GetBytes("P2 2 1 100 12 101"), "maximum");
        yield return Bad("plain graymap too short", Encoding.ASCII.GetBytes("P2 2 2 100 12 10     "), "truncated");
        yield return Bad("plain bitmap with a 2", Encoding.ASCII.GetBytes("P1 2 2 0120"), "bit");
    }

    [TestCaseSource(nameof(BadFiles))]
    public void UnusableFileIsOneLineThatNamesIt(byte[] bytes, string expected)
    {
        InputException error = Assert.Throws<InputException>(() => ImageDecoder.Decode(bytes, "photos/cat.img"))!;
        Assert.That(error.Message, Does.StartWith("photos/cat.img: ").And.Match(expected));
        Assert.That(error.Message, Does.Not.Contain("\n").And.Length.LessThan(220));
    }

    [Test]
    public void EveryCutOfASmallFileIsRefusedOrExact(
        [Values("24_png_1x1.png", "30_png_mnist_digit.png", "22_png_1px_wide.png", "03_jpeg_RGB_106x150.jpg")] string file)
    {
        byte[] whole = Fixture(file);
        RgbImage expected = ImageDecoder.Decode(whole, file);
        for (int length = 0; length < whole.Length; length++)
        {
            try
            {
                // Only what decodes no pixels (the end marker, a trailing checksum) may be missing.
                RgbImage image = ImageDecoder.Decode(whole.AsSpan(0, length), file);
                Assert.That(image.Pixels.AsSpan().SequenceEqual(expected.Pixels), $"{length} of {whole.Length} bytes");
            }
            catch (InputException)
            {
            }
        }
    }

    [Test]
    public void DamagedFilesNeverCrash()
    {
        SampleRandom random = SampleRandom.ForSample(11, 0, 0);
        foreach (string path in Directory.GetFiles(Repository.Fixture("images")).Order(StringComparer.Ordinal))
        {
            byte[] whole = File.ReadAllBytes(path);
            for (int trial = 0; trial < 40; trial++)
            {
                byte[] damaged = [.. whole];
                int range = trial % 2 == 0 ? Math.Min(64, whole.Length) : whole.Length;
                for (int k = 0; k <= trial % 5; k++) damaged[random.NextInt(range)] = (byte)random.NextBits();
                try
                {
                    byte[] pixels = ImageDecoder.Decode(damaged, "damaged", 1_000_000).Pixels;
                    // What an earlier image left in the pooled buffer must not shine through.
                    byte[] pooled = ArrayPool<byte>.Shared.Rent(pixels.Length / 3 * 4);
                    pooled.AsSpan().Fill(0xAB);
                    ArrayPool<byte>.Shared.Return(pooled);
                    Assert.That(ImageDecoder.Decode(damaged, "damaged", 1_000_000).Pixels.AsSpan().SequenceEqual(pixels), path);
                }
                catch (InputException e)
                {
                    Assert.That(e.Message, Does.StartWith("damaged: "));
                }
            }
        }
    }

    [Test]
    public void AbsentFileAndFolderAreNamed()
    {
        string absent = Path.Combine(TestContext.CurrentContext.WorkDirectory, "no", "such.png");
        Assert.That(() => ImageDecoder.DecodeFile(absent), Throws.TypeOf<InputException>().With.Message.EqualTo($"{absent}: no such file"));
        Assert.That(
            () => ImageDecoder.DecodeFile(Repository.Fixtures),
            Throws.TypeOf<InputException>().With.Message.StartsWith(Repository.Fixtures));
        Assert.That(() => ImageDecoder.DecodeFile(""), Throws.TypeOf<InputException>());
    }

    [Test]
    public void PixelLimitIsTheCallers()
    {
        byte[] digit = Fixture("30_png_mnist_digit.png");
        Assert.That(ImageDecoder.Decode(digit, "digit", 784).Width, Is.EqualTo(28));
        Assert.That(
            () => ImageDecoder.Decode(digit, "digit", 783),
            Throws.TypeOf<InputException>().With.Message.Contains("28 x 28 pixels exceed the limit of 783"));
    }

    [Test]
    public void SixteenBitGraySaturates()
    {
        ushort[] values = [0, 1, 254, 255, 256, 257, 511, 512, 0xFF00, 0xFFFF, 0x8001, 100];
        byte[] expected = [0, 1, 254, 255, 255, 255, 255, 255, 255, 255, 255, 100];
        byte[] rows = new byte[3 * 9];
        for (int i = 0; i < values.Length; i++) BinaryPrimitives.WriteUInt16BigEndian(rows.AsSpan(i / 4 * 9 + 1 + i % 4 * 2), values[i]);
        RgbImage image = ImageDecoder.Decode(Png(4, 3, 16, 0, rows), "gray16");
        Assert.That(image.Pixels, Is.EqualTo(expected.SelectMany(v => (byte[])[v, v, v])));
    }

    [Test]
    public void SixteenBitColoursKeepTheirHighByte()
    {
        byte[] row = [0, 0x12, 0xFF, 0x34, 0x80, 0xFF, 0x00, 0x00, 0xFF, 0x01, 0x7F, 0xFE, 0xFF];
        RgbImage image = ImageDecoder.Decode(Png(2, 1, 16, 2, row), "rgb16");
        Assert.That(image.Pixels, Is.EqualTo(new byte[] { 0x12, 0x34, 0xFF, 0x00, 0x01, 0xFE }));
    }

    [Test]
    public void ColoursUnderFullTransparencySurvive()
    {
        byte[] row = [0, 10, 20, 30, 0, 40, 50, 60, 1, 70, 80, 90, 255];
        RgbImage image = ImageDecoder.Decode(Png(3, 1, 8, 6, row), "rgba");
        Assert.That(image.Pixels, Is.EqualTo(new byte[] { 10, 20, 30, 40, 50, 60, 70, 80, 90 }));
    }

    [Test]
    public void TransparentGifPixelsKeepTheirPaletteColour()
    {
        // 2 x 1 pixels, palette of two, pixel 0 opaque, pixel 1 transparent; LZW codes of 3 bits: clear 4, 0, 1, end 5.
        byte[] gif =
        [
            .. "GIF89a"u8, 2, 0, 1, 0, 0x80, 0, 0, 10, 20, 30, 200, 100, 50,
            0x21, 0xF9, 4, 1, 0, 0, 1, 0,
            0x2C, 0, 0, 0, 0, 2, 0, 1, 0, 0, 2, 2, 0x44, 0x0A, 0, 0x3B,
        ];
        Assert.That(ImageDecoder.Decode(gif, "gif").Pixels, Is.EqualTo(new byte[] { 10, 20, 30, 200, 100, 50 }));
    }

    [Test]
    public void LosslessWebpIsExact()
    {
        SampleRandom random = SampleRandom.ForSample(8, 0, 0);
        RgbImage image = BicubicResamplerTests.Noise(19, 7, ref random);
        using SKBitmap bitmap = new(new SKImageInfo(19, 7, SKColorType.Rgba8888, SKAlphaType.Opaque));
        for (int i = 0, b = 0; i < 19 * 7; i++, b += 3)
            bitmap.SetPixel(i % 19, i / 19, new SKColor(image.Pixels[b], image.Pixels[b + 1], image.Pixels[b + 2]));
        using SKPixmap pixels = bitmap.PeekPixels()!;
        using SKData data = pixels.Encode(new SKWebpEncoderOptions(SKWebpEncoderCompression.Lossless, 75))!;
        Assert.That(ImageDecoder.Decode(data.AsSpan(), "webp").Pixels, Is.EqualTo(image.Pixels));
    }

    [TestCase("P1 # comment\n3 2\n1 0 1\n010", 3, 2, new byte[] { 0, 255, 0, 255, 0, 255 })]
    [TestCase("P2\n3 1\n# deep\n7\n0 3\n7", 3, 1, new byte[] { 0, 109, 255 })]
    [TestCase("P2 3 1 65535 255 256 3", 3, 1, new byte[] { 255, 255, 3 })]
    [TestCase(
        "P4 9 2\n\u00F0\u0080\u0041\u0000", 9, 2,
        new byte[] { 0, 0, 0, 0, 255, 255, 255, 255, 0, 255, 0, 255, 255, 255, 255, 255, 0, 255 })]
    [TestCase("P5 2 2 255 \u0000\u0001\u00FE\u00FF", 2, 2, new byte[] { 0, 1, 254, 255 })]
    [TestCase("P5 2 1 510\n\u0000\u0001\u0001\u00FE", 2, 1, new byte[] { 128, 255 })]
    [TestCase("P5 3 1 100\n\u0000\u0032\u00FF", 3, 1, new byte[] { 0, 128, 255 })]
    public void GrayPnmIsReadAsPillowReadsIt(string file, int width, int height, byte[] gray)
    {
        RgbImage image = ImageDecoder.Decode(Encoding.Latin1.GetBytes(file), "pnm");
        Assert.That((image.Width, image.Height), Is.EqualTo((width, height)));
        Assert.That(image.Pixels, Is.EqualTo(gray.SelectMany(v => (byte[])[v, v, v])));
    }

    [TestCase("P3 2 1 255 1 2 3 4 5 6", new byte[] { 1, 2, 3, 4, 5, 6 })]
    [TestCase("P6 2 1 255\n\u0001\u0002\u0003\u0004\u0005\u0006trailing", new byte[] { 1, 2, 3, 4, 5, 6 })]
    [TestCase("P6 1 1 1023\n\u0000\u0004\u0002\u0000\u0003\u00FF", new byte[] { 1, 128, 255 })]
    public void ColourPnmIsReadAsPillowReadsIt(string file, byte[] pixels) =>
        Assert.That(ImageDecoder.Decode(Encoding.Latin1.GetBytes(file), "pnm").Pixels, Is.EqualTo(pixels));

    private static TestCaseData Bad(string what, byte[] bytes, string expected) =>
        new TestCaseData(bytes, expected).SetArgDisplayNames(what);

    private static byte[] Cut(byte[] bytes) => bytes[..(bytes.Length / 2)];

    private static byte[] With(byte[] bytes, int index, byte value)
    {
        byte[] copy = [.. bytes];
        copy[index] = value;
        return copy;
    }

    private static byte[] Encode(SKEncodedImageFormat format)
    {
        using SKBitmap bitmap = SKBitmap.Decode(Fixture("33_bmp.bmp"))!;
        using SKData data = bitmap.Encode(format, 80)!;
        return data.ToArray();
    }

    private static byte[] PngHeader(int width, int height) => Png(width, height, 1, 0, new byte[100]);

    /// <summary>A PNG of the given filtered rows.</summary>
    private static byte[] Png(int width, int height, byte depth, byte colorType, byte[] rows)
    {
        byte[] header = new byte[13];
        BinaryPrimitives.WriteInt32BigEndian(header, width);
        BinaryPrimitives.WriteInt32BigEndian(header.AsSpan(4), height);
        (header[8], header[9]) = (depth, colorType);
        using MemoryStream packed = new();
        using (ZLibStream zlib = new(packed, CompressionLevel.Optimal, leaveOpen: true)) zlib.Write(rows);
        return [0x89, .. "PNG\r\n\x1a\n"u8, .. Chunk("IHDR", header), .. Chunk("IDAT", packed.ToArray()), .. Chunk("IEND", [])];
    }

    private static byte[] Chunk(string type, byte[] data)
    {
        byte[] body = [.. Encoding.ASCII.GetBytes(type), .. data];
        uint crc = ~0u;
        foreach (byte b in body)
        {
            crc ^= b;
            for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xEDB88320u : 0);
        }
        byte[] chunk = new byte[body.Length + 8];
        BinaryPrimitives.WriteInt32BigEndian(chunk, data.Length);
        body.CopyTo(chunk, 4);
        BinaryPrimitives.WriteUInt32BigEndian(chunk.AsSpan(body.Length + 4), ~crc);
        return chunk;
    }
}
