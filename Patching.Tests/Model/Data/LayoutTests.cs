using System.Formats.Tar;
using System.IO.Compression;
using NUnit.Framework;
using Patching.Model;
using Patching.Model.Data;

namespace Patching.Tests.Model.Data;

/// <summary>Every data set in every layout it is known to come in, from folders and from archives.</summary>
internal sealed class LayoutTests
{
    [TestCaseSource(typeof(LayoutCases), nameof(LayoutCases.All))]
    public void IsReadFromFoldersAndArchives(LayoutCase layout)
    {
        using var root = new TemporaryFolder();
        layout.Write(root);
        string[] folders = Contents(layout, root);
        int[] expected = [.. layout.Train.Concat(layout.Test).Select(line => int.Parse(line.Split(' ')[0]))];
        Assert.That(folders.Select(line => int.Parse(line.Split(' ')[0])), Is.EqualTo(expected));
        foreach ((string line, string end) in folders.Zip(layout.Train.Concat(layout.Test)))
            Assert.That(line.Split('|')[0], Does.EndWith(end.Split(' ', 2)[1]));

        string archive = DatasetCatalog.Find(layout.Name)!.Archives[0] + "test";
        foreach (string ending in (string[])[".zip", ".tar", ".tgz"])
        {
            using var packed = new TemporaryFolder();
            Pack(root.Path, packed.File(archive + ending));
            Assert.That(Contents(layout, packed), Is.EqualTo(folders), ending);
        }
    }

    [Test]
    public void EveryDataSetHasALayout() => Assert.That(
        LayoutCases.All().Select(one => ((LayoutCase)one.Arguments[0]!).Name).Distinct(), Is.EquivalentTo(DatasetCatalog.Names));

    [Test]
    public void ArchivesMayLieInTheDataSetsFolder()
    {
        using TemporaryFolder plain = new(), root = new();
        LayoutCases.Images(plain, "GTSRB/Training/00007/1.ppm");
        Pack(plain.Path, root.File("gtsrb", "GTSRB-Training_fixed.zip"));
        ImageDataset train = DatasetCatalog.Open("GTSRB", DatasetSplit.Train, root.Path);
        Assert.That(train.StoredPath(0), Is.EqualTo("gtsrb/GTSRB/Training/00007/1.ppm"));
        Assert.That(train.Describe(0),
            Is.EqualTo(Path.Combine(root.Path, "gtsrb", "GTSRB-Training_fixed.zip") + ":GTSRB/Training/00007/1.ppm"));
        Assert.That((train.Count, train.Label(0), train.Load(0).Width), Is.EqualTo((1, 7, 3)));
    }

    [Test]
    public void AnArchiveBesideWhatWasUnpackedFromItIsLeftAlone()
    {
        using var root = new TemporaryFolder();
        LayoutCases.Images(root, "dtd/train/banded/1.jpg");
        LayoutCases.Text(root, "dtd/dtd-r1.0.1.tar.gz", "no archive");
        Assert.That(DatasetCatalog.Open("DTD", DatasetSplit.Train, root.Path).Count, Is.EqualTo(1));
        Assert.That(DatasetCatalog.IsThere(DatasetCatalog.Find("DTD")!, root.Path), Is.True);
        Assert.That(() => DatasetCatalog.Open("DTD", DatasetSplit.Test, root.Path),
            Throws.TypeOf<InputException>().With.Message.Contains("tar.gz: is damaged"));
    }

    [Test]
    public void ArchivesInAnArchiveAreFolders()
    {
        using TemporaryFolder plain = new(), inner = new(), root = new();
        LayoutCases.Images(plain, "a.JPEG", "b.JPEG");
        Pack(plain.Path, inner.File("n01443537.tar"));
        Pack(inner.Path, root.File("imagenet", "ILSVRC2012_img_train.tar"));
        LayoutCases.Images(root, "imagenet/val/n01440764/v.JPEG");
        File.Copy(inner.File("n01443537.tar"), inner.File("n01440764.tar"));
        File.Delete(root.File("imagenet", "ILSVRC2012_img_train.tar"));
        Pack(inner.Path, root.File("imagenet", "ILSVRC2012_img_train.tar"));
        ImageDataset train = DatasetCatalog.Open("ImageNet", DatasetSplit.Train, root.Path);
        Assert.That(Enumerable.Range(0, train.Count).Select(i => $"{train.Label(i)} {train.StoredPath(i)}"), Is.EqualTo(new[]
        {
            "0 imagenet/n01440764/a.JPEG", "0 imagenet/n01440764/b.JPEG", "1 imagenet/n01443537/a.JPEG", "1 imagenet/n01443537/b.JPEG",
        }));
        Assert.That(train.Load(3).Pixels[0], Is.Not.EqualTo(train.Load(2).Pixels[0]));
    }

    [Test]
    public void OfficialValidationImagesAreUsedWhereTheOriginalHasThem()
    {
        using var root = new TemporaryFolder();
        LayoutCases.Images(root, "EuroSAT_splits/train/AnnualCrop/1.jpg", "EuroSAT_splits/val/SeaLake/2.jpg",
            "EuroSAT_splits/test/River/3.jpg");
        ImageDataset train = DatasetCatalog.Open("EuroSATVal", DatasetSplit.Train, root.Path),
            held = DatasetCatalog.Open("eurosatval", DatasetSplit.Test, root.Path);
        Assert.That((train.Name, train.Count, train.Label(0)), Is.EqualTo(("EuroSATVal", 1, 0)));
        Assert.That((held.Name, held.Count, held.Label(0), held.StoredPath(0)),
            Is.EqualTo(("EuroSATVal", 1, 9, "EuroSAT_splits/val/SeaLake/2.jpg")));
        Assert.That(held.Templates, Is.EqualTo(ZeroShotPrompts.For("EuroSAT").Templates));
    }

    [Test]
    public void ImagesWithoutSplitsAreSplitTheSameWayEveryTimeWithANote()
    {
        using var root = new TemporaryFolder();
        for (int i = 0; i < 30; i++) LayoutCases.Images(root, $"eurosat/2750/{(i < 15 ? "Forest" : "River")}/{i:00}.jpg");
        string[][] parts = [
            .. ((string, DatasetSplit)[])[("EuroSAT", DatasetSplit.Train), ("EuroSATVal", DatasetSplit.Test),
            ("EuroSAT", DatasetSplit.Test)]
            is var wanted ? wanted.Select(part => Paths(DatasetCatalog.Open(part.Item1, part.Item2, root.Path))) : []];
        Assert.That(parts.Select(part => part.Length), Is.EqualTo(new[] { 24, 3, 3 }));
        Assert.That(parts.SelectMany(part => part).Distinct().Count(), Is.EqualTo(30));
        Assert.That(DatasetCatalog.Open("EuroSAT", DatasetSplit.Test, root.Path).Notes, Has.Some.Contains("not those of the paper"));
    }

    [Test]
    public void AnIncompleteDataSetKeepsItsClasses()
    {
        using var root = new TemporaryFolder();
        LayoutCases.Images(root, "dtd/train/banded/1.jpg", "dtd/train/unheard-of/1.jpg");
        ImageDataset train = DatasetCatalog.Open("DTD", DatasetSplit.Train, root.Path);
        Assert.That((train.Count, train.ClassNames.Count), Is.EqualTo((1, 47)));
        Assert.That(train.Notes, Has.Some.Contains("no training images of 46 classes ('blotchy'")
            .And.Some.Contains("ignored 1 folder ('unheard-of')"));
    }

    [Test]
    public void PlanesAreTurnedTheRightWay()
    {
        using var root = new TemporaryFolder();
        // Pixel (row 1, column 2) of the green plane, columns first.
        byte[] stl = new byte[3 * 96 * 96];
        stl[(96 * 96) + (2 * 96) + 1] = 200;
        LayoutCases.Bytes(root, "stl10/test_X.bin", stl);
        LayoutCases.Bytes(root, "stl10/test_y.bin", [1]);
        Assert.That(DatasetCatalog.Open("STL10", DatasetSplit.Test, root.Path).Load(0).Pixels[(3 * (96 + 2)) + 1], Is.EqualTo(200));
        byte[] svhn = new byte[2 * 3072];
        svhn[3072 + (2 * 1024) + (5 * 32) + 4] = 100;
        LayoutCases.Bytes(root, "svhn/test_32x32.mat", new MatWriter().Add(MatWriter.Bytes("X", [32, 32, 3, 2], svhn))
            .Add(MatWriter.Bytes("y", [2, 1], [1, 1])).ToArray());
        Assert.That(DatasetCatalog.Open("SVHN", DatasetSplit.Test, root.Path).Load(1).Pixels[(3 * ((4 * 32) + 5)) + 2], Is.EqualTo(100));
    }

    [Test]
    public void SignsAreCutOutWithBlackBeyondTheEdges()
    {
        using var root = new TemporaryFolder();
        SyntheticFiles.Ppm(root.File("mtsd", "images", "p.jpg"), 4, 3, 10, 20, 30);
        LayoutCases.Text(root, "mtsd/annotations/p.json",
            """
            {"ispano":false,"objects":[
              {"label":"a--b--g1","key":"k","bbox":{"xmin":2.5,"ymin":1.5,"xmax":6.4,"ymax":3}},
              {"label":"a--c--g1","key":"far","bbox":{"xmin":9,"ymin":9,"xmax":12,"ymax":12}}]}
            """);
        LayoutCases.Text(root, "mtsd/splits/train.txt", "p\n");
        LayoutCases.Text(root, "mtsd/splits/val.txt", "");
        ImageDataset train = DatasetCatalog.Open("MTSD", DatasetSplit.Train, root.Path);
        // Halves are rounded to even: columns 2 to 6, rows 2 to 3, of which two columns are in the image.
        Assert.That(train.Load(0).Pixels, Is.EqualTo(new byte[] { 10, 20, 30, 10, 20, 30, 0, 0, 0, 0, 0, 0 }));
        Assert.That((train.Load(0).Width, train.ClassNames[0]), Is.EqualTo((4, "b")));
        Assert.That(() => train.Load(1),
            Throws.TypeOf<InputException>().With.Message.Contains("p.jpg[far]: lies outside the image of 4 x 3"));
    }

    [TestCase("DTD", DatasetSplit.Train, 80, 47)]
    [TestCase("DTD", DatasetSplit.Test, 60, 47)]
    [TestCase("GTSRB", DatasetSplit.Train, 344, 43)]
    [TestCase("GTSRB", DatasetSplit.Test, 129, 43)]
    [TestCase("ImageNet", DatasetSplit.Test, 1000, 1000)]
    [TestCase("CIFAR10", DatasetSplit.Test, 2000, 10)]
    public void ReadsTheRealFolders(string name, DatasetSplit split, int count, int classes)
    {
        ImageDataset dataset = DatasetCatalog.Open(name, split, Repository.Shared("data"));
        Assert.That((dataset.Count, dataset.ClassNames.Count), Is.EqualTo((count, classes)));
        if (name == "GTSRB" && split == DatasetSplit.Test) Assert.That((dataset.Label(0), dataset.Label(1), dataset.Label(2)),
            Is.EqualTo((35, 24, 6)));
        if (name == "DTD") Assert.That((dataset.ClassNames[0], dataset.Notes.Count(note => note.Contains("37 classes"))),
            Is.EqualTo(("banded", 1)));
        if (name == "ImageNet") Assert.That(Enumerable.Range(0, 1000).Select(dataset.Label), Is.EqualTo(Enumerable.Range(0, 1000)));
    }

    private static string[] Paths(ImageDataset dataset) => [.. Enumerable.Range(0, dataset.Count).Select(dataset.StoredPath)];

    // Everything that matters of every image, training images first.
    private static string[] Contents(LayoutCase layout, TemporaryFolder root)
    {
        List<string> lines = [];
        foreach ((DatasetSplit split, string[] expected) in ((DatasetSplit, string[])[])[(DatasetSplit.Train, layout.Train),
            (DatasetSplit.Test, layout.Test)])
        {
            if (expected.Length == 0) continue;
            ImageDataset dataset = DatasetCatalog.Open(layout.Name, split, root.Path);
            for (int i = 0; i < dataset.Count; i++)
                lines.Add(
                    $"{dataset.Label(i)} "
                    + $"{dataset.StoredPath(i)}|{Convert.ToHexString(dataset.Stored(i).Bytes.Span)}|{dataset.Load(i).Pixels.Length}");
        }
        return [.. lines];
    }

    /// <summary>Packs what is in a folder into an archive of the kind that its name says.</summary>
    public static void Pack(string folder, string archive, CompressionLevel level = CompressionLevel.Fastest)
    {
        if (archive.EndsWith(".zip", StringComparison.Ordinal))
        {
            ZipFile.CreateFromDirectory(folder, archive, level, includeBaseDirectory: false);
            return;
        }
        if (archive.EndsWith(".tar", StringComparison.Ordinal))
        {
            TarFile.CreateFromDirectory(folder, archive, includeBaseDirectory: false);
            return;
        }
        using GZipStream stream = new(File.Create(archive), CompressionLevel.Fastest);
        TarFile.CreateFromDirectory(folder, stream, includeBaseDirectory: false);
    }
}
