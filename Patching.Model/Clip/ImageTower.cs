using Patching.Kernels;

namespace Patching.Model.Clip;

/// <summary>
/// CLIP's image tower, of one of two kinds: <see cref="VisionTransformer"/> or <see cref="ResNet"/>. Weights and buffers come with every call, so that one engine
/// serves theta0, theta1 and everything between; they must have been made for the same model.
/// </summary>
public abstract class ImageTower : IDisposable
{
    private readonly Arena constants;
    private Tensor pixelTable;

    /// <summary>Prepares a tower for a device.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="pixelTable">[3, 256]: the normalised value of each pixel value per channel.</param>
    private protected ImageTower(Device device, ReadOnlySpan<float> pixelTable)
    {
        constants = Arena.Allocate(device, "constants", arena => this.pixelTable = arena.Take("pixel_table", 3, 256));
        this.pixelTable.CopyFrom(pixelTable);
    }

    /// <summary>[3, 256]: the normalised value of each pixel value per channel.</summary>
    private protected Tensor PixelTable => pixelTable;

    /// <summary>Prepares the tower that a model has.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="config">The model.</param>
    /// <param name="pixelTable">[3, 256]: the normalised value of each pixel value per channel.</param>
    public static ImageTower Create(Device device, ClipConfig config, ReadOnlySpan<float> pixelTable) =>
        config.Image is ResNetConfig resNet ? new ResNet(device, resNet, pixelTable) : new VisionTransformer(device, config, pixelTable);

    /// <summary>Computes <c>activations.Features</c> [B, E] from <c>activations.Images</c>.</summary>
    public abstract void Forward(ImageParameters weights, ImageActivations activations);

    /// <summary>The same under other weights, for the images that <see cref="Forward"/> has seen last: what does not depend on the weights is not computed again.</summary>
    public virtual void ForwardAgain(ImageParameters weights, ImageActivations activations) => Forward(weights, activations);

    /// <summary>Accumulates the gradients of all trained parameters from <paramref name="dFeatures"/> [B, E]. The steps of <see cref="Forward"/> in reverse.</summary>
    public abstract void Backward(ImageParameters weights, ImageParameters gradients, ImageActivations activations, Tensor dFeatures);

    /// <inheritdoc/>
    public void Dispose() => constants.Dispose();
}

/// <summary>
/// An image tower's tensors inside a parameter set: weights, or their gradients. For weights that many batches will use, <see cref="Pack"/> keeps a copy of every
/// matrix in the order the host's GEMM reads it.
/// </summary>
public abstract class ImageParameters : IDisposable
{
    private Arena? packed;

    /// <summary>Every matrix.</summary>
    private protected abstract IReadOnlyList<LinearLayer> Layers { get; }

    /// <summary>Finds the tensors of a model's tower by name.</summary>
    public static ImageParameters Of(ParameterSet set, ClipConfig config) =>
        config.Image is ResNetConfig resNet ? new ResNetParameters(set, resNet) : new VisionParameters(set, config);

    /// <summary>
    /// Rearranges every matrix as it is now for forward passes. Call again when the weights have changed; memory is taken by the first call. Only the host's GEMM has
    /// an order of its own; elsewhere nothing happens.
    /// </summary>
    /// <exception cref="DeviceException">The device has not enough memory.</exception>
    public void Pack(Device device)
    {
        if (!device.IsHost) return;
        packed ??= Arena.Allocate(device, "packed weights", arena =>
        {
            for (int i = 0; i < Layers.Count; i++) Layers[i].TakePacked(arena, $"layer {i}");
        });
        foreach (LinearLayer layer in Layers) layer.Pack(device);
    }

    /// <summary>Frees the rearranged copies, if there are any; the weights themselves belong to their set.</summary>
    public void Dispose() => packed?.Dispose();
}

/// <summary>All buffers of an image tower for batches of at most a fixed size, laid out in one <see cref="Arena"/>.</summary>
public abstract class ImageActivations : IDisposable
{
    private Arena? owned;

    /// <summary>Pixels [B, S, S, 3], what the caller fills before a forward pass.</summary>
    public Tensor Images { get; private protected init; }

    /// <summary>Image features [B, E], before normalisation: what a forward pass leaves.</summary>
    public Tensor Features { get; private protected init; }

    /// <summary>B, the images of a batch.</summary>
    public abstract int Batch { get; }

    /// <summary>Allocates the buffers of a model's tower.</summary>
    /// <param name="device">Where they live.</param>
    /// <param name="config">The model.</param>
    /// <param name="batch">B, the most images of a batch.</param>
    /// <param name="training">Whether backward will be called.</param>
    /// <param name="precision">Arithmetic of the tower.</param>
    /// <param name="statistics">Where a ResNet in training gets its statistics.</param>
    /// <exception cref="DeviceException">The device has not enough memory.</exception>
    public static ImageActivations Create(
        Device device, ClipConfig config, int batch, bool training, TowerPrecision precision = TowerPrecision.Float32,
        BatchNormStatistics statistics = BatchNormStatistics.Frozen) => config.Image is ResNetConfig
            ? ResNetActivations.Allocate(device, config, batch, training, statistics)
            : VisionActivations.Allocate(device, config, batch, training, precision);

    /// <summary>Bytes that <see cref="Create"/> would take.</summary>
    public static long BytesOf(ClipConfig config, int batch, bool training, TowerPrecision precision = TowerPrecision.Float32) => config.Image is ResNetConfig
        ? ResNetActivations.BytesFor(config, batch, training)
        : VisionActivations.BytesFor(config, batch, training, precision);

    /// <summary>The same memory for a batch of fewer images.</summary>
    public abstract ImageActivations Shrunk(int batch);

    /// <inheritdoc/>
    public void Dispose() => owned?.Dispose();

    /// <summary>Hands over the memory that the buffers lie in.</summary>
    private protected void Own(Arena arena) => owned = arena;
}
