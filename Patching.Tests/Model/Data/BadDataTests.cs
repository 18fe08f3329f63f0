using NUnit.Framework;
using Patching.Model;
using Patching.Model.Data;

namespace Patching.Tests.Model.Data;

/// <summary>Files and folders that cannot be used: each must give one clear line that names what is wrong, and nothing else.</summary>
internal sealed class BadDataTests
{
    private const string Images = "train-images-idx3-ubyte";
    private const string Labels = "train-labels-idx1-ubyte";

    private static readonly byte[] GoodImages = SyntheticFiles.Idx(0x803, [2, 28, 28], new byte[2 * 784]);
    private static readonly byte[] GoodLabels = SyntheticFiles.Idx(0x801, [2], [3, 4]);

    private static IEnumerable<TestCaseData> Idx()
    {
        TestCaseData Case(string what, byte[]? images, byte[]? labels, string message, string ending = "") =>
            new TestCaseData(images, labels, ending, message).SetArgDisplayNames(what);
        yield return Case("no images", null, GoodLabels, Images);
        yield return Case("no labels", GoodImages, null, Labels);
        yield return Case("empty file", [], GoodLabels, "16-byte header");
        yield return Case("half a header", GoodImages[..10], GoodLabels, "16-byte header");
        yield return Case("labels in place of images", [.. GoodLabels, .. new byte[20]], GoodLabels, "begins with 00000801");
        yield return Case("gzip under a raw name", SyntheticFiles.Gzip(GoodImages), GoodLabels, "begins with 1F8B");
        yield return Case("raw under a gzip name", GoodImages, GoodLabels, "damaged gzip", ".gz");
        yield return Case("truncated data", GoodImages[..^1], GoodLabels, "more data than the file can hold|ends after");
        yield return Case("truncated gzip", SyntheticFiles.Gzip(GoodImages)[..^20], SyntheticFiles.Gzip(GoodLabels),
            "damaged gzip|ends after", ".gz");
        yield return Case("corrupt gzip", Corrupt(SyntheticFiles.Gzip(GoodImages)), SyntheticFiles.Gzip(GoodLabels), "damaged gzip", ".gz");
        yield return Case("more data than promised", [.. GoodImages, 0], GoodLabels, "goes on after");
        yield return Case("huge count", SyntheticFiles.Idx(0x803, [uint.MaxValue, 28, 28], new byte[784]), GoodLabels,
            "promises more data");
        yield return Case("product past 64 bits", SyntheticFiles.Idx(0x803, [uint.MaxValue, uint.MaxValue, uint.MaxValue], []), GoodLabels,
            "promises more data");
        yield return Case("huge count in gzip", SyntheticFiles.Gzip(SyntheticFiles.Idx(0x803, [uint.MaxValue, 28, 28], [])), GoodLabels,
            "promises more data", ".gz");
        yield return Case("no images inside", SyntheticFiles.Idx(0x803, [0, 28, 28], []), GoodLabels, "holds nothing");
        yield return Case("fewer labels than images", GoodImages, SyntheticFiles.Idx(0x801, [1], [3]), "1 labels for the 2 images");
        yield return Case("label out of range", GoodImages, SyntheticFiles.Idx(0x801, [2], [3, 10]), "label 1 is 10");
        yield return Case("giant images", SyntheticFiles.Idx(0x803, [1, 1, 2000], new byte[2000]), SyntheticFiles.Idx(0x801, [1], [3]),
            "2000 x 1 pixels");
    }

    [TestCaseSource(nameof(Idx))]
    public void IdxFiles(byte[]? images, byte[]? labels, string ending, string message)
    {
        using var root = new TemporaryFolder();
        if (images is not null) File.WriteAllBytes(root.File("MNIST", "raw", Images + ending), images);
        if (labels is not null) File.WriteAllBytes(root.File("MNIST", "raw", Labels + ending), labels);
        Refuses("MNIST", DatasetSplit.Train, root, message);
    }

    private static IEnumerable<TestCaseData> Pickles()
    {
        TestCaseData Case(string what, byte[]? file, string message) => new TestCaseData(file, message).SetArgDisplayNames(what);
        byte[] good = PickleWriter.Batch(1, 2), pixels = PickleWriter.Pixels(1);
        PickleWriter Begin() => new PickleWriter().Op('}', '(');
        yield return Case("no file", null, "test_batch");
        yield return Case("empty file", [], "not a Python pickle");
        yield return Case("protocol 0", "(dp0\n."u8.ToArray(), "not a Python pickle");
        yield return Case("os.system", new PickleWriter().Global("os", "system").Text("touch /tmp/owned").Raw(0x85).Op('R', '.').ToArray(),
            "'os system'");
        yield return Case("os.system by stack", new PickleWriter(4).Unicode("os").Unicode("system").Raw(0x93).Op('.').ToArray(),
            "'os system'");
        yield return Case("builtins.eval", new PickleWriter().Global("builtins", "eval").Op('.').ToArray(), "'builtins eval'");
        yield return Case("odd letters in a name", new PickleWriter().Global("a\u001bb", "c").Op('.').ToArray(), "'a?b c'");
        yield return Case("opcode OBJ", new PickleWriter().Op('(', 'o', '.').ToArray(), "opcode 0x6F");
        yield return Case("persistent id", new PickleWriter().Text("x").Op('Q', '.').ToArray(), "opcode 0x51");
        yield return Case("cut in the pixels", good[..2000], "ends in the middle");
        yield return Case("cut before the end", good[..^1], "ends in the middle");
        yield return Case("cut in a name", new PickleWriter().Op('c').Raw("numpy"u8.ToArray()).ToArray(), "middle of a name");
        yield return Case("huge length", Begin().Text("data").Op('T').UInt32(uint.MaxValue).ToArray(), "4294967295 bytes are announced");
        yield return Case("unset memo", new PickleWriter().Op('h').Raw(9).Op('.').ToArray(), "memo 9");
        yield return Case("a list inside itself", Begin().Text("data").Op('T').UInt32(3072).Raw(pixels).Text("labels")
            .Op(']', 'q').Raw(1).Op('h').Raw(1).Op('a', 'u', '.').ToArray(), "label 0 is no number");
        yield return Case("a dictionary inside itself", new PickleWriter().Op('}', 'q').Raw(1).Text("data").Op('h').Raw(1).Op('s', '.')
            .ToArray(), "'data' is not");
        yield return Case("empty stack", new PickleWriter().Op('.').ToArray(), "stack runs empty");
        yield return Case("mark underflow", new PickleWriter().Op('u', '.').ToArray(), "a mark is missing");
        yield return Case("taking from below a mark", new PickleWriter().Op('}', '(', 's', '.').ToArray(), "stack runs empty");
        yield return Case("odd dictionary", Begin().Text("data").Op('u', '.').ToArray(), "lacks its value");
        yield return Case("key is a list", Begin().Op(']', 'N', 'u', '.').ToArray(), "key is not text");
        yield return Case("append to a number", new PickleWriter().Int(1).Int(2).Op('a', '.').ToArray(), "not a list");
        yield return Case("a number calls", new PickleWriter().Int(1).Op(')', 'R', '.').ToArray(), "a constructor is called");
        yield return Case("build on a number", new PickleWriter().Int(1).Op(')', 'b', '.').ToArray(), "stored in a way");
        yield return Case("bytes out of nothing", Bomb(), "over and over");
        yield return Case("a list, not a dictionary", new PickleWriter().Op(']', '.').ToArray(), "holds no dictionary");
        yield return Case("a constructor as the result", new PickleWriter().Global("numpy", "ndarray").Op('.').ToArray(),
            "holds no dictionary");
        yield return Case("no data", Begin().Text("labels").Labels(1).Op('u', '.').ToArray(), "no entry 'data'");
        yield return Case("no labels", Begin().Text("data").Array(1, 3072, pixels).Op('u', '.').ToArray(), "no list 'labels'");
        yield return Case("float pixels", Begin().Text("data").Array(1, 3072, pixels, "f4").Text("labels").Labels(1).Op('u', '.')
            .ToArray(), "'data' is not");
        yield return Case("shape larger than data", Begin().Text("data").Array(2, 3072, pixels).Text("labels").Labels(1, 2).Op('u', '.')
            .ToArray(), "'data' is not");
        yield return Case("negative shape", Begin().Text("data").Array(-1, 3072, pixels).Text("labels").Labels(1).Op('u', '.').ToArray(),
            "shape is damaged");
        yield return Case("ragged bytes", Begin().Text("data").Op('T').UInt32(3).Raw(1, 2, 3).Text("labels").Labels(1).Op('u', '.')
            .ToArray(), "3 bytes");
        yield return Case("more labels than images", Begin().Text("data").Array(1, 3072, pixels).Text("labels").Labels(1, 2).Op('u', '.')
            .ToArray(), "2 labels for 1 images");
        yield return Case("label out of range", PickleWriter.Batch(1, 10), "label 1 is 10");
        yield return Case("negative label", PickleWriter.Batch(-1), "label 0 is -1");
    }

    // One text, encoded again for every ten bytes of the file.
    private static byte[] Bomb()
    {
        PickleWriter writer = new PickleWriter().Global("_codecs", "encode").Op('q').Raw(1).Unicode(new string('x', 5000))
            .Unicode("latin1").Raw(0x86).Op('q').Raw(2);
        for (int i = 0; i < 100; i++) writer.Op('h').Raw(1).Op('h').Raw(2).Op('R');
        return writer.Op('.').ToArray();
    }

    [TestCaseSource(nameof(Pickles))]
    public void CifarBatches(byte[]? file, string message)
    {
        using var root = new TemporaryFolder();
        if (file is not null) File.WriteAllBytes(root.File("cifar-10-batches-py", "test_batch"), file);
        Refuses("CIFAR10", DatasetSplit.Test, root, message);
    }

    [Test]
    public void EveryTruncationAndBitFlipOfABatchIsRefusedOrRead()
    {
        using var root = new TemporaryFolder();
        string path = root.File("cifar-10-batches-py", "test_batch");
        byte[] good = PickleWriter.Batch(1);
        var random = new Random(5);
        for (int i = 0; i < 600; i++)
        {
            byte[] bad = [.. good];
            // Most of the file is pixels; aim at the opcodes before and after them.
            int at = random.Next(2) == 0 ? random.Next(160) : good.Length - 1 - random.Next(24);
            bad[at] = (byte)random.Next(256);
            File.WriteAllBytes(path, i % 3 == 0 ? bad[..random.Next(1, bad.Length)] : bad);
            try
            {
                DatasetCatalog.Open("CIFAR10", DatasetSplit.Test, root.Path);
            }
            catch (InputException e)
            {
                Assert.That(e.Message, Does.Contain("test_batch").And.Not.Contains("\n"));
            }
        }
    }

    [TestCase("")]
    [TestCase("folder")]
    [TestCase("MNIST2")]
    [TestCase("Val")]
    public void UnknownNames(string name)
    {
        using var root = new TemporaryFolder();
        Refuses(name, DatasetSplit.Test, root, $"unknown data set '{name}'");
    }

    [TestCase("MNIST", "MNIST/raw")]
    [TestCase("FashionMNISTVal", "FashionMNIST/raw")]
    [TestCase("CIFAR10", "cifar-10-batches-py")]
    [TestCase("GTSRB", "gtsrb")]
    [TestCase("DTD", "dtd")]
    [TestCase("ImageNet", "imagenet")]
    [TestCase("Cars", "stanford_cars/cars_train")]
    [TestCase("KITTIVal", "kitti/raw/training/image_2")]
    [TestCase("SUN397", "sun397/train/a_abbey")]
    public void MissingData(string name, string place)
    {
        using var root = new TemporaryFolder();
        Refuses(name, DatasetSplit.Train, root, place.Replace('/', Path.DirectorySeparatorChar));
        Refuses(name, DatasetSplit.Test, root, place.Replace('/', Path.DirectorySeparatorChar));
    }

    [Test]
    public void TooFewImagesToHoldSomeOut()
    {
        using var root = new TemporaryFolder();
        SyntheticFiles.Mnist(root, "MNIST", "train", 9, gzip: false);
        Refuses("MNISTVal", DatasetSplit.Train, root, "9 training images are too few");
    }

    [Test]
    public void Folders()
    {
        using var root = new TemporaryFolder();
        RefusesFolder("", DatasetSplit.Test, "names no folder");
        RefusesFolder(Path.Combine(root.Path, "nowhere"), DatasetSplit.Test, "does not exist");
        RefusesFolder(root.Folder("empty"), DatasetSplit.Test, "has no class folders");
        SyntheticFiles.Ppm(root.File("loose", "1.ppm"), 1, 1, 1, 1, 1);
        RefusesFolder(root.Folder("loose"), DatasetSplit.Test, "has no class folders");
        root.Folder("hollow", "cat");
        RefusesFolder(root.Folder("hollow"), DatasetSplit.Test, "holds no images");
        RefusesFolder(root.Folder("hollow"), DatasetSplit.Train, "training needs class folders");
        SyntheticFiles.Ppm(root.File("partial", "train", "cat", "1.ppm"), 1, 1, 1, 1, 1);
        root.Folder("partial", "train", "dog");
        RefusesFolder(root.Folder("partial"), DatasetSplit.Train, "1 class folder ('dog')");
        RefusesFolder(root.Folder("partial"), DatasetSplit.Test, "evaluation needs");
        SyntheticFiles.Ppm(root.File("testonly", "test", "cat", "1.ppm"), 1, 1, 1, 1, 1);
        RefusesFolder(root.Folder("testonly"), DatasetSplit.Train, "training needs");
    }

    [TestCase("Filename,ClassId\n1.ppm,3\n", "line 1")]
    [TestCase("Filename;ClassId\n", "names no images")]
    [TestCase("Filename;ClassId\n1.ppm\n", "line 2 has 1 cells")]
    [TestCase("Filename;ClassId\n1.ppm;43\n", "ClassId '43'")]
    [TestCase("Filename;ClassId\n1.ppm;-1\n", "ClassId '-1'")]
    [TestCase("Filename;ClassId\n../../1.ppm;3\n", "no path in its folder")]
    [TestCase("", "line 1")]
    [TestCase(null, "no GT-final_test.csv (the labels) in")]
    public void GtsrbLabels(string? table, string message)
    {
        using var root = new TemporaryFolder();
        root.Folder("gtsrb", "GTSRB", "Final_Test", "Images");
        if (table is not null) File.WriteAllText(root.File("gtsrb", "GT-final_test.csv"), table);
        Refuses("GTSRB", DatasetSplit.Test, root, message);
    }

    private static void RefusesFolder(string path, DatasetSplit split, string message) => Refuses("folder:" + path, split, null, message);

    private static void Refuses(string name, DatasetSplit split, TemporaryFolder? root, string messages)
    {
        InputException? error = Assert.Throws<InputException>(() => DatasetCatalog.Open(name, split, root?.Path ?? ""));
        TestContext.Out.WriteLine(error!.Message);
        Assert.That(messages.Split('|').Any(error.Message.Contains), $"'{error.Message}' does not contain '{messages}'");
        Assert.That(error.Message, Does.Not.Contain("\n"));
        Assert.That(error.Message, Has.Length.GreaterThan(20));
    }

    private static byte[] Corrupt(byte[] gzip)
    {
        // The CRC in front of the 4-byte length at the end.
        gzip[^6] ^= 1;
        return gzip;
    }
}
