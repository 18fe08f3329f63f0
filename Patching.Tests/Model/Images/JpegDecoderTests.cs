using NUnit.Framework;
using Patching.Model.Images;
using SkiaSharp;

namespace Patching.Tests.Model.Images;

/// <summary>Our decoder of plain JPEGs gives the bytes of libjpeg-turbo, which SkiaSharp has, or leaves the file to it.</summary>
[TestFixture]
internal sealed class JpegDecoderTests
{
    private const int HugeLimit = 1 << 28;

    [OneTimeSetUp]
    public void RequireVectors()
    {
        if (!JpegDecoder.IsSupported) Assert.Ignore("this processor has no AVX2, so every JPEG is SkiaSharp's");
    }

    public static IEnumerable<TestCaseData> Pictures()
    {
        SKJpegEncoderDownsample[] colours = Enum.GetValues<SKJpegEncoderDownsample>();
        (int Width, int Height)[] sizes = [(5, 1), (6, 2), (7, 17), (8, 8), (9, 3), (16, 16), (17, 15), (31, 33), (33, 31), (64, 48), (100, 7), (129, 66)];
        foreach ((int width, int height) in sizes)
            foreach (SKJpegEncoderDownsample colour in colours)
                foreach (int quality in (int[])[1, 40, 90, 100])
                    yield return new TestCaseData(width, height, colour, quality);
    }

    [TestCaseSource(nameof(Pictures))]
    public void EveryByteIsLibjpegTurbos(int width, int height, SKJpegEncoderDownsample colours, int quality)
    {
        foreach (Content content in Enum.GetValues<Content>()) AssertSame(Encode(content, width, height, colours, quality), $"{content}");
    }

    [Test]
    public void GrayPictures([Values(1, 4, 8, 9, 65)] int width, [Values(1, 8, 23)] int height, [Values(3, 95)] int quality)
    {
        foreach (Content content in Enum.GetValues<Content>())
        {
            byte[] gray = [.. Enumerable.Range(0, width * height).Select(i => Level(content, i % width, i / width, 0))];
            using SKBitmap bitmap = new(new SKImageInfo(width, height, SKColorType.Gray8, SKAlphaType.Opaque));
            for (int y = 0; y < height; y++) gray.AsSpan(y * width, width).CopyTo(bitmap.GetPixelSpan()[(y * bitmap.RowBytes)..]);
            using SKData? data = bitmap.PeekPixels().Encode(new SKJpegEncoderOptions(quality));
            AssertSame(data!.ToArray(), $"{content}");
        }
    }

    [TestCase("03_jpeg_RGB_106x150.jpg", true)]
    [TestCase("20_jpeg_exif_rotated.jpg", true)]
    [TestCase("21_jpeg_progressive_444.jpg", false)]
    [TestCase("19_jpeg_cmyk.jpg", false)]
    [TestCase("31_png_checker.png", false)]
    public void PlainFilesAreOurs(string file, bool isOurs)
    {
        byte[] bytes = File.ReadAllBytes(Repository.Fixture("images", file));
        if (isOurs) AssertSame(bytes, file);
        else Assert.That(JpegDecoder.TryDecode(bytes, HugeLimit), Is.Null);
    }

    [Test]
    public void WhatIsUnusualIsLeftAlone()
    {
        byte[] plain = Encode(Content.Photo, 40, 30, SKJpegEncoderDownsample.Downsample420, 80);
        Assert.That(JpegDecoder.TryDecode(plain, HugeLimit), Is.Not.Null);
        Assert.That(JpegDecoder.TryDecode(plain, 40 * 30 - 1), Is.Null, "too many pixels");
        Assert.That(JpegDecoder.TryDecode(plain, HugeLimit, enough: 15), Is.Null, "half of it is enough");
        Assert.That(JpegDecoder.TryDecode(plain, HugeLimit, enough: 16), Is.Not.Null, "half of it is not enough");
        Assert.That(JpegDecoder.TryDecode(Insert(plain, 0xDD, [0, 1]), HugeLimit), Is.Null, "restarts");
        Assert.That(JpegDecoder.TryDecode(Insert(plain, 0xEE, [.. "Adobe"u8, 0, 100, 0, 0, 0, 0, 0]), HugeLimit), Is.Null, "RGB");
        Assert.That(JpegDecoder.TryDecode(Insert(plain, 0xEE, [.. "Adobe"u8, 0, 100, 0, 0, 0, 0, 1]), HugeLimit), Is.Not.Null, "YCbCr");
        Assert.That(JpegDecoder.TryDecode([.. plain, 1, 2, 3], HugeLimit), Is.Not.Null, "bytes behind the end");
        byte[] narrow = Encode(Content.Photo, 4, 30, SKJpegEncoderDownsample.Downsample420, 80);
        Assert.That(JpegDecoder.TryDecode(narrow, HugeLimit), Is.Null, "narrow");
    }

    [Test]
    public void WhatDecodersDisagreeAboutIsLeftAlone()
    {
        int left = 0;
        foreach (int quality in (ReadOnlySpan<int>)[5, 30, 60, 90, 100])
        {
            byte[] file = Encode(Content.Extremes, 64, 64, SKJpegEncoderDownsample.Downsample444, quality);
            // Steps of 255 make the coefficients up to a hundred times as large as they were.
            for (int at = 2; at < file.Length - 69 && file[at + 1] != 0xDA; at += 2 + (file[at + 2] << 8 | file[at + 3]))
                if (file[at + 1] == 0xDB) file.AsSpan(at + 5, 64).Fill(255);
            if (JpegDecoder.TryDecode(file, HugeLimit) is null) left++;
            else AssertSame(file, $"{quality}");
        }
        Assert.That(left, Is.GreaterThan(0));
    }

    [Test]
    public void DamagedFilesAreSkiaSharpsOrTheSame()
    {
        Random random = new(7);
        int ours = 0;
        byte[][] files =
        [
            Encode(Content.Photo, 41, 35, SKJpegEncoderDownsample.Downsample420, 70),
            Encode(Content.Noise, 24, 24, SKJpegEncoderDownsample.Downsample444, 90),
            Encode(Content.Photo, 37, 20, SKJpegEncoderDownsample.Downsample422, 30),
        ];
        for (int i = 0; i < 3000; i++)
        {
            byte[] file = [.. files[i % files.Length]];
            for (int change = random.Next(1, 4); change > 0; change--) file[random.Next(2, file.Length)] = (byte)random.Next(256);
            if (random.Next(4) == 0) file = file[..random.Next(file.Length)];
            if (JpegDecoder.TryDecode(file, HugeLimit) is null) continue;
            ours++;
            AssertSame(file, $"{i}");
        }
        Assert.That(ours, Is.GreaterThan(100), "changes that leave the file whole");
    }

    [Test]
    public void EveryCutIsSkiaSharps()
    {
        byte[] file = Encode(Content.Photo, 40, 30, SKJpegEncoderDownsample.Downsample420, 80);
        for (int length = 0; length < file.Length; length++) Assert.That(JpegDecoder.TryDecode(file.AsSpan(0, length), HugeLimit), Is.Null, $"{length} bytes");
    }

    private static void AssertSame(byte[] file, string what)
    {
        RgbImage? ours = JpegDecoder.TryDecode(file, HugeLimit);
        Assert.That(ours, Is.Not.Null, what);
        RgbImage theirs = SkiaImageReader.Decode(file, what, HugeLimit, int.MaxValue);
        Assert.That((ours!.Width, ours.Height), Is.EqualTo((theirs.Width, theirs.Height)), what);
        int different = ours.Pixels.AsSpan().CommonPrefixLength(theirs.Pixels);
        Assert.That(different, Is.EqualTo(theirs.Pixels.Length), $"{what}: byte {different % (3 * ours.Width)} of row {different / (3 * ours.Width)} differs");
    }

    private static byte[] Encode(Content content, int width, int height, SKJpegEncoderDownsample colours, int quality)
    {
        using SKBitmap bitmap = new(new SKImageInfo(width, height, SKColorType.Rgba8888, SKAlphaType.Opaque));
        Span<byte> pixels = bitmap.GetPixelSpan();
        for (int i = 0; i < pixels.Length; i++) pixels[i] = i % 4 == 3 ? (byte)255 : Level(content, i / 4 % width, i / 4 / width, i % 4);
        using SKData? data = bitmap.PeekPixels().Encode(new SKJpegEncoderOptions(quality, colours, SKJpegEncoderAlphaOption.Ignore));
        return data!.ToArray();
    }

    private static byte Level(Content content, int x, int y, int channel)
    {
        uint noise = (uint)(x * 7919 + y * 104729 + channel * 1299709) * 2654435761;
        return content switch
        {
            Content.Flat => (byte)(40 + 90 * channel),
            Content.Photo => (byte)(128 + 90 * Math.Sin(0.13 * x + channel) * Math.Cos(0.19 * y) + (noise >> 28)),
            Content.Noise => (byte)(noise >> 24),
            _ => (byte)((noise >> 31) * 255),
        };
    }

    /// <summary>The file with another segment behind its first two bytes.</summary>
    private static byte[] Insert(byte[] file, byte marker, byte[] body) =>
        [file[0], file[1], 0xFF, marker, 0, (byte)(body.Length + 2), .. body, .. file[2..]];

    private enum Content
    {
        Flat,
        Photo,
        Noise,
        Extremes,
    }
}
