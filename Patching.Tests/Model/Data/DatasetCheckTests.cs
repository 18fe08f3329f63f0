using System.Security.Cryptography;
using System.Text.Json;
using NUnit.Framework;
using Patching.Model;
using Patching.Model.Data;
using Patching.Model.Data.Check;

namespace Patching.Tests.Model.Data;

internal sealed class DatasetCheckTests
{
    [Test]
    public void CountsAndNamesWhatCannotBeRead()
    {
        using var root = new TemporaryFolder();
        LayoutCases.Images(root, "EuroSAT_splits/train/Forest/1.jpg", "EuroSAT_splits/train/River/2.jpg", "EuroSAT_splits/val/River/3.jpg");
        LayoutCases.Bytes(root, "EuroSAT_splits/train/River/0.jpg", "P6\n3 2\n255\nshort"u8.ToArray());
        LayoutCases.Bytes(root, "EuroSAT_splits/train/River/9.png", []);
        DatasetFinding finding = new DatasetCheck(root.Path, 2).Check("eurosat");
        Assert.That(finding.Splits.Select(split => split.Split),
            Is.EqualTo(new[] { DatasetSplit.Train, DatasetSplit.Test, DatasetSplit.Validation }));
        SplitFinding train = finding.Splits[0], test = finding.Splits[1], validation = finding.Splits[2];
        Assert.That((train.Images, train.Expected, train.Classes, train.AllClasses, train.Usable), Is.EqualTo((4, 21600, 2, 10, false)));
        Assert.That(train.Unreadable, Has.Count.EqualTo(2));
        Assert.That(train.Unreadable[0], Does.Contain("0.jpg"));
        Assert.That(train.Unreadable[1], Does.Contain("9.png: the image file is empty"));
        Assert.That(test.Problem, Does.Contain("no folder test in"));
        Assert.That(test.Usable, Is.False);
        Assert.That((validation.Images, validation.Usable), Is.EqualTo((1, true)));
        Assert.That(new DatasetCheck(root.Path, 1) { Decode = false }.Check("EuroSAT").Splits[0].Usable, Is.True);
        Assert.That(() => new DatasetCheck(root.Path, 1).Check("Moon"), Throws.TypeOf<InputException>());
    }

    [Test]
    public void ImagesOfTheUsersOwnNeedOnlyOneSplit()
    {
        using var root = new TemporaryFolder();
        LayoutCases.Images(root, "flat/cat/1.jpg");
        DatasetCheck check = new(root.Path, 1);
        DatasetFinding flat = check.Check("folder:" + root.Folder("flat")), none = check.Check("folder:" + root.Folder("empty"));
        Assert.That(flat.Splits.Select(split => (split.Usable, split.Problem is null)), Is.EqualTo(new[] { (true, false), (true, true) }));
        Assert.That(none.Splits.Select(split => split.Usable), Is.EqualTo(new[] { false, false }));
    }

    [Test]
    public void FindsImagesInTrainingAndEvaluation()
    {
        using var root = new TemporaryFolder();
        SyntheticFiles.Ppm(root.File("a", "train", "cat", "1.ppm"), 4, 3, 9, 8, 7);
        SyntheticFiles.Ppm(root.File("a", "train", "dog", "2.ppm"), 4, 3, 1, 1, 1);
        SyntheticFiles.Ppm(root.File("a", "train", "dog", "3.ppm"), 3, 4, 5, 5, 5);
        // The same pixels in another format, the same bytes in another class, the same colour in another shape, and twins in one split.
        SyntheticFiles.Png(root.File("a", "test", "cat", "1.png"), 4, 3, 9, 8, 7);
        SyntheticFiles.Ppm(root.File("a", "test", "cat", "2.ppm"), 4, 3, 1, 1, 1);
        SyntheticFiles.Ppm(root.File("a", "test", "dog", "3.ppm"), 4, 3, 5, 5, 5);
        SyntheticFiles.Ppm(root.File("a", "test", "dog", "4.ppm"), 4, 3, 5, 5, 5);
        LayoutCases.Bytes(root, "a/train/dog/5.ppm", []);
        LayoutCases.Bytes(root, "a/test/dog/5.ppm", []);
        // And in another data set.
        SyntheticFiles.Ppm(root.File("b", "test", "cat", "7.ppm"), 3, 4, 5, 5, 5);
        DuplicateSearch search = new();
        DatasetCheck check = new(root.Path, 2) { Duplicates = search };
        check.Check("folder:" + root.Folder("a"));
        check.Check("folder:" + root.Folder("b"));
        string At(params string[] parts) => Path.Combine([root.Path, .. parts]);
        Assert.That(search.Find(), Is.EqualTo(new[]
        {
            new DuplicateImage(At("a", "train", "cat", "1.ppm"), At("a", "test", "cat", "1.png"), true),
            new DuplicateImage(At("a", "train", "dog", "2.ppm"), At("a", "test", "cat", "2.ppm"), false),
            new DuplicateImage(At("a", "train", "dog", "3.ppm"), At("b", "test", "cat", "7.ppm"), false),
        }));
    }

    [Test]
    public void OddImagesAreReadAsPillowDoes()
    {
        // CMYK, EXIF rotation, palettes, 16 bits, progressive JPEG, GIF, BMP, PPM, with endings in capitals, all in one class.
        using var root = new TemporaryFolder();
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllBytes(Repository.Shared("golden", "preprocess", "preprocess.json")));
        Dictionary<string, string> hashes = [];
        foreach (JsonElement image in golden.RootElement.EnumerateArray())
        {
            // Sources come again, without the hash, for every other size that is expected of them.
            if (!image.TryGetProperty("decoded_rgb_sha256", out JsonElement hash)) continue;
            string name = image.GetProperty("file").GetString()!;
            string target = Path.GetFileNameWithoutExtension(name) + Path.GetExtension(name).ToUpperInvariant();
            hashes[$"dtd/val/banded/{target}"] = hash.GetString()!;
            File.Copy(Repository.Shared("golden", "preprocess", "src", name), root.File("dtd", "val", "banded", target));
        }
        ImageDataset dataset = DatasetCatalog.Open("DTD", DatasetSplit.Test, root.Path);
        Assert.That(dataset.Count, Is.EqualTo(hashes.Count));
        for (int i = 0; i < dataset.Count; i++)
            Assert.That(Convert.ToHexStringLower(SHA256.HashData(dataset.Load(i).Pixels)), Is.EqualTo(hashes[dataset.StoredPath(i)]),
                dataset.StoredPath(i));
    }
}
