using Patching.Model.Images;

namespace Patching.Model.Data;

/// <summary>
/// From an image of a data set to the square of bytes that the model reads: decoded, then resized and cropped, for evaluation always in the
/// same way, for training by a random crop. Safe for use by several threads.
/// </summary>
internal sealed class SampleLoader
{
    private readonly ImageDataset dataset;
    private readonly ImagePreprocessor preprocessor;
    private readonly TrainingCrop crop;
    private readonly CacheContent square;
    private readonly int? enough;
    private readonly long? cropSeed;
    private readonly int epoch;

    /// <summary>Prepares the loader.</summary>
    /// <param name="dataset">Images.</param>
    /// <param name="options">Size of the squares and how they are made.</param>
    /// <param name="cropSeed">Seed of the random crops; null for evaluation.</param>
    /// <param name="epoch">Epoch of the random crops.</param>
    public SampleLoader(ImageDataset dataset, BatchOptions options, long? cropSeed, int epoch)
    {
        this.dataset = dataset;
        this.cropSeed = cropSeed;
        this.epoch = epoch;
        square = CacheContent.ForEvaluation(options);
        enough = options.Enough;
        preprocessor = new ImagePreprocessor(options.ImageSize, options.Resize);
        crop = new TrainingCrop(options.ImageSize);
    }

    /// <summary>
    /// Writes the square of one image. Returns what went wrong, if anything did: whoever reads the pass meets errors in its order,
    /// whichever thread was first.
    /// </summary>
    /// <param name="index">The image.</param>
    /// <param name="repeat">How often it has come before in this pass; every time it is cropped in another way.</param>
    /// <param name="destination">The square's bytes.</param>
    public Exception? TryLoad(int index, int repeat, Span<byte> destination)
    {
        try
        {
            if (cropSeed is null && dataset is CachedDataset cached && cached.TryCopySquare(index, square, destination)) return null;
            RgbImage image = enough is { } sides ? dataset.LoadReduced(index, sides) : dataset.Load(index);
            if (cropSeed is { } seed)
            {
                SampleRandom random = SampleRandom.ForSample(seed, epoch, index + (long)repeat * dataset.Count);
                crop.Apply(image, ref random, destination);
            }
            else
            {
                preprocessor.Apply(image, destination);
            }
            return null;
        }
        catch (Exception error)
        {
            return error;
        }
    }
}
