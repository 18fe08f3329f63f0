namespace Patching.Model.Data;

/// <summary>
/// Preprocessed images for one step of the model. Disposing it hands the pixel buffer back to its pipeline for a later batch; do so when
/// the pixels have been copied to the device. A batch that is never disposed only costs memory.
/// </summary>
public sealed class ImageBatch : IDisposable
{
    private readonly BatchPipeline pipeline;
    private byte[]? pixels;

    /// <summary>Wraps a finished buffer.</summary>
    internal ImageBatch(BatchPipeline pipeline, int number, byte[] pixels, int[] labels, int[] indices)
    {
        this.pipeline = pipeline;
        this.pixels = pixels;
        Number = number;
        Labels = labels;
        Indices = indices;
    }

    /// <summary>
    /// Number of the batch within its epoch, from 0. Numbers whose images were all unreadable are missing from the sequence.
    /// </summary>
    public int Number { get; }

    /// <summary>Number of images B: the batch size, less in the last batch and where unreadable images were left out, never 0.</summary>
    public int Count => Labels.Length;

    /// <summary>
    /// Pixels [B, size, size, 3], unsigned bytes, red first. The array may be longer than the B images that count; its rest is undefined.
    /// </summary>
    /// <exception cref="ObjectDisposedException">The buffer has been handed back.</exception>
    public byte[] Pixels => pixels ?? throw new ObjectDisposedException(nameof(ImageBatch));

    /// <summary>Labels [B].</summary>
    public int[] Labels { get; }

    /// <summary>Index of every image in the data set [B].</summary>
    public int[] Indices { get; }

    /// <summary>Hands the buffer back.</summary>
    public void Dispose()
    {
        byte[]? buffer = Interlocked.Exchange(ref pixels, null);
        if (buffer is not null) pipeline.Recycle(buffer);
    }
}
