using Patching.Kernels;

namespace Patching.Model.Clip;

/// <summary>
/// CLIP's training objective (Radford et al. 2021, figure 3): each image must find its own text among those of the batch, and each text its own image. With unit rows
/// <c>u_i = I_i / |I_i|</c>, <c>v_j = T_j / |T_j|</c> and a learned s, <c>z_ij = exp(s) u_i . v_j</c> and
/// <c>loss = mean_i (-log softmax_j(z_ij)[i] - log softmax_i(z_ij)[j = i]) / 2</c>. Every row of the batch is a negative for every other, so the batch belongs to
/// the objective and cannot be cut into smaller ones; see <see cref="Training.ContrastiveTrainer"/> for how large ones fit into memory.
/// </summary>
public sealed class ContrastiveLoss : IDisposable
{
    private readonly Device device;
    private readonly Arena arena;
    private readonly Buffers buffers;

    /// <summary>Allocates buffers for batches of exactly <paramref name="batch"/> pairs.</summary>
    /// <exception cref="DeviceException">The device has not enough memory.</exception>
    public ContrastiveLoss(Device device, int batch, int embeddingWidth)
    {
        this.device = device;
        Buffers? made = null;
        arena = Arena.Allocate(device, "contrastive loss", a => made = new Buffers(a, batch, embeddingWidth));
        buffers = made!;
        buffers.Labels.CopyFrom([.. Enumerable.Range(0, batch)]);
    }

    /// <summary>Losses of the images, then of the texts [2B]; their mean is the loss. Valid until the next call.</summary>
    public Tensor Losses => buffers.Losses;

    /// <summary>Bytes that the buffers take.</summary>
    public static long BytesFor(int batch, int embeddingWidth) => Arena.Plan("contrastive loss", a => _ = new Buffers(a, batch, embeddingWidth)).Bytes;

    /// <summary>
    /// Computes the losses and the gradients of the mean loss: writes those of the features, which may take the features' place, and accumulates that of the
    /// logarithm of the scale.
    /// </summary>
    /// <param name="dImages">[B, E], written.</param>
    /// <param name="dTexts">[B, E], written.</param>
    /// <param name="dLogScale">One element, accumulated into.</param>
    /// <param name="images">Image features [B, E], before normalisation.</param>
    /// <param name="texts">Text features [B, E], row i belonging to image i.</param>
    /// <param name="logScale">s, one element.</param>
    public void Compute(Tensor dImages, Tensor dTexts, Tensor dLogScale, Tensor images, Tensor texts, Tensor logScale)
    {
        Buffers b = buffers;
        int batch = b.Labels.Rows * b.Labels.Columns;
        float scale = 0.5f / batch;
        L2Normalize.Forward(device, b.UnitImages, b.InverseImages, images);
        L2Normalize.Forward(device, b.UnitTexts, b.InverseTexts, texts);
        LogitScale.Forward(device, b.ScaledImages, b.UnitImages, logScale);

        Gemm.Forward(device, b.ByImage, b.ScaledImages, b.UnitTexts);
        Gemm.Forward(device, b.ByText, b.UnitTexts, b.ScaledImages);
        CrossEntropy.Forward(device, b.Losses.SliceRows(0, batch), b.ByImage, b.ByImage, b.Labels, smoothing: 0, scale);
        CrossEntropy.Forward(device, b.Losses.SliceRows(batch, batch), b.ByText, b.ByText, b.Labels, smoothing: 0, scale);

        // z = ByImage = ByText^T: each side's gradient is the sum of what both softmaxes want.
        Gemm.BackwardInput(device, b.DUnit, b.ByImage, b.UnitTexts);
        Gemm.BackwardWeight(device, b.DUnit, default, b.ByText, b.UnitTexts);
        LogitScale.Backward(device, b.DUnit, dLogScale, b.DUnit, b.ScaledImages, logScale, b.RowSums);
        L2Normalize.Backward(device, dImages, b.DUnit, b.UnitImages, b.InverseImages);

        Gemm.BackwardInput(device, b.DUnit, b.ByText, b.ScaledImages);
        Gemm.BackwardWeight(device, b.DUnit, default, b.ByImage, b.ScaledImages);
        L2Normalize.Backward(device, dTexts, b.DUnit, b.UnitTexts, b.InverseTexts);
    }

    /// <inheritdoc/>
    public void Dispose() => arena.Dispose();

    private sealed class Buffers(Arena arena, int batch, int embedding)
    {
        public Tensor UnitImages { get; } = arena.Take("unit_images", batch, embedding);

        public Tensor InverseImages { get; } = arena.Take("inverse_image_norms", batch);

        public Tensor UnitTexts { get; } = arena.Take("unit_texts", batch, embedding);

        public Tensor InverseTexts { get; } = arena.Take("inverse_text_norms", batch);

        /// <summary>exp(s) u.</summary>
        public Tensor ScaledImages { get; } = arena.Take("scaled_images", batch, embedding);

        /// <summary>Logits z, a row per image; then their gradient.</summary>
        public Tensor ByImage { get; } = arena.Take("logits_by_image", batch, batch);

        /// <summary>The same numbers with a row per text.</summary>
        public Tensor ByText { get; } = arena.Take("logits_by_text", batch, batch);

        public Tensor DUnit { get; } = arena.Take("d_unit", batch, embedding);

        public Tensor RowSums { get; } = arena.Take("row_sums", batch);

        /// <summary>The right answer: row i belongs to column i.</summary>
        public Tensor Labels { get; } = arena.Take("labels", ElementType.Int32, batch);

        public Tensor Losses { get; } = arena.Take("losses", 2 * batch, 1);
    }
}
