using NUnit.Framework;
using Patching.Model.Images;

namespace Patching.Tests.Model.Images;

[TestFixture]
public sealed class BicubicResamplerTests
{
    private static readonly int[] Sides = [1, 2, 3, 5, 7, 15, 16, 17, 31, 33, 64, 97];

    private static readonly WeightedSum.Instructions[] Supported =
        [.. Enum.GetValues<WeightedSum.Instructions>().Where(WeightedSum.IsSupported)];

    [Test]
    public void EqualsThePlainRestatementOnAwkwardSizes()
    {
        SampleRandom random = SampleRandom.ForSample(1, 0, 0);
        BicubicResampler resampler = new();
        for (int trial = 0; trial < 250; trial++)
        {
            RgbImage image = Noise(Pick(ref random), Pick(ref random), ref random);
            (int width, int height) = (Pick(ref random), Pick(ref random));
            byte[] actual = new byte[3 * width * height];
            resampler.Resample(image, new(0, image.Width, width, 0, width), new(0, image.Height, height, 0, height), actual);
            RgbImage expected = PlainBicubic.Resize(image, width, height);
            Assert.That(actual.AsSpan().SequenceEqual(expected.Pixels), $"{image.Width} x {image.Height} to {width} x {height}");
        }
    }

    [Test]
    public void WindowOfACropEqualsCropThenResizeThenCrop()
    {
        SampleRandom random = SampleRandom.ForSample(2, 0, 0);
        BicubicResampler resampler = new();
        for (int trial = 0; trial < 250; trial++)
        {
            RgbImage image = Noise(Pick(ref random), Pick(ref random), ref random);
            ResampleAxis columns = RandomAxis(image.Width, ref random), rows = RandomAxis(image.Height, ref random);
            byte[] actual = new byte[3 * columns.WindowLength * rows.WindowLength];
            resampler.Resample(image, columns, rows, actual);

            RgbImage crop = PlainBicubic.Crop(image, columns.SourceStart, rows.SourceStart, columns.SourceLength, rows.SourceLength);
            RgbImage resized = PlainBicubic.Resize(crop, (int)columns.OutputLength, (int)rows.OutputLength);
            RgbImage window = PlainBicubic.Crop(
                resized, (int)columns.WindowStart, (int)rows.WindowStart, columns.WindowLength, rows.WindowLength);
            Assert.That(actual.AsSpan().SequenceEqual(window.Pixels), $"{columns} by {rows}");
        }
    }

    [Test]
    public void EveryInstructionSetGivesTheSameBytes()
    {
        SampleRandom random = SampleRandom.ForSample(3, 0, 0);
        Assert.That(Supported, Does.Contain(WeightedSum.Instructions.Scalar));
        for (int trial = 0; trial < 60; trial++)
        {
            RgbImage image = Noise(Pick(ref random), Pick(ref random), ref random);
            ResampleAxis columns = RandomAxis(image.Width, ref random), rows = RandomAxis(image.Height, ref random);
            byte[][] results = [.. Supported.Select(set =>
            {
                byte[] bytes = new byte[3 * columns.WindowLength * rows.WindowLength];
                new BicubicResampler(set).Resample(image, columns, rows, bytes);
                return bytes;
            })];
            for (int i = 1; i < results.Length; i++)
                Assert.That(results[i].AsSpan().SequenceEqual(results[0]), $"{Supported[i]}: {columns} by {rows}");
        }
    }

    [Test]
    public unsafe void WeightedSumClipsAtBothEndsAndRoundsHalfUp()
    {
        const int one = 1 << 22;
        int[][] weightSets =
        [
            [one], [2 * one - 1], [-one], [one / 2, one / 2], [one / 2, one / 2 - 1], [one + one / 8, -one / 8],
            [-one / 16, one + one / 8, -one / 16],
        ];
        byte[] rows = new byte[3 * WeightedSum.BlockBytes], result = new byte[WeightedSum.BlockBytes];
        SampleRandom random = SampleRandom.ForSample(4, 0, 0);
        for (int i = 0; i < rows.Length; i++) rows[i] = (byte)(i % 5 == 0 ? 255 : i % 7 == 0 ? 0 : random.NextInt(256));
        foreach (WeightedSum.Instructions set in Supported)
        {
            foreach (int[] weights in weightSets)
            {
                fixed (byte* source = rows, target = result)
                fixed (int* w = weights) WeightedSum.Block(set, target, source, WeightedSum.BlockBytes, w, weights.Length);
                for (int b = 0; b < result.Length; b++)
                {
                    long sum = weights.Select((weight, t) => (long)weight * rows[t * WeightedSum.BlockBytes + b]).Sum();
                    Assert.That(result[b], Is.EqualTo((byte)Math.Clamp((sum + one / 2) >> 22, 0, 255)), $"{set}, byte {b}");
                }
            }
        }
    }

    [Test]
    public void WeightsEqualThoseInDecimalArithmeticAndCannotOverflow()
    {
        (int, int)[] axes = [(28, 224), (32, 224), (375, 224), (500, 298), (224, 225), (1, 9), (2, 7), (3, 2), (4000, 224), (97, 1)];
        foreach ((int source, int output) in axes)
        {
            BicubicWeights weights = new(new ResampleAxis(0, source, output, 0, output));
            for (int i = 0; i < output; i++)
            {
                (int first, long[] expected) = PlainBicubic.Weights(source, output, i);
                // Where a bound falls on a whole number, rounding decides whether a tap of weight zero is listed.
                Dictionary<int, long> actual = Taps(weights.First(i), weights.Of(i).ToArray().Select(w => (long)w));
                Assert.That(actual, Is.EqualTo(Taps(first, expected)), $"{source} to {output}, output {i}");
                Assert.That(expected.Sum(Math.Abs), Is.LessThan(3L << 21), "1.5 in units of 2^-22");
            }
        }
    }

    // Sides, resized sides by int(size * long / short), and the crop's start by Python's round((resized - size) / 2).
    [TestCase(4, 4, 4, 4, 4, 0, 0)]
    [TestCase(5, 4, 4, 5, 4, 0, 0)]
    [TestCase(7, 4, 4, 7, 4, 2, 0)]
    [TestCase(4, 9, 4, 4, 9, 0, 2)]
    [TestCase(3, 5, 4, 4, 6, 0, 1)]
    [TestCase(29, 10, 6, 17, 6, 6, 0)]
    [TestCase(10, 29, 6, 6, 17, 0, 6)]
    [TestCase(1, 3, 5, 5, 15, 0, 5)]
    public void SquareIsTheCentreOfTheResizedImage(int width, int height, int size, int resizedWidth, int resizedHeight, int left, int top)
    {
        SampleRandom random = SampleRandom.ForSample(12, 0, 0);
        RgbImage image = Noise(width, height, ref random);
        RgbImage expected = PlainBicubic.Crop(PlainBicubic.Resize(image, resizedWidth, resizedHeight), left, top, size, size);
        Assert.That(Square(new ImagePreprocessor(size), image), Is.EqualTo(expected.Pixels));
    }

    [Test]
    public void FlatImagesStayFlat()
    {
        RgbImage image = new(37, 53, [.. Enumerable.Repeat<byte[]>([255, 0, 129], 37 * 53).SelectMany(p => p)]);
        byte[] square = new byte[3 * 64 * 64];
        new ImagePreprocessor(64).Apply(image, square);
        Assert.That(square.Chunk(3), Has.All.EqualTo(new byte[] { 255, 0, 129 }));
    }

    [TestCase(1, 100_000)]
    [TestCase(100_000, 1)]
    [TestCase(3, 200_001)]
    public void VeryThinImagesCostOnlyTheirWindow(int width, int height)
    {
        SampleRandom random = SampleRandom.ForSample(5, 0, 0);
        RgbImage image = Noise(width, height, ref random);
        byte[] square = new byte[3 * 224 * 224];
        long before = GC.GetAllocatedBytesForCurrentThread();
        new ImagePreprocessor(224).Apply(image, square);
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.LessThan(2_000_000));

        // The neighbourhood of the centre alone gives the same square.
        int side = Math.Min(width, height), rest = (Math.Max(width, height) - 41 * side) / 2;
        RgbImage middle = width < height
            ? PlainBicubic.Crop(image, 0, rest, width, height - 2 * rest)
            : PlainBicubic.Crop(image, rest, 0, width - 2 * rest, height);
        byte[] fromMiddle = new byte[square.Length];
        new ImagePreprocessor(224).Apply(middle, fromMiddle);
        Assert.That(square.AsSpan().SequenceEqual(fromMiddle));
    }

    [Test]
    public void RepeatedImagesOfOneSizeAllocateNothing()
    {
        SampleRandom random = SampleRandom.ForSample(6, 0, 0);
        RgbImage image = Noise(50, 37, ref random);
        ImagePreprocessor preprocessor = new(64);
        byte[] square = new byte[preprocessor.OutputBytes];
        preprocessor.Apply(image, square);
        long before = GC.GetAllocatedBytesForCurrentThread();
        for (int i = 0; i < 10; i++) preprocessor.Apply(image, square);
        Assert.That(GC.GetAllocatedBytesForCurrentThread() - before, Is.Zero);
    }

    [Test]
    public void ThreadsDoNotDisturbEachOther()
    {
        SampleRandom random = SampleRandom.ForSample(7, 0, 0);
        List<RgbImage> images = [];
        for (int i = 0; i < 12; i++) images.Add(Noise(20 + 3 * i, 71 - 4 * i, ref random));
        ImagePreprocessor preprocessor = new(48);
        byte[][] expected = [.. images.Select(image => Square(preprocessor, image))];
        Parallel.For(0, 240, new ParallelOptions { MaxDegreeOfParallelism = 4 }, i =>
            Assert.That(Square(preprocessor, images[i % 12]).AsSpan().SequenceEqual(expected[i % 12])));
    }

    [Test]
    public void AxesAndDestinationsThatDoNotFitAreRefused()
    {
        RgbImage image = new(4, 4, new byte[48]);
        ResampleAxis good = new(0, 4, 8, 0, 8);
        BicubicResampler resampler = new();
        ResampleAxis[] bad =
        [
            new(-1, 4, 8, 0, 8), new(1, 4, 8, 0, 8), new(0, 0, 8, 0, 8), new(0, 4, 8, 1, 8), new(0, 4, 8, -1, 4), new(0, 4, 0, 0, 0),
            new(2, int.MaxValue, 8, 0, 8),
        ];
        foreach (ResampleAxis axis in bad)
        {
            Assert.That(() => resampler.Resample(image, axis, good, new byte[192]), Throws.InstanceOf<ArgumentOutOfRangeException>());
            Assert.That(() => resampler.Resample(image, good, axis, new byte[192]), Throws.InstanceOf<ArgumentOutOfRangeException>());
        }
        Assert.That(() => resampler.Resample(image, good, good, new byte[191]), Throws.ArgumentException);
        Assert.That(() => new ImagePreprocessor(0), Throws.InstanceOf<ArgumentOutOfRangeException>());
    }

    [Test]
    public void ImagesOfImpossibleShapeAreRefused()
    {
        Assert.That(() => new RgbImage(0, 4, []), Throws.InstanceOf<ArgumentOutOfRangeException>());
        Assert.That(() => new RgbImage(4, -1, []), Throws.InstanceOf<ArgumentOutOfRangeException>());
        Assert.That(() => new RgbImage(2, 2, new byte[11]), Throws.ArgumentException);
        Assert.That(() => new RgbImage(int.MaxValue, int.MaxValue, new byte[3]), Throws.ArgumentException);
    }

    private static Dictionary<int, long> Taps(int first, IEnumerable<long> weights) =>
        weights.Select((w, t) => (Sample: first + t, Weight: w)).Where(tap => tap.Weight != 0)
            .ToDictionary(tap => tap.Sample, tap => tap.Weight);

    internal static RgbImage Noise(int width, int height, ref SampleRandom random)
    {
        byte[] pixels = new byte[3 * width * height];
        // Extremes are frequent, so that overshoot and clipping happen.
        for (int i = 0; i < pixels.Length; i++) pixels[i] = (byte)Math.Clamp(random.NextInt(512) - 128, 0, 255);
        return new RgbImage(width, height, pixels);
    }

    private static int Pick(ref SampleRandom random) => Sides[random.NextInt(Sides.Length)];

    private static ResampleAxis RandomAxis(int available, ref SampleRandom random)
    {
        int length = 1 + random.NextInt(available), start = random.NextInt(available - length + 1);
        int output = random.NextInt(4) == 0 ? length : Pick(ref random);
        int window = 1 + random.NextInt(output);
        return new ResampleAxis(start, length, output, random.NextInt(output - window + 1), window);
    }

    private static byte[] Square(ImagePreprocessor preprocessor, RgbImage image)
    {
        byte[] square = new byte[preprocessor.OutputBytes];
        preprocessor.Apply(image, square);
        return square;
    }
}
