using NUnit.Framework;
using Patching.Model;
using Patching.Model.Data;

namespace Patching.Tests.Model.Data;

internal sealed class FolderDatasetTests
{
    [Test]
    public void ReadsSplitsWithClassesInOrdinalOrder()
    {
        using var root = new TemporaryFolder();
        SyntheticFiles.Ppm(root.File("train", "Zebra_fish", "b.ppm"), 2, 3, 1, 2, 3);
        SyntheticFiles.Png(root.File("train", "Zebra_fish", "a.PNG"), 4, 5, 10, 20, 30);
        SyntheticFiles.Ppm(root.File("train", "ant", "deep", "er", "x.PpM"), 1, 1, 7, 8, 9);
        SyntheticFiles.Ppm(root.File("test", "Zebra_fish", "t.ppm"), 1, 1, 4, 5, 6);
        SyntheticFiles.Ppm(root.File("val", "ant", "v.ppm"), 1, 1, 4, 5, 6);

        ImageDataset train = DatasetCatalog.Open("folder:" + root.Path, DatasetSplit.Train, "");
        ImageDataset test = DatasetCatalog.Open("Folder:" + root.Path, DatasetSplit.Test, "");

        Assert.That(train.Name, Is.EqualTo("folder:" + root.Path));
        Assert.That(test.Name, Is.EqualTo(train.Name));
        Assert.That(train.ClassNames, Is.EqualTo(new[] { "Zebra fish", "ant" }));
        Assert.That(Enumerable.Range(0, train.Count).Select(train.Label), Is.EqualTo(new[] { 0, 0, 1 }));
        Assert.That(train.Load(2).Pixels, Is.EqualTo(new byte[] { 7, 8, 9 }));
        Assert.That((train.Load(0).Width, train.Load(0).Height), Is.EqualTo((4, 5)));
        Assert.That(train.Load(0).Pixels[..3], Is.EqualTo(new byte[] { 10, 20, 30 }));
        Assert.That(train.Describe(1), Is.EqualTo(Path.Combine(root.Path, "train", "Zebra_fish", "b.ppm")));
        Assert.That(train.Notes, Is.Empty);
        // The class that the test split lacks keeps its label, and the user is told.
        Assert.That(test.ClassNames, Is.EqualTo(train.ClassNames));
        Assert.That((test.Count, test.Label(0)), Is.EqualTo((1, 0)));
        Assert.That(test.Notes, Has.Count.EqualTo(1).And.One.Contains("'ant'"));
    }

    [Test]
    public void EvaluatesValWhereThereIsNoTest()
    {
        using var root = new TemporaryFolder();
        SyntheticFiles.Ppm(root.File("train", "a", "1.ppm"), 1, 1, 1, 1, 1);
        SyntheticFiles.Ppm(root.File("val", "a", "2.ppm"), 1, 1, 2, 2, 2);
        Assert.That(DatasetCatalog.Open("folder:" + root.Path, DatasetSplit.Test, "").Load(0).Pixels[0], Is.EqualTo(2));
    }

    [Test]
    public void AFolderOfClassesCanBeEvaluatedAndTrainedOnOnlyWhenItIsCalledTrain()
    {
        using var root = new TemporaryFolder();
        SyntheticFiles.Ppm(root.File("pets", "train", "cat", "1.ppm"), 1, 1, 1, 1, 1);
        SyntheticFiles.Ppm(root.File("flat", "cat", "1.ppm"), 1, 1, 1, 1, 1);
        string flat = "folder:" + root.Folder("flat"), train = "folder:" + root.Folder("pets", "train") + "/";

        Assert.That(DatasetCatalog.Open(flat, DatasetSplit.Test, "").Count, Is.EqualTo(1));
        Assert.That(() => DatasetCatalog.Open(flat, DatasetSplit.Train, ""), Throws.TypeOf<InputException>()
            .With.Message.Contains(Path.Combine("flat", "train")));
        Assert.That(DatasetCatalog.Open(train, DatasetSplit.Train, "").Count, Is.EqualTo(1));
        Assert.That(DatasetCatalog.Open(train, DatasetSplit.Test, "").Count, Is.EqualTo(1));
    }

    [Test]
    public void IgnoresHiddenFilesAndCountsStrangers()
    {
        using var root = new TemporaryFolder();
        SyntheticFiles.Ppm(root.File("cat", "1.ppm"), 1, 1, 1, 1, 1);
        SyntheticFiles.Ppm(root.File("cat", "._1.ppm"), 1, 1, 1, 1, 1);
        SyntheticFiles.Ppm(root.File(".cache", "1.ppm"), 1, 1, 1, 1, 1);
        File.WriteAllText(root.File("cat", "readme.txt"), "x");
        File.WriteAllText(root.File("readme.txt"), "x");
        ImageDataset dataset = DatasetCatalog.Open("folder:" + root.Path, DatasetSplit.Test, "");
        Assert.That((dataset.Count, dataset.ClassNames.Count), Is.EqualTo((1, 1)));
        Assert.That(dataset.Notes, Has.Count.EqualTo(1).And.One.Contains("readme.txt"));
    }
}
