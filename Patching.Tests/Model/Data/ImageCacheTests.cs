using System.Security.Cryptography;
using NUnit.Framework;
using Patching.Model;
using Patching.Model.Data;
using Patching.Model.Images;

namespace Patching.Tests.Model.Data;

[CancelAfter(30_000)]
internal sealed class ImageCacheTests
{
    private const int Size = 16;

    private TemporaryFolder root = null!;
    private List<string> notes = null!;

    private static BatchOptions Options => new(4, Size) { Workers = 2 };

    private string CacheFolder => Path.Combine(root.Path, "cache");

    [SetUp]
    public void WritePictures()
    {
        root = new TemporaryFolder();
        notes = [];
        Random random = new(1);
        for (int i = 0; i < 11; i++)
        {
            foreach (string split in new[] { "train", "val" })
                WriteNoise(root.File("data", split, i % 2 == 0 ? "cat" : "dog", $"{i}.ppm"), 20 + (i % 3), 17 + i, random);
        }
    }

    [TearDown]
    public void Remove() => root.Dispose();

    [TestCase(true)]
    [TestCase(false)]
    public void BatchesAreTheSameWithAndWithoutACacheAndNothingIsDecodedTwice(bool training)
    {
        string[] expected = Pass(Open(training), training);
        for (int run = 0; run < 2; run++)
        {
            using ImageCache cache = new(CacheFolder, notes.Add);
            CountedDataset counted = new(Open(training));
            ImageDataset cached = training ? cache.ForTraining(counted, Options) : cache.ForEvaluation(counted, Options);
            Assert.That(counted.Loads, Is.EqualTo(run == 0 ? 11 : 0), "images decoded to fill the cache");
            for (int repeat = 0; repeat < 2; repeat++) Assert.That(Pass(cached, training), Is.EqualTo(expected));
            Assert.That(counted.Loads, Is.EqualTo(run == 0 ? 11 : 0), "images decoded altogether");
            Assert.That((cached.Name, cached.ClassNames, cached.Count), Is.EqualTo((counted.Name, counted.ClassNames, counted.Count)));
        }
        Assert.That(notes, Is.Empty);
        Assert.That(Directory.GetFiles(CacheFolder, "*.tmp"), Is.Empty);
    }

    [Test]
    public void EveryPreprocessingHasItsOwnFile()
    {
        BatchOptions[] all = [Options, Options with { ImageSize = 8 }, Options with { Resize = ResizeMode.Squash }, Options with { ReducedJpeg = true }];
        foreach (BatchOptions options in all)
        {
            using ImageCache cache = new(CacheFolder);
            Assert.That(Pass(cache.ForEvaluation(Open(false), options), false, options), Is.EqualTo(Pass(Open(false), false, options)));
        }
        Assert.That(CacheFiles(), Has.Length.EqualTo(all.Length));
    }

    [Test]
    public void ACacheOfAnotherPreprocessingIsNotUsed()
    {
        using ImageCache cache = new(CacheFolder);
        ImageDataset squares = cache.ForEvaluation(Open(false), Options);
        BatchOptions squash = Options with { Resize = ResizeMode.Squash };
        Assert.That(Pass(squares, false, squash), Is.EqualTo(Pass(Open(false), false, squash)));
        Assert.That(Pass(squares, true), Is.EqualTo(Pass(Open(false), true)));
    }

    [Test]
    public void AChangedImageMakesAnotherFile()
    {
        Fill();
        string changed = root.File("data", "val", "cat", "0.ppm");
        WriteNoise(changed, 20, 17, new Random(2));
        File.SetLastWriteTimeUtc(changed, DateTime.UtcNow.AddSeconds(5));
        Assert.That(Fill(), Is.EqualTo(Pass(Open(false), false)));
        Assert.That(CacheFiles(), Has.Length.EqualTo(2));
    }

    public static IEnumerable<TestCaseData> Damages()
    {
        yield return Damage("empty", _ => [], "truncated");
        yield return Damage("three bytes", bytes => bytes[..3], "truncated");
        yield return Damage("header cut", bytes => bytes[..50], "truncated");
        yield return Damage("index cut", bytes => bytes[..100], "truncated");
        yield return Damage("last byte missing", bytes => bytes[..^1], "truncated");
        yield return Damage("a byte too many", bytes => [.. bytes, 0], "truncated");
        yield return Damage("another version", bytes => With(bytes, 8), "another version");
        yield return Damage("another key", bytes => With(bytes, 40), "other images");
        yield return Damage("another count", bytes => With(bytes, 24), "damaged");
        yield return Damage("index changed", bytes => With(bytes, 64 + 24 + 9), "damaged");
        yield return Damage("offset far away", bytes => With(bytes, 64 + 6), "damaged");
        yield return Damage("checksum of the head changed", bytes => With(bytes, 12), "damaged");
    }

    [TestCaseSource(nameof(Damages))]
    public void ADamagedFileIsMadeAgainAndSaidSoInOneLine(Func<byte[], byte[]> damage, string word)
    {
        string[] expected = Fill();
        string path = CacheFiles().Single();
        byte[] intact = File.ReadAllBytes(path);
        File.WriteAllBytes(path, damage(intact));
        Assert.That(Fill(), Is.EqualTo(expected));
        Assert.That(notes.Single(), Does.StartWith(path).And.Contains(word).And.Not.Contains("\n"));
        Assert.That(File.ReadAllBytes(path).Length, Is.EqualTo(intact.Length));
        Assert.That(Fill(), Is.EqualTo(expected));
        Assert.That(notes, Has.Count.EqualTo(1), "nothing to say about the new file");
    }

    [Test]
    public void DamagedPixelsAreDecodedAgainAndTheFileGoes()
    {
        string[] expected = Fill();
        string path = CacheFiles().Single();
        byte[] bytes = File.ReadAllBytes(path);
        File.WriteAllBytes(path, With(bytes, bytes.Length - 1));
        Assert.That(Fill(), Is.EqualTo(expected));
        Assert.That(notes.Single(), Does.StartWith(path).And.Contains("1 damaged image"));
        Assert.That(CacheFiles(), Is.Empty);
    }

    [Test]
    public void AFileOfAnotherKindIsRefusedAndKept()
    {
        Fill();
        string path = CacheFiles().Single();
        File.WriteAllText(path, "my only copy of a letter");
        Assert.That(Fill, Throws.TypeOf<InputException>().With.Message.StartsWith(path).And.Message.Contains("move it away"));
        Assert.That(File.ReadAllText(path), Is.EqualTo("my only copy of a letter"));
    }

    [Test]
    public void UnreadableImagesMeetTheSameErrorAsWithoutACache()
    {
        File.WriteAllBytes(root.File("data", "val", "dog", "1.ppm"), "P6\n8 8\n255\nshort"u8.ToArray());
        string expected = Assert.Throws<InputException>(() => Pass(Open(false), false))!.Message;
        for (int run = 0; run < 2; run++) Assert.That(Fill, Throws.TypeOf<InputException>().With.Message.EqualTo(expected));
        BatchOptions lenient = Options with { SkipBadImages = true };
        using ImageCache cache = new(CacheFolder);
        Assert.That(Pass(cache.ForEvaluation(Open(false), lenient), false, lenient), Is.EqualTo(Pass(Open(false), false, lenient)));
    }

    [Test]
    public void ManyAtOnceFillAFileOnce()
    {
        CountedDataset counted = new(Open(false));
        string[] expected = Pass(Open(false), false);
        List<string>[] said = [[], [], [], []];
        Parallel.For(0, said.Length, new ParallelOptions { MaxDegreeOfParallelism = said.Length }, i =>
        {
            using ImageCache cache = new(CacheFolder, said[i].Add);
            Assert.That(Pass(cache.ForEvaluation(counted, Options), false), Is.EqualTo(expected));
        });
        Assert.That(counted.Loads, Is.EqualTo(11));
        Assert.That(said.SelectMany(lines => lines), Has.All.Contains("another process"));
    }

    [Test]
    public void CancellingLeavesNoFile()
    {
        using CancellationTokenSource cancellation = new();
        CountedDataset counted = new(Open(false), afterLoad: cancellation.Cancel);
        using ImageCache cache = new(CacheFolder);
        Assert.That(() => cache.ForEvaluation(counted, Options, cancellation.Token), Throws.InstanceOf<OperationCanceledException>());
        Assert.That(Directory.GetFiles(CacheFolder).Select(Path.GetExtension), Is.EqualTo(new[] { ".lock" }));
    }

    [Test]
    public void ProgressEndsWithAllImages()
    {
        List<(string, long, long)> reports = [];
        using ImageCache cache = new(CacheFolder, progress: (what, done, total) => reports.Add((what, done, total)));
        ImageDataset dataset = Open(false);
        cache.ForEvaluation(dataset, Options);
        Assert.That(reports[^1], Is.EqualTo(($"cache {dataset.Name}", 11L, 11L)));
    }

    [Test]
    public void AFolderThatCannotBeMadeIsNamed()
    {
        File.WriteAllText(CacheFolder, "a file");
        Assert.That(Fill, Throws.TypeOf<InputException>().With.Message.StartsWith($"--cache {CacheFolder}"));
    }

    [Test]
    public void ImagesInMemoryAreNotKeptDecoded()
    {
        SyntheticFiles.Mnist(root, "MNIST", "train", 20, gzip: false);
        ImageDataset digits = DatasetCatalog.Open("MNIST", DatasetSplit.Train, root.Path);
        using ImageCache cache = new(CacheFolder);
        Assert.That(cache.ForTraining(digits, Options), Is.SameAs(digits));
        Assert.That(Pass(cache.ForEvaluation(digits, Options), false), Is.EqualTo(Pass(digits, false)));
        Assert.That(CacheFiles(), Has.Length.EqualTo(1));
    }

    [Test]
    public void ChecksumIsCastagnoliS()
    {
        // The check value of CRC-32C, and that bytes after the last whole word count.
        Assert.That(CacheFile.Checksum("123456789"u8), Is.EqualTo(0xE3069283u));
        Assert.That(CacheFile.Checksum(new byte[32]), Is.EqualTo(0x8A9136AAu), "RFC 3720, B.4: 32 bytes of zeros");
    }

    private static TestCaseData Damage(string name, Func<byte[], byte[]> damage, string word) => new TestCaseData(damage, word).SetArgDisplayNames(name);

    private static byte[] With(byte[] bytes, int at)
    {
        byte[] copy = [.. bytes];
        copy[at] ^= 0x55;
        return copy;
    }

    private static void WriteNoise(string path, int width, int height, Random random)
    {
        byte[] pixels = new byte[3 * width * height];
        random.NextBytes(pixels);
        File.WriteAllBytes(path, [.. System.Text.Encoding.ASCII.GetBytes($"P6\n{width} {height}\n255\n"), .. pixels]);
    }

    private static string[] Pass(ImageDataset dataset, bool training, BatchOptions? options = null)
    {
        options ??= Options;
        using BatchPipeline pipeline = training
            ? BatchPipeline.ForTraining(dataset, options, 5, 1, cancellation: TestContext.CurrentContext.CancellationToken)
            : BatchPipeline.ForEvaluation(dataset, options, TestContext.CurrentContext.CancellationToken);
        List<string> digests = [];
        while (pipeline.Next() is { } batch)
        {
            using (batch)
                digests.Add($"{string.Join(',', batch.Indices)} {string.Join(',', batch.Labels)} "
                    + Convert.ToHexString(SHA256.HashData(batch.Pixels.AsSpan(0, batch.Count * options.ImageSize * options.ImageSize * 3))));
        }
        return [.. digests, .. pipeline.Skipped.Select(image => image.Reason)];
    }

    private string[] Fill()
    {
        using ImageCache cache = new(CacheFolder, notes.Add);
        return Pass(cache.ForEvaluation(Open(false), Options), false);
    }

    private ImageDataset Open(bool training) =>
        DatasetCatalog.Open("folder:" + Path.Combine(root.Path, "data"), training ? DatasetSplit.Train : DatasetSplit.Test, "");

    private string[] CacheFiles() => Directory.GetFiles(CacheFolder, "*.images");

    /// <summary>Counts how often an image is decoded.</summary>
    private sealed class CountedDataset(ImageDataset inner, Action? afterLoad = null) : ImageDataset(inner.Name, inner.ClassNames)
    {
        private int loads;

        public int Loads => Volatile.Read(ref loads);

        public override int Count => inner.Count;

        public override int Label(int index) => inner.Label(index);

        public override RgbImage Load(int index)
        {
            Interlocked.Increment(ref loads);
            RgbImage image = inner.Load(index);
            afterLoad?.Invoke();
            return image;
        }

        public override string SourceFile(int index) => inner.SourceFile(index);

        public override string Describe(int index) => inner.Describe(index);
    }
}
