using System.Globalization;
using System.Runtime.ExceptionServices;
using Patching.Model.Images;

namespace Patching.Model.Data;

/// <summary>
/// Decodes and preprocesses images ahead of the model on threads of its own and hands them out in batches: one pass over a data set, in its
/// own order for evaluation or shuffled and cropped for training. What comes out depends on the data set, the seed and the epoch only,
/// never on the number of threads.
/// </summary>
/// <remarks>
/// Batches fill a ring of <see cref="BatchOptions.Prefetch"/> slots. A worker claims a short run of images of the lowest unfinished batch,
/// works without the lock, and reports back; the consumer takes slots in order. Workers are never more than the ring ahead, so memory is
/// bounded, and they wait for the consumer only through the ring, never for buffers, so that no use of the batches can lock them up. One
/// thread consumes.
/// <code>
/// using var pipeline = BatchPipeline.ForTraining(dataset, options, seed, epoch);
/// while (pipeline.Next() is { } batch)
///     using (batch) { step(batch.Pixels, batch.Labels, batch.Count); }
/// </code>
/// </remarks>
public sealed class BatchPipeline : IDisposable
{
    // Claims longer than this keep other workers from helping with the batch the model waits for; shorter ones make the lock the bottleneck
    // for small images.
    private const int LongestClaim = 16;

    private readonly object gate = new();
    private readonly ImageDataset dataset;
    private readonly BatchOptions options;
    private readonly long? cropSeed;
    private readonly int epoch;
    private readonly int[] order;
    private readonly int imageBytes;
    private readonly int claimLength;
    private readonly Slot[] ring;
    private readonly Stack<byte[]> spareBuffers = [];
    private readonly List<SkippedImage> skipped = [];
    private readonly Thread[] workers;
    private readonly CancellationToken cancellation;
    private readonly CancellationTokenRegistration cancellationCallback;

    // All of these are guarded by the gate.
    private int claimBatch;
    private int claimOffset;
    private int nextBatch;
    private int batchLimit;
    private ExceptionDispatchInfo? failure;
    private volatile bool stopped;
    private bool disposed;

    private BatchPipeline(
        ImageDataset dataset, BatchOptions options, int[] order, int firstBatch, long? cropSeed, int epoch, CancellationToken cancellation)
    {
        Check(options);
        this.dataset = dataset;
        this.options = options;
        this.order = order;
        this.cropSeed = cropSeed;
        this.epoch = epoch;
        this.cancellation = cancellation;
        imageBytes = options.ImageSize * options.ImageSize * 3;
        BatchCount = CountBatches(order.Length, options.BatchSize);
        ArgumentOutOfRangeException.ThrowIfNegative(firstBatch);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(firstBatch, BatchCount);
        claimBatch = nextBatch = firstBatch;
        batchLimit = BatchCount;
        claimLength = Math.Clamp(options.BatchSize / (4 * options.Workers), 1, LongestClaim);

        ring = new Slot[options.Prefetch];
        for (int i = 0; i < ring.Length; i++) ring[i] = new Slot(options.BatchSize);
        workers = new Thread[Math.Min(options.Workers, order.Length - Math.Min(order.Length, firstBatch * options.BatchSize))];
        for (int i = 0; i < workers.Length; i++)
        {
            workers[i] = new Thread(Work) { IsBackground = true, Name = string.Create(CultureInfo.InvariantCulture, $"image worker {i}") };
            workers[i].Start();
        }
        cancellationCallback = cancellation.Register(Stop);
    }

    /// <summary>Number of batches in the whole pass, the last one maybe smaller than the others.</summary>
    public int BatchCount { get; }

    /// <summary>
    /// Images left out so far because they could not be read, in the order of the pass: those of the batches that <see cref="Next"/> has
    /// gone through. Always empty without <see cref="BatchOptions.SkipBadImages"/>. To be read by the consuming thread.
    /// </summary>
    public IReadOnlyList<SkippedImage> Skipped => skipped;

    /// <summary>
    /// Number of batches in a pass over <paramref name="images"/> images; the last one is kept even if it is not full, as the
    /// original does.
    /// </summary>
    public static int CountBatches(int images, int batchSize) => (int)(((long)images + batchSize - 1) / batchSize);

    /// <summary>All images in the data set's order, preprocessed for evaluation (resize, centre crop).</summary>
    /// <param name="dataset">Images.</param>
    /// <param name="options">Batch size and resources.</param>
    /// <param name="cancellation">Ends the pass; <see cref="Next"/> then throws.</param>
    public static BatchPipeline ForEvaluation(ImageDataset dataset, BatchOptions options, CancellationToken cancellation = default)
    {
        int[] order = new int[dataset.Count];
        for (int i = 0; i < order.Length; i++) order[i] = i;
        return new BatchPipeline(dataset, options, order, 0, null, 0, cancellation);
    }

    /// <summary>
    /// All images once, in the order of <see cref="TorchPermutation.ForEpoch"/>, each with the random crop of (seed, epoch, index). A pass
    /// that begins at a later batch gives the same batches as a whole one from there on.
    /// </summary>
    /// <param name="dataset">Images.</param>
    /// <param name="options">Batch size and resources.</param>
    /// <param name="seed">Seed of the run.</param>
    /// <param name="epoch">Epoch, from 0.</param>
    /// <param name="firstBatch">Batch to begin with, in [0, <see cref="BatchCount"/>].</param>
    /// <param name="cancellation">Ends the pass; <see cref="Next"/> then throws.</param>
    public static BatchPipeline ForTraining(
        ImageDataset dataset, BatchOptions options, long seed, int epoch, int firstBatch = 0, CancellationToken cancellation = default) =>
        new(dataset, options, TorchPermutation.ForEpoch(dataset.Count, seed, epoch), firstBatch, seed, epoch, cancellation);

    /// <summary>Waits for the next batch that has images; null after the last one.</summary>
    /// <exception cref="InputException">An image of this batch is unreadable (the first one in the order of the pass; the message names
    /// it).</exception>
    /// <exception cref="OperationCanceledException">The pass was cancelled.</exception>
    public ImageBatch? Next()
    {
        while (Take() is { } finished)
        {
            ImageBatch? batch = Pack(finished);
            if (batch is not null) return batch;
        }
        return null;
    }

    /// <summary>Stops the workers, waits until each has finished the image in its hands, and frees the buffers.</summary>
    public void Dispose()
    {
        lock (gate)
        {
            if (disposed) return;
            disposed = true;
            Stop();
        }
        cancellationCallback.Dispose();
        foreach (Thread worker in workers) worker.Join();
        spareBuffers.Clear();
    }

    /// <summary>Takes a batch's buffer back.</summary>
    internal void Recycle(byte[] buffer)
    {
        lock (gate)
        {
            if (!disposed && spareBuffers.Count <= ring.Length) spareBuffers.Push(buffer);
        }
    }

    private static void Check(BatchOptions options)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(options.BatchSize, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.ImageSize, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Workers, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.Prefetch, 1);
        if ((Int128)options.BatchSize * options.ImageSize * options.ImageSize * 3 > Array.MaxLength)
            throw new InputException(
                $"batches of {options.BatchSize} images of {options.ImageSize} x {options.ImageSize} pixels do not fit into memory; "
                + "choose a smaller batch size");
    }

    // ---- consumer ----

    private Finished? Take()
    {
        lock (gate)
        {
            while (true)
            {
                ObjectDisposedException.ThrowIf(disposed, this);
                cancellation.ThrowIfCancellationRequested();
                failure?.Throw();
                if (nextBatch == BatchCount) return null;
                Slot slot = ring[nextBatch % ring.Length];
                if (slot.Batch == nextBatch && slot.Pending == 0)
                {
                    var finished = new Finished(nextBatch, slot.Count, slot.Pixels!, slot.TakeErrors());
                    slot.Pixels = null;
                    nextBatch++;
                    Monitor.PulseAll(gate);
                    return finished;
                }
                Monitor.Wait(gate);
            }
        }
    }

    // Moves the images that could be read together and lists the others; null if none is left.
    private ImageBatch? Pack(Finished finished)
    {
        ReadOnlySpan<int> indices = order.AsSpan(finished.Batch * options.BatchSize, finished.Count);
        List<int> kept = new(finished.Count);
        for (int i = 0; i < finished.Count; i++)
        {
            Exception? error = finished.Errors?[i];
            if (error is null)
            {
                if (kept.Count < i)
                    Buffer.BlockCopy(finished.Pixels, i * imageBytes, finished.Pixels, kept.Count * imageBytes, imageBytes);
                kept.Add(indices[i]);
            }
            else if (options.SkipBadImages && error is InputException)
            {
                skipped.Add(new SkippedImage(indices[i], dataset.Describe(indices[i]), error.Message));
            }
            else
            {
                Fail(error);
                failure!.Throw();
            }
        }
        if (kept.Count > 0)
            return new ImageBatch(this, finished.Batch, finished.Pixels, [.. kept.Select(dataset.Label)], [.. kept]);
        Recycle(finished.Pixels);
        return null;
    }

    // ---- workers ----

    private void Work()
    {
        try
        {
            var preprocessor = new ImagePreprocessor(options.ImageSize, options.Resize);
            var crop = new TrainingCrop(options.ImageSize);
            while (Claim() is { } claim)
            {
                for (int i = claim.From; i < claim.To && !stopped; i++)
                {
                    int index = order[(claim.Batch * options.BatchSize) + i];
                    claim.Slot.Errors[i] = Process(index, claim.Slot.Image(i, imageBytes), preprocessor, crop);
                }
                if (!stopped) Report(claim);
            }
        }
        catch (Exception e)
        {
            Fail(e);
        }
    }

    private Claimed? Claim()
    {
        lock (gate)
        {
            while (!stopped && claimBatch < batchLimit && claimBatch >= nextBatch + ring.Length) Monitor.Wait(gate);
            if (stopped || claimBatch >= batchLimit) return null;

            Slot slot = ring[claimBatch % ring.Length];
            if (claimOffset == 0)
                slot.Begin(claimBatch, Math.Min(options.BatchSize, order.Length - (claimBatch * options.BatchSize)), RentBuffer());
            var claim = new Claimed(slot, claimBatch, claimOffset, Math.Min(slot.Count, claimOffset + claimLength));
            claimOffset = claim.To;
            if (claimOffset == slot.Count)
            {
                claimBatch++;
                claimOffset = 0;
            }
            return claim;
        }
    }

    private byte[] RentBuffer() =>
        spareBuffers.TryPop(out byte[]? spare) ? spare : GC.AllocateUninitializedArray<byte>(options.BatchSize * imageBytes);

    private Exception? Process(int index, Span<byte> destination, ImagePreprocessor preprocessor, TrainingCrop crop)
    {
        try
        {
            RgbImage image = dataset.Load(index);
            if (cropSeed is { } seed)
            {
                SampleRandom random = SampleRandom.ForSample(seed, epoch, index);
                crop.Apply(image, ref random, destination);
            }
            else
            {
                preprocessor.Apply(image, destination);
            }
            return null;
        }
        catch (Exception e)
        {
            // Kept with its place: the consumer meets errors in the order of the pass, whichever thread was first.
            return e;
        }
    }

    private void Report(Claimed claim)
    {
        bool ends = claim.HasFatalError(options.SkipBadImages);
        lock (gate)
        {
            // Batches after the one that ends the pass are not worth beginning; those before it still have to come out.
            if (ends) batchLimit = Math.Min(batchLimit, claim.Batch + 1);
            claim.Slot.Pending -= claim.To - claim.From;
            if (claim.Slot.Pending == 0 || ends) Monitor.PulseAll(gate);
        }
    }

    private void Fail(Exception error)
    {
        lock (gate)
        {
            failure ??= ExceptionDispatchInfo.Capture(error);
            Stop();
        }
    }

    private void Stop()
    {
        lock (gate)
        {
            stopped = true;
            Monitor.PulseAll(gate);
        }
    }

    /// <summary>A batch that has left the ring; Errors is null if there were none.</summary>
    private sealed record Finished(int Batch, int Count, byte[] Pixels, Exception?[]? Errors);

    /// <summary>A run of images that one worker has taken on.</summary>
    private sealed record Claimed(Slot Slot, int Batch, int From, int To)
    {
        public bool HasFatalError(bool skipBadImages)
        {
            foreach (Exception? error in Slot.Errors.AsSpan(From, To - From))
            {
                if (error is not null && !(skipBadImages && error is InputException)) return true;
            }
            return false;
        }
    }

    /// <summary>
    /// A place in the ring. Pixels and Errors are written by the workers outside the lock, each in its own claim; the rest is guarded by
    /// the gate.
    /// </summary>
    private sealed class Slot(int batchSize)
    {
        public int Batch { get; private set; } = -1;

        public int Count { get; private set; }

        public int Pending { get; set; }

        public byte[]? Pixels { get; set; }

        public Exception?[] Errors { get; private set; } = new Exception?[batchSize];

        public void Begin(int batch, int count, byte[] pixels)
        {
            Batch = batch;
            Count = Pending = count;
            Pixels = pixels;
        }

        public Span<byte> Image(int index, int imageBytes) => Pixels.AsSpan(index * imageBytes, imageBytes);

        public Exception?[]? TakeErrors()
        {
            if (!Errors.AsSpan(0, Count).ContainsAnyExcept((Exception?)null)) return null;
            Exception?[] taken = Errors;
            Errors = new Exception?[taken.Length];
            return taken;
        }
    }
}
