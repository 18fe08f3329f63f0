using NUnit.Framework;
using Patching.Model;
using Patching.Model.Data;

namespace Patching.Tests.Model.Data;

internal sealed class DatasetCatalogTests
{
    [TestCase("mnist", "MNIST")]
    [TestCase("FASHIONMNIST", "FashionMNIST")]
    [TestCase("cifar10val", "CIFAR10Val")]
    [TestCase("FOLDER:some/Path", "folder:some/Path")]
    public void NamesAreReadWithoutRegardToCase(string given, string canonical) =>
        Assert.That(DatasetCatalog.Canonical(given), Is.EqualTo(canonical));

    [TestCase("MNITS", "MNIST")]
    [TestCase("CIFAR-10", "CIFAR10")]
    [TestCase("Fashion-MNIST", "FashionMNIST")]
    [TestCase("fashonmnistval", "FashionMNISTVal")]
    public void UnknownNamesGetASuggestion(string given, string nearest) =>
        Assert.That(() => DatasetCatalog.Canonical(given),
            Throws.TypeOf<InputException>().With.Message.Contains($"did you mean {nearest}?")
                .And.Message.Contains("Cars, CIFAR10, CIFAR100, DTD, EuroSAT"));

    [Test]
    public void ANameUnlikeAllOthersGetsNone() =>
        Assert.That(() => DatasetCatalog.Canonical("Birdsong"), Throws.TypeOf<InputException>().With.Message.Not.Contains("did you mean"));

    [TestCase(10, 1)]
    [TestCase(57, 5)]
    public void TheValidationSplitHoldsOutATenthOfTheTrainingImages(int count, int held)
    {
        using var root = new TemporaryFolder();
        SyntheticFiles.Mnist(root, "MNIST", "train", count, gzip: false);

        ImageDataset train = DatasetCatalog.Open("mnistVAL", DatasetSplit.Train, root.Path);
        ImageDataset test = DatasetCatalog.Open("MNISTVal", DatasetSplit.Test, root.Path);

        Assert.That((train.Name, train.Count, test.Count), Is.EqualTo(("MNISTVal", count - held, held)));
        IEnumerable<string> all = Enumerable.Range(0, train.Count).Select(train.StoredPath)
            .Concat(Enumerable.Range(0, test.Count).Select(test.StoredPath));
        Assert.That(all, Is.EquivalentTo(Enumerable.Range(0, count).Select(i => $"MNIST/raw/train-images-idx3-ubyte[{i}]")));
        int first = TorchPermutation.Create(count, 0)[0];
        Assert.That((train.Label(0), train.StoredPath(0)), Is.EqualTo((first % 10, $"MNIST/raw/train-images-idx3-ubyte[{first}]")));
        Assert.That(train.Load(0).Pixels[0], Is.EqualTo((byte)(first * 7)));
    }

    [Test]
    public void TheRealValidationSplitIsTheOriginals()
    {
        string data = Repository.Shared("data");
        ImageDataset train = DatasetCatalog.Open("MNISTVal", DatasetSplit.Train, data);
        ImageDataset test = DatasetCatalog.Open("MNISTVal", DatasetSplit.Test, data);
        Assert.That((train.Count, test.Count), Is.EqualTo((55000, 5000)));
        Assert.That(train.Describe(0), Does.EndWith("train-images-idx3-ubyte[36044]"));
        Assert.That(test.Describe(0), Does.EndWith("train-images-idx3-ubyte[30102]"));
    }
}
