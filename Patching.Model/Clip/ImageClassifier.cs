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
    public ImageClassifier(Device device, ZeroShotHead zeroShot, int batch)
    {
        this.device = device;
        Tensor weights = default;
        Buffers? made = null;
        arena = Arena.Allocate(device, "head", a =>
        {
            weights = a.Take("head", zeroShot.Classes, zeroShot.EmbeddingWidth);
            made = new Buffers(a, batch, zeroShot.EmbeddingWidth, zeroShot.Classes);
        });
        head = weights;
        buffers = made!;
        head.CopyFrom(zeroShot.Weights);
    }

    /// <summary>Bytes that a classifier takes.</summary>
    public static long BytesFor(int batch, int embeddingWidth, int classes) => Arena.Plan("head", a =>
    {
        a.Take("head", classes, embeddingWidth);
        _ = new Buffers(a, batch, embeddingWidth, classes);
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

    /// <summary>Writes the predicted class of each row of features; the lowest class wins a tie.</summary>
    public void Predict(Tensor features, Span<int> classes)
    {
        Tensor indices = buffers.Predictions.Prefix(features.Rows);
        ArgMax.Forward(device, indices, Logits(features));
        indices.CopyTo(classes);
    }

    /// <summary>
    /// Computes the loss of every image and the gradient of the mean loss with respect to the features.
    /// </summary>
    /// <param name="features">[B, E].</param>
    /// <param name="labels">B class indices.</param>
    /// <param name="smoothing">Label smoothing: weight of the uniform distribution in the target.</param>
    /// <returns>The gradient [B, E] and the losses [B], valid until the next call.</returns>
    public (Tensor DFeatures, Tensor Losses) Loss(Tensor features, ReadOnlySpan<int> labels, float smoothing)
    {
        int batch = features.Rows;
        Tensor targets = buffers.Labels.Prefix(batch), losses = buffers.Losses.Prefix(batch), dFeatures = buffers.DFeatures.Prefix(batch, features.Columns);
        targets.CopyFrom(labels);
        HeadLoss.Forward(device, losses, dFeatures, features, head, targets, smoothing, buffers.Scratch);
        return (dFeatures, losses);
    }

    /// <inheritdoc/>
    public void Dispose() => arena.Dispose();

    private sealed class Buffers(Arena arena, int batch, int embedding, int classes)
    {
        public Tensor Normalized { get; } = arena.Take("normalized_features", batch, embedding);

        public Tensor Logits { get; } = arena.Take("logits", batch, classes);

        public Tensor Labels { get; } = arena.Take("labels", ElementType.Int32, batch);

        public Tensor Predictions { get; } = arena.Take("predictions", ElementType.Int32, batch);

        public Tensor Losses { get; } = arena.Take("losses", batch);

        public Tensor Scratch { get; } = arena.Take("loss_scratch", HeadLoss.ScratchLength(batch, classes, embedding));

        public Tensor DFeatures { get; } = arena.Take("d_features", batch, embedding);
    }
}
