using NUnit.Framework;
using Patching.Model;
using Patching.Model.Data;

namespace Patching.Tests.Model.Data;

/// <summary>Data sets that are named by their path: tables, typographic attacks, archives of class folders.</summary>
internal sealed class PathDatasetTests
{
    [Test]
    public void ATableNamesPathsLabelsAndSplits()
    {
        using var root = new TemporaryFolder();
        LayoutCases.Images(root, "pics/a.jpg", "pics/b.jpg", "pics/c.jpg");
        LayoutCases.Text(root, "t.csv",
            "label,path,split\r\nzebra,pics\\a.jpg,train\r\n\"cat, black\",\"pics/b.jpg\",TEST\r\nzebra,pics/c.jpg,val\r\n");
        string name = "csv:" + root.File("t.csv");
        ImageDataset train = DatasetCatalog.Open(name, DatasetSplit.Train, ""), test = DatasetCatalog.Open(name, DatasetSplit.Test, "");
        Assert.That((train.Name, train.Count, train.Label(0), train.StoredPath(0)), Is.EqualTo((name, 1, 1, "pics/a.jpg")));
        Assert.That((test.Count, test.Label(0), test.Load(0).Width), Is.EqualTo((1, 0, 3)));
        Assert.That(test.ClassNames, Is.EqualTo(new[] { "cat, black", "zebra" }));
        Assert.That(test.Templates, Is.EqualTo(ZeroShotPrompts.Default.Templates));
    }

    [Test]
    public void NumbersAreClassesInTheOrderOfNumbers()
    {
        using var root = new TemporaryFolder();
        LayoutCases.Text(root, "t.csv", "file,class\na.jpg,10\nb.jpg,9\n");
        ImageDataset plain = DatasetCatalog.Open("csv:" + root.File("t.csv"), DatasetSplit.Train, "");
        Assert.That((plain.ClassNames[0], plain.Label(0)), Is.EqualTo(("9", 1)));
        LayoutCases.Text(root, "t.classes.txt", string.Concat(Enumerable.Range(0, 11).Select(i => $"class {i}\n")));
        LayoutCases.Text(root, "t.templates.txt", "a drawing of {}.\n");
        ImageDataset named = DatasetCatalog.Open("csv:" + root.File("t.csv"), DatasetSplit.Test, "");
        Assert.That((named.ClassNames[10], named.Label(0), named.Label(1)), Is.EqualTo(("class 10", 10, 9)));
        Assert.That(named.Templates, Is.EqualTo(new[] { "a drawing of {CLASS}." }));
    }

    [Test]
    public void TypographicAttacksHaveALabelAndAWrittenWord()
    {
        using var root = new TemporaryFolder();
        LayoutCases.Images(root, "label=red_fox_text=cat.png", "label=cat_text=cat.png", "label=dog_text=red_fox#2.PNG");
        ImageDataset attacks = DatasetCatalog.Open("typographic:" + root.Path, DatasetSplit.Test, "");
        Assert.That(attacks.ClassNames, Is.EqualTo(new[] { "cat", "dog", "red fox" }));
        Assert.That(Enumerable.Range(0, 3).Select(i => (attacks.Label(i), attacks.WrittenLabel(i))),
            Is.EqualTo(new (int, int?)[] { (0, null), (1, 2), (2, 0) }));
    }

    [Test]
    public void NamesOfFilesNeedNotSpellClassesToTheLetter()
    {
        using var root = new TemporaryFolder();
        LayoutCases.Images(root, "label=T-shirt_top_text=aquarium_fish#3.png");
        LayoutCases.Text(root, "classes.txt", "aquarium_fish\nT-shirt/top\n");
        ImageDataset attacks = DatasetCatalog.Open("typographic:" + root.Path, DatasetSplit.Test, "");
        Assert.That((attacks.Label(0), attacks.WrittenLabel(0)), Is.EqualTo((1, (int?)0)));
    }

    [Test]
    public void TypographicSplitsShareTheirClasses()
    {
        using var root = new TemporaryFolder();
        LayoutCases.Images(root, "train/label=a_text=b.png", "test/label=c_text=d.png");
        ImageDataset train = DatasetCatalog.Open("typographic:" + root.Path, DatasetSplit.Train, ""),
            test = DatasetCatalog.Open("typographic:" + root.Path, DatasetSplit.Test, "");
        Assert.That(train.ClassNames, Is.EqualTo(new[] { "a", "b", "c", "d" }).And.EqualTo(test.ClassNames));
        Assert.That((train.Count, test.Count, test.Label(0), test.WrittenLabel(0)), Is.EqualTo((1, 1, 2, 3)));
    }

    [Test]
    public void TheRealAttacksAreRead()
    {
        ImageDataset attacks = DatasetCatalog.Open("typographic:" + Repository.Shared("data", "typographic_attack_data"),
            DatasetSplit.Test, "");
        Assert.That(attacks.Count, Is.EqualTo(60));
        Assert.That(attacks.ClassNames[attacks.Label(0)], Is.EqualTo("Lhasa"));
        Assert.That(attacks.ClassNames[attacks.WrittenLabel(0)!.Value], Is.EqualTo("mouse"));
        Assert.That(attacks.Load(0).Width, Is.GreaterThan(32));
    }

    [TestCase("pets.zip", "")]
    [TestCase("pets.tar", "wrapped")]
    [TestCase("pets.tgz", "wrapped/twice")]
    public void AnArchiveOfClassFoldersIsAFolder(string archive, string wrapping)
    {
        using TemporaryFolder plain = new(), root = new();
        LayoutCases.Images(plain, Path.Join(wrapping, "train/cat/1.jpg"), Path.Join(wrapping, "train/dog/2.jpg"),
            Path.Join(wrapping, "test/dog/3.jpg"));
        LayoutTests.Pack(plain.Path, root.File(archive));
        ImageDataset train = DatasetCatalog.Open("folder:" + root.File(archive), DatasetSplit.Train, "");
        ImageDataset test = DatasetCatalog.Open("folder:" + root.File(archive), DatasetSplit.Test, "");
        Assert.That((train.Count, test.Count, test.Label(0), test.Load(0).Width), Is.EqualTo((2, 1, 1, 3)));
    }

    [Test]
    public void ACorruptMemberOfAnArchiveIsNamed()
    {
        using TemporaryFolder plain = new(), root = new();
        LayoutCases.Images(plain, "test/cat/1.ppm");
        string archive = root.File("pets.zip");
        LayoutTests.Pack(plain.Path, archive, System.IO.Compression.CompressionLevel.NoCompression);
        byte[] bytes = File.ReadAllBytes(archive);
        // A pixel of the image, which is stored as it is.
        int at = bytes.AsSpan().IndexOf("3 2\n255\n"u8) + 8;
        bytes[at] ^= 1;
        File.WriteAllBytes(archive, bytes);
        ImageDataset test = DatasetCatalog.Open("folder:" + archive, DatasetSplit.Test, "");
        Assert.That(() => test.Load(0),
            Throws.TypeOf<InputException>().With.Message.Contains("pets.zip:test/cat/1.ppm: the archive is damaged here"));
    }

    [Test]
    public void NumpysPermutationsAreReproduced()
    {
        // numpy.random.seed(s); numpy.random.permutation(10)
        Assert.That(new NumpyPermutation(0).Permutation(10), Is.EqualTo(new[] { 2, 8, 4, 9, 1, 6, 7, 3, 0, 5 }));
        Assert.That(new NumpyPermutation(42).Permutation(10), Is.EqualTo(new[] { 8, 1, 5, 0, 7, 2, 9, 4, 3, 6 }));
    }
}
