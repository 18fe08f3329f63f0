using System.Globalization;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;
using NUnit.Framework;
using Patching.Model.Images;

namespace Patching.Tests.Model.Images;

/// <summary>Decoding and preprocessing against bytes that Pillow and torchvision produced.</summary>
[TestFixture]
public sealed class PreprocessGoldenTests
{
    public static IEnumerable<TestCaseData> Fixtures()
    {
        foreach (string line in File.ReadLines(Repository.Fixture("images", "expected.tsv")).Skip(1))
        {
            string[] cells = line.Split('\t');
            (int width, int height) =
                (int.Parse(cells[1], CultureInfo.InvariantCulture), int.Parse(cells[2], CultureInfo.InvariantCulture));
            yield return new TestCaseData(cells[0], width, height, cells[3], cells[4]).SetArgDisplayNames(cells[0]);
        }
    }

    [TestCaseSource(nameof(Fixtures))]
    public void FixtureIsDecodedAndPreprocessedAsByPillow(string file, int width, int height, string decodedHash, string squareHash)
    {
        RgbImage image = ImageDecoder.DecodeFile(Repository.Fixture("images", file));
        Assert.That((image.Width, image.Height), Is.EqualTo((width, height)));
        Assert.That(Hash(image.Pixels), Is.EqualTo(decodedHash), "decoded pixels");
        Assert.That(Hash(Square(image, 224)), Is.EqualTo(squareHash), "preprocessed square");
    }

    [Test]
    public void DigitOf28PixelsPassesUnchanged()
    {
        RgbImage digit = ImageDecoder.DecodeFile(Repository.Fixture("images", "30_png_mnist_digit.png"));
        RgbImage expected = ImageDecoder.DecodeFile(Repository.Fixture("images", "npx28_30_png_mnist_digit.png"));
        byte[] square = Square(digit, 28);
        Assert.That(square.AsSpan().SequenceEqual(expected.Pixels));
        Assert.That(square.AsSpan().SequenceEqual(digit.Pixels));
    }

    [Test]
    public void AllGoldenImagesAreExact()
    {
        string root = Repository.Shared("golden", "preprocess");
        List<string> wrong = [];
        int count = 0;
        foreach (JsonElement entry in Entries(root))
        {
            string file = entry.GetProperty("file").GetString()!;
            int size = entry.TryGetProperty("n_px", out JsonElement pixels) ? pixels.GetInt32() : 224;
            string expected = Path.Combine(root, "expected", entry.GetProperty("expected_rgbfirst").GetString()!);
            Compare($"{file} at {size}", ImageDecoder.DecodeFile(Path.Combine(root, "src", file)), size, expected, wrong);
            count++;
            if (!entry.TryGetProperty("decoded_png", out JsonElement decoded)) continue;
            RgbImage byPillow = ImageDecoder.DecodeFile(Path.Combine(root, "expected", decoded.GetString()!));
            Compare($"{file} at {size}, decoded by Pillow", byPillow, size, expected, wrong);
        }
        Assert.That(count, Is.EqualTo(34), "30 images, four of them at a second size");
        Assert.That(wrong, Is.Empty);
    }

    [Test]
    public void AllGoldenImagesDecodeExactly()
    {
        string root = Repository.Shared("golden", "preprocess");
        foreach (JsonElement entry in Entries(root).Where(e => e.TryGetProperty("decoded_rgb_sha256", out _)))
        {
            string file = entry.GetProperty("file").GetString()!;
            RgbImage image = ImageDecoder.DecodeFile(Path.Combine(root, "src", file));
            Assert.That(Hash(image.Pixels), Is.EqualTo(entry.GetProperty("decoded_rgb_sha256").GetString()), file);
        }
    }

    [Test]
    public void NormalizationTableIsTorchs()
    {
        float[] expected = Floats(Repository.Fixture("images", "normalize_lut_float32.npy"));
        Assert.That(expected, Has.Length.EqualTo(768));
        Assert.That(MemoryMarshal.AsBytes(ClipNormalization.Table.Values).SequenceEqual(MemoryMarshal.AsBytes(expected.AsSpan())));
    }

    [Test]
    public void WholeFloatImageIsTorchs()
    {
        string root = Repository.Shared("golden", "preprocess");
        float[] expected = Floats(Path.Combine(root, "expected", "00_jpeg_RGB_346x229.rgbfirst.float32.npy"));
        float[] planes = new float[3 * 224 * 224];
        ClipNormalization.Table.Apply(Square(ImageDecoder.DecodeFile(Path.Combine(root, "src", "00_jpeg_RGB_346x229.jpg")), 224), planes);
        Assert.That(MemoryMarshal.AsBytes(planes.AsSpan()).SequenceEqual(MemoryMarshal.AsBytes(expected.AsSpan())));
    }

    [Test]
    public void NormalizationRejectsWrongShapesAndDeviations()
    {
        Assert.That(() => new NormalizationTable([0f, 0f], [1f, 1f, 1f]), Throws.ArgumentException);
        Assert.That(() => new NormalizationTable([0f, 0f, 0f], [1f, 0f, 1f]), Throws.ArgumentException);
        Assert.That(() => new NormalizationTable([0f, float.NaN, 0f], [1f, 1f, 1f]), Throws.ArgumentException);
        Assert.That(() => ClipNormalization.Table.Apply(new byte[6], new float[5]), Throws.ArgumentException);
    }

    private static List<JsonElement> Entries(string root)
    {
        using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(Path.Combine(root, "preprocess.json")));
        return [.. document.RootElement.EnumerateArray().Select(e => e.Clone())];
    }

    private static void Compare(string what, RgbImage image, int size, string expectedPath, List<string> wrong)
    {
        byte[] expected = ImageDecoder.DecodeFile(expectedPath).Pixels, actual = Square(image, size);
        int different = actual.Zip(expected).Count(p => p.First != p.Second);
        if (actual.Length != expected.Length || different > 0) wrong.Add($"{what}: {different} of {expected.Length} bytes differ");
    }

    private static byte[] Square(RgbImage image, int size)
    {
        ImagePreprocessor preprocessor = new(size);
        byte[] square = new byte[preprocessor.OutputBytes];
        preprocessor.Apply(image, square);
        return square;
    }

    private static string Hash(byte[] bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));

    // Version 1 of the format: 8 bytes of magic and version, a 16-bit header length, the header, the data.
    private static float[] Floats(string path)
    {
        byte[] file = File.ReadAllBytes(path);
        return MemoryMarshal.Cast<byte, float>(file.AsSpan(10 + BitConverter.ToUInt16(file, 8))).ToArray();
    }
}
