using NUnit.Framework;
using Patching.Model.Images;

namespace Patching.Tests.Model.Images;

[TestFixture]
public sealed class TrainingCropTests
{
    [Test]
    public void SplitMix64GivesItsPublishedNumbers()
    {
        // The stream of the reference implementation with seed 0.
        SampleRandom random = default;
        Assert.That(
            (ulong[])[random.NextBits(), random.NextBits(), random.NextBits()],
            Is.EqualTo((ulong[])[0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]));
    }

    [Test]
    public void StreamsDependOnSeedEpochAndIndex()
    {
        HashSet<ulong> firsts = [];
        for (int seed = -2; seed < 8; seed++)
        {
            for (int epoch = 0; epoch < 10; epoch++)
            {
                for (int index = 0; index < 100; index++)
                {
                    SampleRandom random = SampleRandom.ForSample(seed, epoch, index), same = SampleRandom.ForSample(seed, epoch, index);
                    ulong first = random.NextBits();
                    Assert.That(same.NextBits(), Is.EqualTo(first));
                    firsts.Add(first);
                }
            }
        }
        Assert.That(firsts, Has.Count.EqualTo(10_000));
    }

    [Test]
    public void NumbersAreUniform()
    {
        SampleRandom random = SampleRandom.ForSample(5, 1, 2);
        int[] counts = new int[7];
        double sum = 0, least = 1, greatest = 0;
        for (int i = 0; i < 70_000; i++)
        {
            counts[random.NextInt(7)]++;
            double x = random.NextDouble();
            (sum, least, greatest) = (sum + x, Math.Min(least, x), Math.Max(greatest, x));
        }
        // 5 standard deviations: sqrt(70000 * 1/7 * 6/7) = 93 and 0.289 / sqrt(70000) = 0.0011.
        Assert.That(counts, Has.All.InRange(10_000 - 465, 10_000 + 465));
        Assert.That(sum / 70_000, Is.EqualTo(0.5).Within(0.0055));
        Assert.That(least, Is.InRange(0, 0.001));
        Assert.That(greatest, Is.InRange(0.999, 1 - 1e-16));
        Assert.That(random.NextInt(1), Is.Zero);
        Assert.That(() => random.NextInt(0), Throws.InstanceOf<ArgumentOutOfRangeException>());
    }

    [Test]
    public void FirstStreamIsPinned()
    {
        // Checkpoints of interrupted runs rely on these never changing.
        SampleRandom random = SampleRandom.ForSample(17, 3, 12345);
        Assert.That(new TrainingCrop(224, 0.1).DrawBox(500, 375, ref random), Is.EqualTo(new PixelBox(142, 1, 291, 369)));
    }

    [TestCase(500, 375)]
    [TestCase(32, 32)]
    [TestCase(28, 28)]
    [TestCase(300, 310)]
    public void BoxesHaveTheAskedAreasAndRatios(int width, int height)
    {
        TrainingCrop crop = new(32);
        double meanShare = 0, leastShare = 1, greatestShare = 0;
        for (int i = 0; i < 4000; i++)
        {
            SampleRandom random = SampleRandom.ForSample(3, 0, i);
            PixelBox box = crop.DrawBox(width, height, ref random);
            Assert.That(box.Left, Is.InRange(0, width - box.Width));
            Assert.That(box.Top, Is.InRange(0, height - box.Height));
            double share = (double)box.Width * box.Height / ((double)width * height);
            // Rounding each side moves the area by at most half a row and half a column, and the ratio likewise.
            double slack = 0.5 / width + 0.5 / height + 0.25 / width / height;
            Assert.That(share, Is.InRange(0.9 - slack, 1.0));
            Assert.That((box.Width + 0.5) / (box.Height - 0.5), Is.GreaterThanOrEqualTo(0.75));
            Assert.That((box.Width - 0.5) / (box.Height + 0.5), Is.LessThanOrEqualTo(4.0 / 3));
            meanShare += share / 4000;
            (leastShare, greatestShare) = (Math.Min(leastShare, share), Math.Max(greatestShare, share));
        }
        Assert.That(meanShare, Is.InRange(0.92, 0.97));
        Assert.That(leastShare, Is.LessThan(0.92));
        Assert.That(greatestShare, Is.GreaterThan(0.98));
    }

    [Test]
    public void SmallScalesCoverTheWholeImageUniformly()
    {
        TrainingCrop crop = new(32, 0.01, 0.04);
        double sumLog = 0, sumLeft = 0, sumTop = 0, sumShare = 0;
        const int n = 20_000;
        for (int i = 0; i < n; i++)
        {
            SampleRandom random = SampleRandom.ForSample(4, 0, i);
            PixelBox box = crop.DrawBox(2000, 1500, ref random);
            sumLog += Math.Log((double)box.Width / box.Height);
            sumLeft += box.Left / (2000.0 - box.Width);
            sumTop += box.Top / (1500.0 - box.Height);
            sumShare += (double)box.Width * box.Height / (2000 * 1500);
        }
        // 5 standard deviations of the means; the standard deviation of a uniform variable is its range / sqrt(12).
        double five = 5 / Math.Sqrt(12.0 * n);
        Assert.That(sumLog / n, Is.Zero.Within(five * 2 * Math.Log(4.0 / 3)));
        Assert.That(sumLeft / n, Is.EqualTo(0.5).Within(five));
        Assert.That(sumTop / n, Is.EqualTo(0.5).Within(five));
        Assert.That(sumShare / n, Is.EqualTo(0.025).Within(five * 0.03 + 1e-4));
    }

    [TestCase(1000, 10, 13, 10)]
    [TestCase(10, 1000, 10, 13)]
    [TestCase(1, 1, 1, 1)]
    [TestCase(1, 500, 1, 1)]
    [TestCase(500, 1, 1, 1)]
    public void ExtremeImagesGetTheCentredBox(int width, int height, int boxWidth, int boxHeight)
    {
        for (int i = 0; i < 20; i++)
        {
            SampleRandom random = SampleRandom.ForSample(1, 0, i);
            PixelBox box = new TrainingCrop(8).DrawBox(width, height, ref random);
            Assert.That(box, Is.EqualTo(new PixelBox((width - boxWidth) / 2, (height - boxHeight) / 2, boxWidth, boxHeight)));
        }
    }

    [Test]
    public void SquareIsTheResizedBox()
    {
        SampleRandom noise = SampleRandom.ForSample(9, 0, 0);
        RgbImage image = BicubicResamplerTests.Noise(61, 47, ref noise);
        TrainingCrop crop = new(40, 0.3);
        for (int i = 0; i < 20; i++)
        {
            SampleRandom first = SampleRandom.ForSample(2, 1, i), second = first;
            byte[] square = new byte[crop.OutputBytes];
            crop.Apply(image, ref first, square);
            PixelBox box = crop.DrawBox(61, 47, ref second);
            RgbImage expected = PlainBicubic.Resize(PlainBicubic.Crop(image, box.Left, box.Top, box.Width, box.Height), 40, 40);
            Assert.That(square.AsSpan().SequenceEqual(expected.Pixels), $"{box}");
        }
    }

    [Test]
    public void AnyNumberOfThreadsGivesTheSameSquares()
    {
        SampleRandom noise = SampleRandom.ForSample(10, 0, 0);
        RgbImage image = BicubicResamplerTests.Noise(90, 70, ref noise);
        TrainingCrop crop = new(32);
        byte[][] Squares(int threads)
        {
            byte[][] squares = new byte[100][];
            Parallel.For(0, squares.Length, new ParallelOptions { MaxDegreeOfParallelism = threads }, i =>
            {
                SampleRandom random = SampleRandom.ForSample(7, 2, i);
                crop.Apply(image, ref random, squares[i] = new byte[crop.OutputBytes]);
            });
            return squares;
        }
        byte[][] one = Squares(1), four = Squares(4);
        for (int i = 0; i < one.Length; i++) Assert.That(one[i].AsSpan().SequenceEqual(four[i]), $"sample {i}");
        Assert.That(one.Select(Convert.ToHexString).Distinct().Count(), Is.GreaterThan(60));
    }

    [Test]
    public void ImpossibleRangesAreRefused()
    {
        Assert.That(() => new TrainingCrop(0), Throws.InstanceOf<ArgumentException>());
        Assert.That(() => new TrainingCrop(8, 0), Throws.ArgumentException);
        Assert.That(() => new TrainingCrop(8, 0.9, 1.1), Throws.ArgumentException);
        Assert.That(() => new TrainingCrop(8, double.NaN), Throws.ArgumentException);
        Assert.That(() => new TrainingCrop(8, 0.9, 1, 2, 1), Throws.ArgumentException);
        Assert.That(() => new TrainingCrop(8, 0.9, 1, 1, double.PositiveInfinity), Throws.ArgumentException);
    }
}
