using NUnit.Framework;
using Patching.Model;
using Patching.Model.Images;

namespace Patching.Tests.Model.Images;

[TestFixture]
internal sealed class ReducedDecodingTests
{
    private const string Photo = "03_jpeg_RGB_106x150.jpg";

    [TestCase(54, 106, 150)]
    [TestCase(53, 53, 75)]
    [TestCase(28, 53, 75)]
    [TestCase(27, 27, 38)]
    [TestCase(14, 14, 19)]
    [TestCase(1, 14, 19)]
    public void TheSmallestSizeThatIsEnoughIsTaken(int enough, int width, int height)
    {
        RgbImage image = ImageDecoder.DecodeFileReduced(Repository.Fixture("images", Photo), enough);
        Assert.That((image.Width, image.Height), Is.EqualTo((width, height)));
    }

    [Test]
    public void WhereNothingIsLeftOutTheBytesAreThoseOfTheWholeImage()
    {
        string path = Repository.Fixture("images", Photo);
        Assert.That(ImageDecoder.DecodeFileReduced(path, 54).Pixels, Is.EqualTo(ImageDecoder.DecodeFile(path).Pixels));
    }

    [TestCase(53, 2)]
    [TestCase(27, 4)]
    public void PixelsAreNearlyTheMeansOfThoseTheyStandFor(int enough, int factor)
    {
        string path = Repository.Fixture("images", Photo);
        RgbImage whole = ImageDecoder.DecodeFile(path), reduced = ImageDecoder.DecodeFileReduced(path, enough);
        double difference = 0;
        int count = 0;
        for (int y = 0; y < whole.Height / factor; y++)
        {
            for (int x = 0; x < 3 * (whole.Width / factor); x++, count++)
                difference += Math.Abs(reduced.Pixels[3 * y * reduced.Width + x] - Mean(whole, x / 3, y, x % 3, factor));
        }
        // A picture that is shifted by one of its pixels, or has its channels swapped, is off by more than 6 levels.
        Assert.That(difference / count, Is.LessThan(2));
    }

    [TestCase("31_png_checker.png")]
    [TestCase("33_bmp.bmp")]
    [TestCase("34_ppm_gtsrb.ppm")]
    public void OtherFormatsComeWhole(string file)
    {
        string path = Repository.Fixture("images", file);
        Assert.That(ImageDecoder.DecodeFileReduced(path, 1).Pixels, Is.EqualTo(ImageDecoder.DecodeFile(path).Pixels));
    }

    [Test]
    public void ATruncatedFileIsRefused()
    {
        string path = Path.Combine(Path.GetTempPath(), $"patching-cut-{Guid.NewGuid():N}.jpg");
        try
        {
            File.WriteAllBytes(path, File.ReadAllBytes(Repository.Fixture("images", Photo))[..^400]);
            Assert.That(() => ImageDecoder.DecodeFileReduced(path, 20), Throws.TypeOf<InputException>().With.Message.Contains("truncated"));
        }
        finally
        {
            File.Delete(path);
        }
    }

    private static double Mean(RgbImage image, int x, int y, int channel, int factor)
    {
        double sum = 0;
        for (int dy = 0; dy < factor; dy++)
        {
            for (int dx = 0; dx < factor; dx++) sum += image.Pixels[3 * ((factor * y + dy) * image.Width + factor * x + dx) + channel];
        }
        return sum / (factor * factor);
    }
}
