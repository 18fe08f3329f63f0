namespace Patching.Model.Data;

/// <summary>
/// A batch in work: a place in the <see cref="BatchRing"/>. Pixels and errors are written by the workers outside the ring's lock, each in
/// its own claim; the rest is guarded by that lock.
/// </summary>
/// <param name="batchSize">Most images of a batch.</param>
internal sealed class BatchSlot(int batchSize)
{
    private byte[] pixels = [];
    private Exception?[] errors = new Exception?[batchSize];

    /// <summary>Number of the batch within its pass; -1 before the first.</summary>
    public int Batch { get; private set; } = -1;

    /// <summary>Images of the batch.</summary>
    public int Count { get; private set; }

    /// <summary>Images that are not done yet.</summary>
    public int Pending { get; set; }

    /// <summary>Starts another batch.</summary>
    public void Begin(int batch, int count, byte[] buffer)
    {
        Batch = batch;
        Count = Pending = count;
        pixels = buffer;
    }

    /// <summary>Bytes of the image at one place of the batch.</summary>
    public Span<byte> Image(int place, int imageBytes) => pixels.AsSpan(place * imageBytes, imageBytes);

    /// <summary>Keeps what went wrong with the image at one place, null if nothing did.</summary>
    public void SetError(int place, Exception? error) => errors[place] = error;

    /// <summary>Whether one of the images in [from, to) ends the pass.</summary>
    public bool HasFatalError(int from, int to, bool skipBadImages)
    {
        foreach (Exception? error in errors.AsSpan(from, to - from))
        {
            if (error is not null && !(skipBadImages && error is InputException)) return true;
        }
        return false;
    }

    /// <summary>Hands the finished batch out of the slot.</summary>
    public FinishedBatch Take()
    {
        byte[] buffer = pixels;
        pixels = [];
        Exception?[]? taken = null;
        if (errors.AsSpan(0, Count).ContainsAnyExcept((Exception?)null)) (taken, errors) = (errors, new Exception?[errors.Length]);
        return new FinishedBatch(Batch, Count, buffer, taken);
    }
}

/// <summary>A batch that has left the ring.</summary>
/// <param name="Batch">Its number.</param>
/// <param name="Count">Its images.</param>
/// <param name="Pixels">Their bytes, one after the other.</param>
/// <param name="Errors">What went wrong with each; null if nothing did.</param>
internal sealed record FinishedBatch(int Batch, int Count, byte[] Pixels, Exception?[]? Errors);

/// <summary>A run of images of one batch that a worker has taken on.</summary>
/// <param name="Slot">Where the batch is made.</param>
/// <param name="Batch">Its number.</param>
/// <param name="From">First place of the run.</param>
/// <param name="To">One past the last.</param>
internal sealed record BatchClaim(BatchSlot Slot, int Batch, int From, int To);
