using System.Runtime.ExceptionServices;

namespace Patching.Model.Data;

/// <summary>
/// Where workers and the consumer of a pass meet: a ring of <see cref="BatchOptions.Prefetch"/> slots, one batch in each. A worker claims a
/// short run of images of the lowest unfinished batch, works without the lock, and reports back; the consumer takes slots in order. Workers
/// are never more than the ring ahead, so memory is bounded, and they wait for the consumer only through the ring, never for buffers, so
/// that no use of the batches can lock them up.
/// </summary>
internal sealed class BatchRing
{
    // Claims longer than this keep other workers from helping with the batch the model waits for; shorter ones make the lock the bottleneck
    // for small images.
    private const int LongestClaim = 16;

    private readonly object gate = new();
    private readonly BatchOptions options;
    private readonly int images;
    private readonly int batchCount;
    private readonly int bufferBytes;
    private readonly int claimLength;
    private readonly BatchSlot[] slots;
    private readonly Stack<byte[]> spareBuffers = [];

    // All of these are guarded by the gate.
    private int claimBatch;
    private int claimOffset;
    private int nextBatch;
    private int batchLimit;
    private ExceptionDispatchInfo? failure;
    private volatile bool stopped;
    private bool closed;

    /// <summary>Prepares a pass.</summary>
    /// <param name="options">Batch size, slots and what ends a pass.</param>
    /// <param name="images">Images of the whole pass.</param>
    /// <param name="batchCount">Its batches.</param>
    /// <param name="firstBatch">Batch to begin with.</param>
    /// <param name="imageBytes">Bytes of one image.</param>
    public BatchRing(BatchOptions options, int images, int batchCount, int firstBatch, int imageBytes)
    {
        this.options = options;
        this.images = images;
        this.batchCount = batchLimit = batchCount;
        claimBatch = nextBatch = firstBatch;
        bufferBytes = options.BatchSize * imageBytes;
        claimLength = Math.Clamp(options.BatchSize / (4 * options.Workers), 1, LongestClaim);
        slots = new BatchSlot[options.Prefetch];
        for (int i = 0; i < slots.Length; i++) slots[i] = new BatchSlot(options.BatchSize);
    }

    /// <summary>True when workers should put down what they have in hand.</summary>
    public bool Stopped => stopped;

    /// <summary>For workers: waits for a run of images to do; null when there will be none.</summary>
    public BatchClaim? Claim()
    {
        lock (gate)
        {
            while (!stopped && claimBatch < batchLimit && claimBatch >= nextBatch + slots.Length) Monitor.Wait(gate);
            if (stopped || claimBatch >= batchLimit) return null;

            BatchSlot slot = slots[claimBatch % slots.Length];
            if (claimOffset == 0)
                slot.Begin(claimBatch, Math.Min(options.BatchSize, images - (claimBatch * options.BatchSize)), RentBuffer());
            BatchClaim claim = new(slot, claimBatch, claimOffset, Math.Min(slot.Count, claimOffset + claimLength));
            claimOffset = claim.To;
            if (claimOffset == slot.Count)
            {
                claimBatch++;
                claimOffset = 0;
            }
            return claim;
        }
    }

    /// <summary>For workers: a claim is done.</summary>
    public void Report(BatchClaim claim)
    {
        bool ends = claim.Slot.HasFatalError(claim.From, claim.To, options.SkipBadImages);
        lock (gate)
        {
            // Batches after the one that ends the pass are not worth beginning; those before it still have to come out.
            if (ends) batchLimit = Math.Min(batchLimit, claim.Batch + 1);
            claim.Slot.Pending -= claim.To - claim.From;
            if (claim.Slot.Pending == 0 || ends) Monitor.PulseAll(gate);
        }
    }

    /// <summary>For the consumer: waits for the next batch; null after the last one.</summary>
    /// <exception cref="ObjectDisposedException">The ring was closed.</exception>
    /// <exception cref="OperationCanceledException">The pass was cancelled, and <see cref="Stop"/> called.</exception>
    /// <exception cref="Exception">What <see cref="Fail"/> was given.</exception>
    public FinishedBatch? Take(CancellationToken cancellation)
    {
        lock (gate)
        {
            while (true)
            {
                ObjectDisposedException.ThrowIf(closed, typeof(BatchPipeline));
                cancellation.ThrowIfCancellationRequested();
                failure?.Throw();
                if (nextBatch == batchCount) return null;
                BatchSlot slot = slots[nextBatch % slots.Length];
                if (slot.Batch == nextBatch && slot.Pending == 0)
                {
                    FinishedBatch finished = slot.Take();
                    nextBatch++;
                    Monitor.PulseAll(gate);
                    return finished;
                }
                Monitor.Wait(gate);
            }
        }
    }

    /// <summary>Takes a batch's buffer back.</summary>
    public void Recycle(byte[] buffer)
    {
        lock (gate)
        {
            if (!closed && spareBuffers.Count <= slots.Length) spareBuffers.Push(buffer);
        }
    }

    /// <summary>Ends the pass with an error, which <see cref="Take"/> throws from now on; the first error stays.</summary>
    public void Fail(Exception error)
    {
        lock (gate)
        {
            failure ??= ExceptionDispatchInfo.Capture(error);
            Stop();
        }
    }

    /// <summary>Throws what <see cref="Fail"/> was given first, if anything was.</summary>
    public void ThrowIfFailed()
    {
        lock (gate) failure?.Throw();
    }

    /// <summary>Sends the workers home.</summary>
    public void Stop()
    {
        lock (gate)
        {
            stopped = true;
            Monitor.PulseAll(gate);
        }
    }

    /// <summary>Stops and frees the buffers. False if it was closed before.</summary>
    public bool Close()
    {
        lock (gate)
        {
            if (closed) return false;
            closed = true;
            spareBuffers.Clear();
            Stop();
            return true;
        }
    }

    private byte[] RentBuffer() => spareBuffers.TryPop(out byte[]? spare) ? spare : GC.AllocateUninitializedArray<byte>(bufferBytes);
}
