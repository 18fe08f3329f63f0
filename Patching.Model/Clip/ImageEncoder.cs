using Patching.Kernels;

namespace Patching.Model.Clip;

/// <summary>
/// Image features of batch after batch: the buffers of a forward pass, and uploads that run beside the arithmetic of the batch before. Nothing here waits for the
/// device.
/// </summary>
public sealed class ImageEncoder : IDisposable
{
    private readonly ImageTower tower;
    private readonly ImageActivations activations;
    private readonly PinnedUpload images;
    private readonly RepeatedSteps<(ImageParameters Weights, int Count, bool Again)> steps;

    /// <summary>Allocates the buffers.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="config">The model.</param>
    /// <param name="tower">Its engine.</param>
    /// <param name="batch">The most images of a batch.</param>
    /// <param name="precision">Arithmetic of the tower.</param>
    /// <exception cref="DeviceException">The device has not enough memory.</exception>
    public ImageEncoder(Device device, ClipConfig config, ImageTower tower, int batch, TowerPrecision precision)
    {
        this.tower = tower;
        activations = ImageActivations.Create(device, config, batch, training: false, precision);
        images = new PinnedUpload(device, activations.Images);
        steps = new RepeatedSteps<(ImageParameters, int, bool)>(device);
    }

    /// <summary>Computes the features of a batch, and returns before the device has them.</summary>
    /// <param name="weights">The tower's weights, of the precision of this encoder; they may change between calls.</param>
    /// <param name="pixels">[count, S, S, 3]; free for the caller as soon as this returns.</param>
    /// <param name="count">Images.</param>
    /// <returns>[count, E] before normalisation, valid until the next call.</returns>
    public Tensor Encode(ImageParameters weights, ReadOnlySpan<byte> pixels, int count)
    {
        ImageActivations batch = activations.Shrunk(count);
        images.Upload(pixels);
        steps.Run((weights, count, false), () => tower.Forward(weights, batch));
        return batch.Features;
    }

    /// <summary>Computes the features of the last batch of <see cref="Encode"/> under other weights, without uploading and unfolding it again.</summary>
    /// <param name="weights">The tower's weights.</param>
    /// <param name="count">Images of that batch.</param>
    /// <returns>[count, E] before normalisation, valid until the next call.</returns>
    public Tensor EncodeAgain(ImageParameters weights, int count)
    {
        ImageActivations batch = activations.Shrunk(count);
        steps.Run((weights, count, true), () => tower.ForwardAgain(weights, batch));
        return batch.Features;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        steps.Dispose();
        images.Dispose();
        activations.Dispose();
    }
}
