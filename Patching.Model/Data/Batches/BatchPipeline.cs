using System.Globalization;

namespace Patching.Model.Data;

/// <summary>
/// Decodes and preprocesses images ahead of the model on threads of its own and hands them out in batches: one pass over a data set, in its
/// own order for evaluation or shuffled and cropped for training. What comes out depends on the data set, the seed and the epoch only,
/// never on the number of threads.
/// </summary>
/// <remarks>
/// <see cref="EpochOrder"/> says which images come, <see cref="SampleLoader"/> makes the bytes of one, <see cref="BatchRing"/> brings
/// them into order. One thread consumes.
/// <code>
/// using var pipeline = BatchPipeline.ForTraining(dataset, options, seed, epoch);
/// while (pipeline.Next() is { } batch)
///     using (batch) { step(batch.Pixels, batch.Labels, batch.Count); }
/// </code>
/// </remarks>
public sealed class BatchPipeline : IDisposable
{
    private readonly ImageDataset dataset;
    private readonly BatchOptions options;
    private readonly EpochOrder order;
    private readonly int imageBytes;
    private readonly SampleLoader loader;
    private readonly BatchRing ring;
    private readonly List<SkippedImage> skipped = [];
    private readonly Thread[] workers;
    private readonly CancellationToken cancellation;
    private readonly CancellationTokenRegistration cancellationCallback;

    private BatchPipeline(
        ImageDataset dataset, BatchOptions options, EpochOrder order, int firstBatch, long? cropSeed, int epoch,
        CancellationToken cancellation)
    {
        options.Check();
        this.dataset = dataset;
        this.options = options;
        this.order = order;
        this.cancellation = cancellation;
        imageBytes = options.ImageSize * options.ImageSize * 3;
        int images = order.Indices.Length;
        BatchCount = CountBatches(images, options.BatchSize);
        ArgumentOutOfRangeException.ThrowIfNegative(firstBatch);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(firstBatch, BatchCount);
        loader = new SampleLoader(dataset, options, cropSeed, epoch);
        ring = new BatchRing(options, images, BatchCount, firstBatch, imageBytes);
        workers = new Thread[Math.Min(options.Workers, images - Math.Min(images, firstBatch * options.BatchSize))];
        for (int i = 0; i < workers.Length; i++)
        {
            workers[i] = new Thread(Work) { IsBackground = true, Name = string.Create(CultureInfo.InvariantCulture, $"image worker {i}") };
            workers[i].Start();
        }
        cancellationCallback = cancellation.Register(ring.Stop);
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
    public static BatchPipeline ForEvaluation(ImageDataset dataset, BatchOptions options, CancellationToken cancellation = default) =>
        new(dataset, options, EpochOrder.OfEvaluation(dataset), 0, null, 0, cancellation);

    /// <summary>
    /// All images once in a random order (<see cref="TorchPermutation.ForEpoch"/>), or every class equally often
    /// (<see cref="BatchOptions.Balanced"/>), each with the random crop of (seed, epoch, index). A pass that begins at a later batch gives
    /// the same batches as a whole one from there on.
    /// </summary>
    /// <param name="dataset">Images.</param>
    /// <param name="options">Batch size and resources.</param>
    /// <param name="seed">Seed of the run.</param>
    /// <param name="epoch">Epoch, from 0.</param>
    /// <param name="firstBatch">Batch to begin with, in [0, <see cref="BatchCount"/>].</param>
    /// <param name="cancellation">Ends the pass; <see cref="Next"/> then throws.</param>
    public static BatchPipeline ForTraining(
        ImageDataset dataset, BatchOptions options, long seed, int epoch, int firstBatch = 0, CancellationToken cancellation = default) =>
        new(
            dataset, options,
            options.Balanced ? EpochOrder.OfBalancedTraining(dataset, seed, epoch) : EpochOrder.OfTraining(dataset, seed, epoch),
            firstBatch, seed, epoch, cancellation);

    /// <summary>Waits for the next batch that has images; null after the last one.</summary>
    /// <exception cref="InputException">An image of this batch is unreadable (the first one in the order of the pass; the message names
    /// it).</exception>
    /// <exception cref="OperationCanceledException">The pass was cancelled.</exception>
    public ImageBatch? Next()
    {
        while (ring.Take(cancellation) is { } finished)
        {
            ImageBatch? batch = Pack(finished);
            if (batch is not null) return batch;
        }
        return null;
    }

    /// <summary>Stops the workers, waits until each has finished the image in its hands, and frees the buffers.</summary>
    public void Dispose()
    {
        if (!ring.Close()) return;
        cancellationCallback.Dispose();
        foreach (Thread worker in workers) worker.Join();
    }

    /// <summary>Takes a batch's buffer back.</summary>
    internal void Recycle(byte[] buffer) => ring.Recycle(buffer);

    // Moves the images that could be read together and lists the others; null if none is left.
    private ImageBatch? Pack(FinishedBatch finished)
    {
        ReadOnlySpan<int> indices = order.Indices.AsSpan(finished.Batch * options.BatchSize, finished.Count);
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
                ring.Fail(error);
                ring.ThrowIfFailed();
            }
        }
        if (kept.Count > 0)
            return new ImageBatch(this, finished.Batch, finished.Pixels, [.. kept.Select(dataset.Label)], [.. kept]);
        Recycle(finished.Pixels);
        return null;
    }

    // What every worker thread does.
    private void Work()
    {
        try
        {
            while (ring.Claim() is { } claim)
            {
                for (int place = claim.From; place < claim.To && !ring.Stopped; place++)
                {
                    int at = (claim.Batch * options.BatchSize) + place;
                    claim.Slot.SetError(place, loader.TryLoad(order.Indices[at], order.Repeat(at), claim.Slot.Image(place, imageBytes)));
                }
                if (!ring.Stopped) ring.Report(claim);
            }
        }
        catch (Exception error)
        {
            ring.Fail(error);
        }
    }
}
