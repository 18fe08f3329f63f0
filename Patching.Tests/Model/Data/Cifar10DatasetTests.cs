using System.Text;
using NUnit.Framework;
using Patching.Model.Data;
using Patching.Model.Images;

namespace Patching.Tests.Model.Data;

internal sealed class Cifar10DatasetTests
{
    [Test]
    public void ReadsTheFiveTrainingBatchesInOrder()
    {
        using var root = new TemporaryFolder();
        for (int b = 1; b <= 5; b++)
            File.WriteAllBytes(root.File("cifar-10-batches-py", $"data_batch_{b}"), PickleWriter.Batch([.. Enumerable.Repeat(b, b)]));

        ImageDataset dataset = DatasetCatalog.Open("cifar10", DatasetSplit.Train, root.Path);

        Assert.That(dataset.Name, Is.EqualTo("CIFAR10"));
        int[] labels = [1, 2, 2, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5];
        Assert.That(Enumerable.Range(0, dataset.Count).Select(dataset.Label), Is.EqualTo(labels));
        Assert.That(dataset.StoredPath(2), Is.EqualTo("cifar-10-batches-py/data_batch_2[1]"));
        Assert.That(dataset.Describe(14), Does.EndWith("data_batch_5[4]"));
        RgbImage image = dataset.Load(2);
        Assert.That((image.Width, image.Height), Is.EqualTo((32, 32)));
        for (int p = 0; p < 1024; p++)
        {
            for (int c = 0; c < 3; c++)
                Assert.That(image.Pixels[(3 * p) + c], Is.EqualTo((byte)(31 + (c * 1024) + p)), $"pixel {p}, channel {c}");
        }
    }

    private static IEnumerable<TestCaseData> Spellings()
    {
        byte[] pixels = PickleWriter.Pixels(2);
        PickleWriter Begin(byte protocol) => new PickleWriter(protocol).Op('}', '(');
        yield return new TestCaseData(Begin(2).Text("data").Array(2, 3072, pixels).Text("labels").Labels(8, 3).Op('u', '.').ToArray())
            .SetArgDisplayNames("Python 2");
        yield return new TestCaseData(Begin(3).Unicode("data").Array(2, 3072, pixels, bytesOpcode: 'B').Unicode("labels").Labels(8, 3)
            .Op('u', '.').ToArray())
            .SetArgDisplayNames("Python 3, protocol 3");
        yield return new TestCaseData(Begin(4).Unicode("data").Array(2, 3072, pixels, bytesOpcode: 'B', module: "numpy._core.multiarray")
            .Unicode("labels").Labels(8, 3).Op('u', '.').ToArray()).SetArgDisplayNames("numpy 2");
        yield return new TestCaseData(Begin(2).Text("data").Op('T').UInt32((uint)pixels.Length).Raw(pixels).Text("labels").Labels(8, 3)
            .Op('u', '.').ToArray())
            .SetArgDisplayNames("plain bytes");
        // Protocol 2 written by Python 3: bytes travel as Latin-1 text through _codecs.encode.
        yield return new TestCaseData(Begin(2).Unicode("data").Global("_codecs", "encode").Unicode(Encoding.Latin1.GetString(pixels))
            .Unicode("latin1").Raw(0x86).Op('R')
            .Unicode("labels").Labels(8, 3).Op('u', '.').ToArray()).SetArgDisplayNames("Python 3, protocol 2");
        // Framed, with memoised keys and one APPEND per label.
        yield return new TestCaseData(new PickleWriter(4).Raw(0x95, 0, 0, 0, 0, 0, 0, 0, 0).Op('}').Raw(0x94).Op('(').Raw(0x8C, 4)
            .Op("data").Raw(0x94)
            .Array(2, 3072, pixels).Raw(0x8C, 6).Op("labels").Op(']').Raw(0x94).Int(8).Op('a').Raw(0x8A, 1, 3).Op('a').Op('u', '.')
            .ToArray())
            .SetArgDisplayNames("protocol 4 frame and memo");
    }

    [TestCaseSource(nameof(Spellings))]
    public void ReadsEverySpellingOfABatch(byte[] file)
    {
        using var root = new TemporaryFolder();
        File.WriteAllBytes(root.File("cifar-10-batches-py", "test_batch"), file);
        ImageDataset dataset = DatasetCatalog.Open("CIFAR10", DatasetSplit.Test, root.Path);
        Assert.That((dataset.Count, dataset.Label(0), dataset.Label(1)), Is.EqualTo((2, 8, 3)));
        RgbImage image = dataset.Load(1);
        Assert.That(image.Pixels[..6], Is.EqualTo(new byte[] { 31, 31, 31, 32, 32, 32 }));
        Assert.That(image.Pixels[^1], Is.EqualTo(unchecked((byte)(31 + 3071))));
    }

    [TestCase(DatasetSplit.Train, "data_batch_1[0]")]
    [TestCase(DatasetSplit.Test, "test_batch[0]")]
    public void ReadsTheRealFiles(DatasetSplit split, string first)
    {
        ImageDataset dataset = DatasetCatalog.Open("CIFAR10", split, Repository.Shared("data"));
        Assert.That(dataset.Count, Is.EqualTo(split == DatasetSplit.Train ? 5000 : 2000));
        Assert.That(dataset.Describe(0), Does.EndWith(first));
        int[] labels = split == DatasetSplit.Train ? [5, 9, 3, 8, 0] : [7, 4, 2, 8, 5];
        Assert.That(Enumerable.Range(0, 5).Select(dataset.Label), Is.EqualTo(labels));
        Assert.That(Enumerable.Range(0, dataset.Count).GroupBy(dataset.Label).Count(), Is.EqualTo(10));
    }
}
