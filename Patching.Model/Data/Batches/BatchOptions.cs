using Patching.Model.Images;

namespace Patching.Model.Data;

/// <summary>
/// How a <see cref="BatchPipeline"/> cuts a data set into batches. <see cref="Workers"/> and <see cref="Prefetch"/> are resources: the
/// batches do not depend on them.
/// </summary>
/// <param name="BatchSize">Images per batch, at least 1.</param>
/// <param name="ImageSize">Side of the model's square input in pixels.</param>
public sealed record BatchOptions(int BatchSize, int ImageSize)
{
    // What is left of the picture is still shrunk at least by this, which hides nearly all of what reducing does to it.
    private const int ReducedJpegMargin = 2;

    /// <summary>Threads that decode and preprocess, at least 1; by default one per processor.</summary>
    public int Workers { get; init; } = Environment.ProcessorCount;

    /// <summary>
    /// Batches that may be finished or in work ahead of the consumer, at least 1. Bounds the memory: each takes
    /// BatchSize x ImageSize² x 3 bytes.
    /// </summary>
    public int Prefetch { get; init; } = 4;

    /// <summary>How images for evaluation become squares; training crops are squares already.</summary>
    public ResizeMode Resize { get; init; }

    /// <summary>
    /// Whether large JPEGs are decoded at a fraction of their size (<see cref="ImageDecoder.DecodeReduced"/>): faster, and not to the bit
    /// what Pillow gives. docs/data-pipeline.md says how far off.
    /// </summary>
    public bool ReducedJpeg { get; init; }

    /// <summary>Whether a training pass visits every class equally often instead of every image once.</summary>
    public bool Balanced { get; init; }

    /// <summary>Whether unreadable images are left out and listed instead of ending the run.</summary>
    public bool SkipBadImages { get; init; }

    /// <summary>Sides that are enough for a reduced JPEG; null where all are decoded whole.</summary>
    internal int? Enough => ReducedJpeg ? ReducedJpegMargin * ImageSize : null;

    /// <summary>Refuses impossible numbers.</summary>
    /// <exception cref="InputException">A batch does not fit into one array.</exception>
    internal void Check()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(BatchSize, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(ImageSize, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(Workers, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(Prefetch, 1);
        if ((Int128)BatchSize * ImageSize * ImageSize * 3 > Array.MaxLength)
            throw new InputException(
                $"batches of {BatchSize} images of {ImageSize} x {ImageSize} pixels do not fit into memory; choose a smaller batch size");
    }
}

/// <summary>An image that was left out because it could not be read.</summary>
/// <param name="Index">Its index in the data set.</param>
/// <param name="Description">Where it comes from.</param>
/// <param name="Reason">What was wrong, in one line.</param>
public sealed record SkippedImage(int Index, string Description, string Reason);
