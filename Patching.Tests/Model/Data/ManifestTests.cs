using NUnit.Framework;
using Patching.Model;
using Patching.Model.Data;

namespace Patching.Tests.Model.Data;

internal sealed class ManifestTests
{
    private TemporaryFolder root = null!;

    private string Target => Path.Combine(root.Path, "m", "dtd.manifest");

    [SetUp]
    public void WriteDataSet()
    {
        root = new TemporaryFolder();
        LayoutCases.Images(root, "dtd/train/banded/1.jpg", "dtd/train/lined/2.jpg", "dtd/val/lined/3.jpg", "dtd/val/banded/4.jpg");
    }

    [TearDown]
    public void RemoveFolder() => root.Dispose();

    [Test]
    public void NamesTheImagesOfBothSplits()
    {
        Write();
        Assert.That(File.ReadAllLines(Target).Skip(1).Select(line => line.Split('\t'))
            .Select(cells => $"{cells[0]} {cells[1]} {cells[3]}"), Is.EqualTo(new[]
        {
            "train 0 dtd/train/banded/1.jpg", "train 22 dtd/train/lined/2.jpg", "test 0 dtd/val/banded/4.jpg",
                "test 22 dtd/val/lined/3.jpg",
        }));
        ImageDataset train = Open(DatasetSplit.Train), whole = DatasetCatalog.Open("DTD", DatasetSplit.Train, root.Path);
        Assert.That((train.Name, train.Count, train.Label(1), train.StoredPath(1)),
            Is.EqualTo(("manifest:" + Target, 2, 22, "dtd/train/lined/2.jpg")));
        Assert.That(train.Load(1).Pixels, Is.EqualTo(whole.Load(1).Pixels));
        Assert.That((train.ClassNames, train.Templates), Is.EqualTo((whole.ClassNames, whole.Templates)));
        string sha = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData(File.ReadAllBytes(Target)));
        Assert.That((train.ManifestSha256, Open(DatasetSplit.Test).ManifestSha256, whole.ManifestSha256),
            Is.EqualTo((sha, sha, (string?)null)));
        string first = File.ReadAllText(Target);
        Assert.That(() => Write(), Throws.TypeOf<InputException>().With.Message.Contains("is there already"));
        Write(overwrite: true);
        Assert.That(File.ReadAllText(Target), Is.EqualTo(first), "the same on every run");
    }

    [Test]
    public void LinesMayBeTakenOutAndReordered()
    {
        Write();
        string[] lines = File.ReadAllLines(Target);
        File.WriteAllLines(Target, [lines[0], lines[4], lines[3]]);
        ImageDataset test = Open(DatasetSplit.Test);
        Assert.That((test.Count, test.StoredPath(0), test.Label(0)), Is.EqualTo((2, "dtd/val/lined/3.jpg", 22)));
        Assert.That(() => Open(DatasetSplit.Train), Throws.TypeOf<InputException>().With.Message.Contains("names no images for training"));
    }

    [Test]
    public void AChangedImageIsRefusedWhenItIsLoaded()
    {
        Write();
        ImageDataset test = Open(DatasetSplit.Test);
        SyntheticFiles.Ppm(root.File("dtd", "val", "lined", "3.jpg"), 3, 2, 99, 98, 97);
        Assert.That(test.Load(0).Width, Is.EqualTo(3));
        Assert.That(() => test.Load(1), Throws.TypeOf<InputException>().With.Message.Contains("3.jpg: is not the image that line 5 of"));
    }

    [Test]
    public void TheSameManifestFitsTheArchive()
    {
        Write();
        using var packed = new TemporaryFolder();
        LayoutTests.Pack(root.Path, packed.File("dtd.zip"));
        ImageDataset test = DatasetCatalog.Open("manifest:" + Target, DatasetSplit.Test, packed.Path);
        Assert.That((test.Count, test.Load(1).Width), Is.EqualTo((2, 3)));
    }

    [TestCase(0, "nonsense", "line 1 is not the beginning of a manifest")]
    [TestCase(0, """{"manifest":2,"dataset":"DTD","classes":["a"],"templates":["{CLASS}"]}""", "line 1 is not the beginning")]
    [TestCase(1, "train 0 0 path", "line 2 is not split, label, hash and path")]
    [TestCase(1, "dev\t0\t00000000000000000000000000000000\tx", "line 2 has the split 'dev'")]
    [TestCase(1, "train\t47\t00000000000000000000000000000000\tx", "line 2 has the label '47'")]
    [TestCase(1, "train\t0\t00000000000000000000000000000000\tdtd/train/banded/9.jpg",
        "line 2 names dtd/train/banded/9.jpg, which DTD does not have here")]
    [TestCase(1, "train\t1\t00000000000000000000000000000000\tdtd/train/banded/1.jpg", "line 2 is of the class 'blotchy'")]
    public void DamageIsSaidInALine(int line, string text, string message)
    {
        Write();
        string[] lines = File.ReadAllLines(Target);
        lines[line] = text;
        File.WriteAllLines(Target, lines);
        Assert.That(() => Open(DatasetSplit.Train), Throws.TypeOf<InputException>().With.Message.StartsWith(Target + ": ")
            .And.Message.Contains(message));
    }

    [Test]
    public void WithoutImagesThereIsNone()
    {
        Write();
        File.WriteAllLines(Target, File.ReadAllLines(Target)[..1]);
        Assert.That(() => Open(DatasetSplit.Train), Throws.TypeOf<InputException>().With.Message.Contains("names no images"));
        File.Delete(Target);
        Assert.That(() => Open(DatasetSplit.Train), Throws.TypeOf<InputException>().With.Message.Contains("no such file"));
    }

    private ImageDataset Open(DatasetSplit split) => DatasetCatalog.Open("manifest:" + Target, split, root.Path);

    private void Write(bool overwrite = false) => Manifest.Write(
        Target, "DTD",
            [.. ((DatasetSplit[])[DatasetSplit.Train, DatasetSplit.Test])
            .Select(split => (split, DatasetCatalog.Open("DTD", split, root.Path)))], overwrite);
}
