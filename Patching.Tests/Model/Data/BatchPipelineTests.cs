using System.Security.Cryptography;
using NUnit.Framework;
using Patching.Model;
using Patching.Model.Data;
using Patching.Model.Images;

namespace Patching.Tests.Model.Data;

/// <summary>A pass that hangs is cancelled after a while, which fails its test.</summary>
[CancelAfter(30_000)]
internal sealed class BatchPipelineTests
{
    private const int Size = 8;

    private static CancellationToken Watchdog => TestContext.CurrentContext.CancellationToken;

    private static BatchOptions Options(int batchSize, int workers = 2, bool skip = false, int prefetch = 3) =>
        new(batchSize, Size) { Workers = workers, SkipBadImages = skip, Prefetch = prefetch };

    [Test]
    public void EvaluationKeepsTheOrderAndThePixels()
    {
        var dataset = new MemoryDataset(23);
        using var pipeline = BatchPipeline.ForEvaluation(dataset, Options(5), Watchdog);
        int seen = 0;
        for (int number = 0; pipeline.Next() is { } batch; number++)
        {
            using (batch)
            {
                Assert.That((batch.Number, batch.Count), Is.EqualTo((number, number < 4 ? 5 : 3)));
                for (int i = 0; i < batch.Count; i++, seen++)
                {
                    Assert.That((batch.Indices[i], batch.Labels[i]), Is.EqualTo((seen, dataset.Label(seen))));
                    Assert.That(batch.Pixels.AsSpan(i * Size * Size * 3, Size * Size * 3).SequenceEqual(dataset.Load(seen).Pixels),
                        $"image {seen}");
                }
            }
        }
        Assert.That((seen, pipeline.BatchCount), Is.EqualTo((23, 5)));
        Assert.That(pipeline.Next(), Is.Null);
    }

    [Test]
    public void TrainingVisitsEveryImageOnceInTheEpochsOrder()
    {
        var dataset = new MemoryDataset(23);
        List<int> indices = [];
        using var pipeline = BatchPipeline.ForTraining(dataset, Options(5), 3, 2, cancellation: Watchdog);
        while (pipeline.Next() is { } batch)
        {
            using (batch) indices.AddRange(batch.Indices);
        }
        Assert.That(indices, Is.EqualTo(TorchPermutation.ForEpoch(23, 3, 2)));
        Assert.That(indices, Is.Not.Ordered);
    }

    [TestCase(false)]
    [TestCase(true)]
    public void TheBytesDoNotDependOnTheNumberOfWorkers(bool training)
    {
        var dataset = new MemoryDataset(101, sideOffset: 5);
        List<string> expected = Run(dataset, training, Options(7, workers: 1, prefetch: 1));
        Assert.That(expected, Has.Count.EqualTo(15));
        foreach (int workers in new[] { 1, 2, 5 })
        {
            foreach (int prefetch in new[] { 1, 4 })
                Assert.That(Run(dataset, training, Options(7, workers, prefetch: prefetch)), Is.EqualTo(expected),
                    $"{workers} workers, prefetch {prefetch}");
        }
    }

    [TestCase(0)]
    [TestCase(1)]
    [TestCase(9)]
    [TestCase(14)]
    [TestCase(15)]
    public void ResumingGivesTheTailOfAWholePass(int firstBatch)
    {
        var dataset = new MemoryDataset(101, sideOffset: 5);
        List<string> whole = Run(dataset, true, Options(7));
        Assert.That(Run(dataset, true, Options(7), firstBatch), Is.EqualTo(whole[firstBatch..]));
    }

    [TestCase(1, 1)]
    [TestCase(2, 0)]
    public void SeedAndEpochChangeTheOrderAndTheCrops(long seed, int epoch)
    {
        var dataset = new MemoryDataset(40, sideOffset: 40);
        (int[] order, string[] crops) = Pass(dataset, 1, 0);
        (int[] otherOrder, string[] otherCrops) = Pass(dataset, seed, epoch);
        Assert.That(otherOrder, Is.Not.EqualTo(order));
        Assert.That(crops.Zip(otherCrops).Count(pair => pair.First != pair.Second), Is.GreaterThan(30));
        Assert.That(Pass(dataset, seed, epoch).Crops, Is.EqualTo(otherCrops));
    }

    [TestCase(1)]
    [TestCase(4)]
    public void TheFirstBadImageInOrderSurfacesAfterTheBatchesBeforeIt(int workers)
    {
        for (int repeat = 0; repeat < 50; repeat++)
        {
            var dataset = new MemoryDataset(100, bad: [33, 38, 90]);
            using var pipeline = BatchPipeline.ForEvaluation(dataset, Options(10, workers), Watchdog);
            for (int number = 0; number < 3; number++)
            {
                using ImageBatch batch = pipeline.Next()!;
                Assert.That(batch.Count, Is.EqualTo(10));
            }
            Assert.That(pipeline.Next, Throws.TypeOf<InputException>().With.Message.Contains("memory[33]"));
            Assert.That(pipeline.Next, Throws.TypeOf<InputException>().With.Message.Contains("memory[33]"));
        }
    }

    [Test]
    public void OtherErrorsSurfaceEvenWhereBadImagesAreSkipped()
    {
        var dataset = new MemoryDataset(30, bad: [12], error: index => new InvalidOperationException($"bug at {index}"));
        using var pipeline = BatchPipeline.ForEvaluation(dataset, Options(5, skip: true), Watchdog);
        pipeline.Next()!.Dispose();
        pipeline.Next()!.Dispose();
        Assert.That(pipeline.Next, Throws.InvalidOperationException.With.Message.EqualTo("bug at 12"));
    }

    [TestCase(1)]
    [TestCase(4)]
    public void SkippedImagesShrinkTheirBatchesAndAreNamed(int workers)
    {
        var dataset = new MemoryDataset(23, bad: [0, 6, 10, 11, 12, 13, 14, 22]);
        using var pipeline = BatchPipeline.ForEvaluation(dataset, Options(5, workers, skip: true), Watchdog);
        List<(int Number, int[] Indices)> batches = [];
        while (pipeline.Next() is { } batch)
        {
            using (batch)
            {
                batches.Add((batch.Number, batch.Indices));
                for (int i = 0; i < batch.Count; i++)
                {
                    Assert.That(batch.Pixels.AsSpan(i * Size * Size * 3, Size * Size * 3).SequenceEqual(dataset.Pixels(batch.Indices[i])));
                    Assert.That(batch.Labels[i], Is.EqualTo(dataset.Label(batch.Indices[i])));
                }
            }
        }
        // Batch 2 had no readable image at all, so it never comes out.
        Assert.That(batches.Select(b => b.Number), Is.EqualTo(new[] { 0, 1, 3, 4 }));
        Assert.That(batches.Select(b => b.Indices), Is.EqualTo(new int[][] { [1, 2, 3, 4], [5, 7, 8, 9], [15, 16, 17, 18, 19], [20, 21] }));
        Assert.That(pipeline.Skipped.Select(s => s.Index), Is.EqualTo(new[] { 0, 6, 10, 11, 12, 13, 14, 22 }));
        Assert.That(pipeline.Skipped[1], Is.EqualTo(new SkippedImage(6, "memory[6]", "memory[6]: cannot be decoded")));
    }

    [Test]
    public void SkippedImagesShrinkTrainingBatchesTheSameWayForAnyNumberOfWorkers()
    {
        var dataset = new MemoryDataset(60, bad: [3, 17, 18, 40], sideOffset: 3);
        List<string> one = Run(dataset, true, Options(8, workers: 1, skip: true));
        Assert.That(Run(dataset, true, Options(8, workers: 5, skip: true)), Is.EqualTo(one));
    }

    [Test]
    public void ADataSetOfOnlyBadImagesEndsWithoutBatches()
    {
        var dataset = new MemoryDataset(9, bad: [.. Enumerable.Range(0, 9)]);
        using var pipeline = BatchPipeline.ForEvaluation(dataset, Options(2, skip: true), Watchdog);
        Assert.That(pipeline.Next(), Is.Null);
        Assert.That(pipeline.Skipped, Has.Count.EqualTo(9));
    }

    [Test]
    public void AnUnreadableFileIsNamed()
    {
        using var root = new TemporaryFolder();
        SyntheticFiles.Ppm(root.File("cat", "1.ppm"), Size, Size, 1, 2, 3);
        File.WriteAllBytes(root.File("cat", "2.ppm"), "P6\n8 8\n255\nshort"u8.ToArray());
        ImageDataset dataset = DatasetCatalog.Open("folder:" + root.Path, DatasetSplit.Test, "");
        using (var strict = BatchPipeline.ForEvaluation(dataset, Options(2), Watchdog))
            Assert.That(strict.Next, Throws.TypeOf<InputException>().With.Message.Contains("2.ppm"));
        using var lenient = BatchPipeline.ForEvaluation(dataset, Options(2, skip: true), Watchdog);
        using ImageBatch batch = lenient.Next()!;
        Assert.That((batch.Count, batch.Pixels[0], batch.Pixels[1], batch.Pixels[2]), Is.EqualTo((1, (byte)1, (byte)2, (byte)3)));
        Assert.That(lenient.Skipped.Single().Description, Does.EndWith("2.ppm"));
    }

    [Test]
    public void DisposingAtAnyMomentEndsAllWorkers()
    {
        var random = new Random(1);
        for (int repeat = 0; repeat < 400; repeat++)
        {
            var dataset = new MemoryDataset(64, bad: repeat % 5 == 0 ? [20] : []);
            var pipeline = BatchPipeline.ForTraining(dataset, Options(1 + (repeat % 9), 1 + (repeat % 5), prefetch: 1 + (repeat % 3)),
                repeat, 0, cancellation: Watchdog);
            int take = random.Next(4);
            try
            {
                for (int i = 0; i < take; i++)
                {
                    // Half of the batches are never handed back.
                    ImageBatch? batch = pipeline.Next();
                    if (repeat % 2 == 0) batch?.Dispose();
                }
            }
            catch (InputException)
            {
                // The bad image came early in this order.
            }
            if (repeat % 3 == 0) Thread.SpinWait(random.Next(20_000));
            pipeline.Dispose();
            pipeline.Dispose();
            Assert.That(pipeline.Next, Throws.TypeOf<ObjectDisposedException>());
            int loads = dataset.Loads;
            Thread.SpinWait(500);
            Assert.That(dataset.Loads, Is.EqualTo(loads), "no worker goes on");
        }
    }

    [Test]
    public void CancellingEndsAWaitingConsumer()
    {
        using var cancellation = new CancellationTokenSource();
        using var hold = new ManualResetEventSlim();
        var dataset = new MemoryDataset(20, beforeLoad: index =>
        {
            if (index == 7) hold.Wait();
        });
        using var pipeline = BatchPipeline.ForEvaluation(dataset, Options(5), cancellation.Token);
        pipeline.Next()!.Dispose();
        cancellation.CancelAfter(50);
        Assert.That(pipeline.Next, Throws.InstanceOf<OperationCanceledException>());
        hold.Set();
    }

    [Test]
    public void CancellingAtAnyMomentNeverHangs()
    {
        for (int repeat = 0; repeat < 200; repeat++)
        {
            using var cancellation = new CancellationTokenSource();
            if (repeat % 7 == 0) cancellation.Cancel();
            using var pipeline = BatchPipeline.ForEvaluation(new MemoryDataset(200), Options(3, 3), cancellation.Token);
            Task canceller = Task.Run(cancellation.Cancel);
            try
            {
                while (pipeline.Next() is { } batch) batch.Dispose();
            }
            catch (OperationCanceledException)
            {
                // Expected unless the pass was faster.
            }
            canceller.Wait();
        }
    }

    [Test]
    public void WorkersStayWithinThePrefetchedBatches()
    {
        var dataset = new MemoryDataset(1000);
        using var pipeline = BatchPipeline.ForEvaluation(dataset, Options(10, workers: 3, prefetch: 2), Watchdog);
        Assert.That(() => dataset.Loads, Is.EqualTo(20).After(10_000, 5));
        Thread.Sleep(30);
        Assert.That(dataset.Loads, Is.EqualTo(20));
        pipeline.Next()!.Dispose();
        Assert.That(() => dataset.Loads, Is.EqualTo(30).After(10_000, 5));
    }

    [Test]
    public void BuffersAreUsedAgain()
    {
        var buffers = new HashSet<byte[]>(ReferenceEqualityComparer.Instance);
        using var pipeline = BatchPipeline.ForEvaluation(new MemoryDataset(500), Options(5, prefetch: 3), Watchdog);
        while (pipeline.Next() is { } batch)
        {
            buffers.Add(batch.Pixels);
            batch.Dispose();
            Assert.That(() => batch.Pixels, Throws.TypeOf<ObjectDisposedException>());
        }
        Assert.That(buffers, Has.Count.LessThanOrEqualTo(5));
    }

    [Test]
    public void ImpossibleOptionsAreRefused()
    {
        var dataset = new MemoryDataset(3);
        Assert.That(() => BatchPipeline.ForEvaluation(dataset, Options(0)), Throws.TypeOf<ArgumentOutOfRangeException>());
        Assert.That(() => BatchPipeline.ForEvaluation(dataset, Options(1, workers: 0)), Throws.TypeOf<ArgumentOutOfRangeException>());
        Assert.That(() => BatchPipeline.ForEvaluation(dataset, Options(1, prefetch: 0)), Throws.TypeOf<ArgumentOutOfRangeException>());
        Assert.That(() => BatchPipeline.ForTraining(dataset, Options(1), 0, 0, firstBatch: 4),
            Throws.TypeOf<ArgumentOutOfRangeException>());
        Assert.That(() => BatchPipeline.ForEvaluation(dataset, new BatchOptions(100_000_000, 224)), Throws.TypeOf<InputException>());
    }

    /// <summary>Order of one pass, and the digest of each image's crop by its index.</summary>
    private static (int[] Order, string[] Crops) Pass(ImageDataset dataset, long seed, int epoch)
    {
        string[] crops = new string[dataset.Count];
        using var pipeline = BatchPipeline.ForTraining(dataset, Options(dataset.Count), seed, epoch, cancellation: Watchdog);
        using ImageBatch batch = pipeline.Next()!;
        for (int i = 0; i < batch.Count; i++)
            crops[batch.Indices[i]] = Convert.ToHexString(SHA256.HashData(batch.Pixels.AsSpan(i * Size * Size * 3, Size * Size * 3)));
        return (batch.Indices, crops);
    }

    private static List<string> Run(ImageDataset dataset, bool training, BatchOptions options, int firstBatch = 0)
    {
        using BatchPipeline pipeline = training
            ? BatchPipeline.ForTraining(dataset, options, 42, 1, firstBatch, Watchdog)
            : BatchPipeline.ForEvaluation(dataset, options, Watchdog);
        List<string> digests = [];
        while (pipeline.Next() is { } batch)
        {
            using (batch) digests.Add(Digest(batch));
        }
        return digests;
    }

    private static string Digest(ImageBatch batch) =>
        $"{batch.Number}: {string.Join(',', batch.Indices)} {string.Join(',', batch.Labels)} "
        + Convert.ToHexString(SHA256.HashData(batch.Pixels.AsSpan(0, batch.Count * Size * Size * 3)));

    /// <summary>Images made up on the spot; some cannot be read.</summary>
    private sealed class MemoryDataset(
        int count, int[]? bad = null, int sideOffset = 0, Func<int, Exception>? error = null, Action<int>? beforeLoad = null)
        : ImageDataset("memory", ["even", "odd", "third"])
    {
        private int loads;

        public int Loads => Volatile.Read(ref loads);

        public override int Count => count;

        public override int Label(int index) => index % 3;

        public override RgbImage Load(int index)
        {
            Interlocked.Increment(ref loads);
            beforeLoad?.Invoke(index);
            if (bad is not null && bad.Contains(index))
                throw error?.Invoke(index) ?? new InputException($"{Describe(index)}: cannot be decoded");
            return new RgbImage(Size + sideOffset, Size + sideOffset, Pixels(index));
        }

        public override string SourceFile(int index) => "memory";

        public byte[] Pixels(int index)
        {
            byte[] pixels = new byte[(Size + sideOffset) * (Size + sideOffset) * 3];
            new Random(index).NextBytes(pixels);
            return pixels;
        }

        public override string Describe(int index) => $"memory[{index}]";
    }
}
