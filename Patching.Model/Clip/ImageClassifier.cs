using Patching.Kernels;

namespace Patching.Model.Clip;

/// <summary>
/// Head, loss and prediction over image features: <c>f -> f / |f| -> logits = W f -> softmax cross-entropy</c>, and back to the gradient of f.
/// </summary>
public sealed class ImageClassifier : IDisposable
{
    private readonly Device device;
    private readonly Arena arena;
    private readonly Tensor head;
    private readonly Buffers buffers;

    /// <summary>Allocates the head and buffers for batches of up to <paramref name="batch"/> images.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="zeroShot">The head.</param>
    /// <param name="batch">The most images of a batch.</param>
    /// <param name="precision">Arithmetic of the tower that gets the features' gradient; head and loss are single precision.</param>
    /// <exception cref="DeviceException">The device has not enough memory.</exception>
    public ImageClassifier(Device device, ZeroShotHead zeroShot, int batch, TowerPrecision precision = TowerPrecision.Float32)
    {
        this.device = device;
        Tensor weights = default;
        Buffers? made = null;
        arena = Arena.Allocate(device, "head", a =>
        {
            weights = a.Take("head", zeroShot.Classes, zeroShot.EmbeddingWidth);
            made = new Buffers(a, batch, zeroShot.EmbeddingWidth, zeroShot.Classes, precision);
        });
        head = weights;
        buffers = made!;
        head.CopyFrom(zeroShot.Weights);
    }

    /// <summary>Integers [B], the right classes of a batch: what the caller fills before <see cref="Loss"/>.</summary>
    public Tensor Labels => buffers.Labels;

    /// <summary>Bytes that a classifier takes.</summary>
    public static long BytesFor(int batch, int embeddingWidth, int classes, TowerPrecision precision) => Arena.Plan("head", a =>
    {
        a.Take("head", classes, embeddingWidth);
        _ = new Buffers(a, batch, embeddingWidth, classes, precision);
    }).Bytes;

    /// <summary>Computes the logits [B, K] of a batch of features [B, E].</summary>
    public Tensor Logits(Tensor features)
    {
        int batch = features.Rows;
        Tensor normalized = buffers.Normalized.Prefix(batch, features.Columns), logits = buffers.Logits.Prefix(batch, head.Rows);
        L2Normalize.Forward(device, normalized, default, features);
        Gemm.Forward(device, logits, normalized, head);
        return logits;
    }

    /// <summary>Classifies features [B, E]: predicted class, rank of the right class and confidence, as <see cref="Prediction"/> defines them.</summary>
    /// <param name="features">[B, E].</param>
    /// <param name="labels">Integers [B]: the right classes.</param>
    /// <param name="classes">Integers [B], written.</param>
    /// <param name="ranks">Integers [B], written.</param>
    /// <param name="confidences">[B], written.</param>
    public void Predict(Tensor features, Tensor labels, Tensor classes, Tensor ranks, Tensor confidences) =>
        Prediction.Forward(device, classes, ranks, confidences, Logits(features), labels);

    /// <summary>
    /// Computes the loss of every image and the gradient of the mean loss with respect to the features, with the right classes in <see cref="Labels"/>.
    /// </summary>
    /// <param name="features">[B, E].</param>
    /// <param name="smoothing">Label smoothing: weight of the uniform distribution in the target.</param>
    /// <returns>The gradient [B, E] in the tower's precision, valid until the next call.</returns>
    public Tensor Loss(Tensor features, float smoothing)
    {
        int batch = features.Rows;
        Tensor targets = buffers.Labels.Prefix(batch), losses = buffers.Losses.Prefix(batch), dFeatures = buffers.DFeatures.Prefix(batch, features.Columns);
        HeadLoss.Forward(device, losses, dFeatures, features, head, targets, smoothing, buffers.Scratch);
        return dFeatures;
    }

    /// <summary>The same for images that are part of a larger batch.</summary>
    /// <param name="features">[n, E].</param>
    /// <param name="dFeatures">[n, E] in the tower's precision, written: their part of the gradient of the mean over the whole batch.</param>
    /// <param name="smoothing">Label smoothing.</param>
    /// <param name="meanOver">Images of the whole batch.</param>
    public void LossOfPart(Tensor features, Tensor dFeatures, float smoothing, int meanOver)
    {
        int batch = features.Rows;
        HeadLoss.Forward(device, buffers.Losses.Prefix(batch), dFeatures, features, head, buffers.Labels.Prefix(batch), smoothing, buffers.Scratch, meanOver);
    }

    /// <summary>Losses [B] of the last <paramref name="batch"/> images that <see cref="Loss"/> saw.</summary>
    public Tensor Losses(int batch) => buffers.Losses.Prefix(batch);

    /// <inheritdoc/>
    public void Dispose() => arena.Dispose();

    private sealed class Buffers(Arena arena, int batch, int embedding, int classes, TowerPrecision precision)
    {
        public Tensor Normalized { get; } = arena.Take("normalized_features", batch, embedding);

        public Tensor Logits { get; } = arena.Take("logits", batch, classes);

        public Tensor Labels { get; } = arena.Take("labels", ElementType.Int32, batch);

        public Tensor Losses { get; } = arena.Take("losses", batch);

        public Tensor Scratch { get; } = arena.Take("loss_scratch", HeadLoss.ScratchLength(batch, classes, embedding));

        public Tensor DFeatures { get; } = arena.Take("d_features", precision.Operands(), batch, embedding);
    }
}
