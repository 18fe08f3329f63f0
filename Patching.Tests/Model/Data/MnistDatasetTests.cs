using NUnit.Framework;
using Patching.Model.Data;
using Patching.Model.Images;

namespace Patching.Tests.Model.Data;

internal sealed class MnistDatasetTests
{
    [TestCase("MNIST", "train", DatasetSplit.Train, 3, true)]
    [TestCase("MNIST", "t10k", DatasetSplit.Test, 12, false)]
    [TestCase("FashionMNIST", "train", DatasetSplit.Train, 1, false)]
    [TestCase("FashionMNIST", "t10k", DatasetSplit.Test, 1, true)]
    public void ReadsImagesAndLabelsInOrder(string name, string prefix, DatasetSplit split, int count, bool gzip)
    {
        using var root = new TemporaryFolder();
        SyntheticFiles.Mnist(root, name, prefix, count, gzip);

        ImageDataset dataset = DatasetCatalog.Open(name, split, root.Path);

        Assert.That(dataset.Name, Is.EqualTo(name));
        Assert.That(dataset.Count, Is.EqualTo(count));
        Assert.That(dataset.ClassNames, Has.Count.EqualTo(10));
        for (int i = 0; i < count; i++)
        {
            RgbImage image = dataset.Load(i);
            Assert.That(dataset.Label(i), Is.EqualTo(i % 10));
            Assert.That((image.Width, image.Height), Is.EqualTo((28, 28)));
            Assert.That(image.Pixels, Is.EqualTo(Enumerable.Range(0, 28 * 28 * 3).Select(p => (byte)((i * 7) + (p / 3)))));
        }
        Assert.That(dataset.Describe(count - 1), Does.EndWith($"{prefix}-images-idx3-ubyte[{count - 1}]"));
    }

    [Test]
    public void KeepsTheSidesOfImagesThatAreNotSquare()
    {
        using var root = new TemporaryFolder();
        SyntheticFiles.Mnist(root, "MNIST", "train", 2, gzip: false, rows: 3, columns: 5);
        RgbImage image = DatasetCatalog.Open("MNIST", DatasetSplit.Train, root.Path).Load(1);
        Assert.That((image.Width, image.Height, image.Pixels[0], image.Pixels[^1]), Is.EqualTo((5, 3, (byte)7, (byte)21)));
    }

    [Test]
    public void PrefersTheUnpackedFileLikeTorchvision()
    {
        using var root = new TemporaryFolder();
        SyntheticFiles.Mnist(root, "MNIST", "train", 2, gzip: true);
        SyntheticFiles.Mnist(root, "MNIST", "train", 5, gzip: false);
        Assert.That(DatasetCatalog.Open("MNIST", DatasetSplit.Train, root.Path).Count, Is.EqualTo(5));
    }

    [TestCase("MNIST", DatasetSplit.Train, 60000, new[] { 5, 0, 4, 1, 9, 2, 1, 3, 1, 4 })]
    [TestCase("MNIST", DatasetSplit.Test, 10000, new[] { 7, 2, 1, 0, 4, 1, 4, 9, 5, 9 })]
    [TestCase("FashionMNIST", DatasetSplit.Train, 60000, new[] { 9, 0, 0, 3, 0, 2, 7, 2, 5, 5 })]
    [TestCase("FashionMNIST", DatasetSplit.Test, 10000, new[] { 9, 2, 1, 1, 6, 1, 4, 6, 5, 7 })]
    public void ReadsTheRealFiles(string name, DatasetSplit split, int count, int[] firstLabels)
    {
        ImageDataset dataset = DatasetCatalog.Open(name, split, Repository.Shared("data"));
        Assert.That(dataset.Count, Is.EqualTo(count));
        Assert.That(Enumerable.Range(0, firstLabels.Length).Select(dataset.Label), Is.EqualTo(firstLabels));
        Assert.That(Enumerable.Range(0, count).GroupBy(dataset.Label).Count(), Is.EqualTo(10));
    }

    [Test]
    public void TheFirstRealDigitHasItsKnownPixels()
    {
        // Row 5 of the first training image, a five, starts its stroke with these values (columns 12 to 17).
        RgbImage image = DatasetCatalog.Open("MNIST", DatasetSplit.Train, Repository.Shared("data")).Load(0);
        byte[] stroke = [3, 18, 18, 18, 126, 136];
        Assert.That(Enumerable.Range(12, 6).Select(x => image.Pixels[3 * ((5 * 28) + x)]), Is.EqualTo(stroke));
    }
}
