using Patching.Kernels;

namespace Patching.Model.Clip;

/// <summary>
/// CLIP's image tower (Radford et al. 2021; Dosovitskiy et al. 2020): patches -> linear embedding -> class token and positions -> ln_pre -> blocks -> ln_post of the
/// class token -> projection. Weights come with every call, so that one engine serves theta0, theta1 and everything between.
/// </summary>
public sealed class VisionTransformer : ImageTower
{
    private readonly Device device;
    private readonly ClipConfig config;

    /// <summary>Prepares the tower for a device.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="config">The model.</param>
    /// <param name="pixelTable">[3, 256]: the normalised value of each pixel value per channel.</param>
    public VisionTransformer(Device device, ClipConfig config, ReadOnlySpan<float> pixelTable)
        : base(device, pixelTable)
    {
        this.device = device;
        this.config = config;
    }

    /// <inheritdoc/>
    public override void Forward(ImageParameters weights, ImageActivations activations) => Forward((VisionParameters)weights, (VisionActivations)activations);

    /// <inheritdoc/>
    public override void ForwardAgain(ImageParameters weights, ImageActivations activations) =>
        ForwardUnfolded((VisionParameters)weights, (VisionActivations)activations);

    /// <inheritdoc/>
    public override void Backward(ImageParameters weights, ImageParameters gradients, ImageActivations activations, Tensor dFeatures) =>
        Backward((VisionParameters)weights, (VisionParameters)gradients, (VisionActivations)activations, dFeatures);

    /// <summary>Computes <c>activations.Features</c> [B, E] from <c>activations.Images</c>.</summary>
    public void Forward(VisionParameters weights, VisionActivations activations)
    {
        PatchEmbedding.Unfold(device, activations.Patches, activations.Images, PixelTable, config.Vision.PatchSize);
        ForwardUnfolded(weights, activations);
    }

    // A forward pass leaves the patches as they are.
    private void ForwardUnfolded(VisionParameters weights, VisionActivations activations)
    {
        VisionActivations a = activations;
        weights.Patch.Forward(device, a.PatchEmbeddings, a.Patches);
        PatchEmbedding.Assemble(device, a.Embedded, a.PatchEmbeddings, weights.ClassToken, weights.Positions, a.Batch);
        LayerNorm.Forward(
            device, a.Streams[0], a.EmbeddedMean, a.EmbeddedRstd, a.Embedded, weights.LnPreWeight, weights.LnPreBias, config.LayerNormEpsilon);
        for (int layer = 0; layer < config.Vision.Layers; layer++)
            TransformerBlock.Forward(device, a.Streams[layer + 1], a.Streams[layer], weights.Blocks[layer], a.Blocks[layer], a.Work, a.Shape);
        RowSelection.Gather(device, a.Pooled, a.Streams[^1], a.ClassRows);
        LayerNorm.Forward(
            device, a.PooledNormalized, a.PooledMean, a.PooledRstd, a.Pooled, weights.LnPostWeight, weights.LnPostBias, config.LayerNormEpsilon);
        weights.Projection.Forward(device, a.Features, a.PooledNormalized);
    }

    /// <summary>Accumulates the gradients of all parameters from <paramref name="dFeatures"/> [B, E]. The steps of the forward pass in reverse.</summary>
    public void Backward(VisionParameters weights, VisionParameters gradients, VisionActivations activations, Tensor dFeatures)
    {
        VisionActivations a = activations;
        LinearLayer.BackwardWeight(device, gradients.Projection, dFeatures, a.PooledNormalized, a.Work.Partials);
        Gemm.BackwardInput(device, a.DPooled, dFeatures, weights.Projection.Weight);
        // PooledNormalized has been used for the last time; LayerNorm's gradient takes its place.
        LayerNorm.Backward(
            device, a.PooledNormalized, gradients.LnPostWeight, gradients.LnPostBias, a.DPooled, a.Pooled, weights.LnPostWeight, a.PooledMean, a.PooledRstd,
            accumulate: false, scratch: a.Work.NormScratch);
        RowSelection.Scatter(device, a.DStream, a.PooledNormalized, a.ClassRows, a.Work.DStreamRounded);
        for (int layer = config.Vision.Layers - 1; layer >= 0; layer--)
            TransformerBlock.Backward(device, a.DStream, a.Streams[layer], weights.Blocks[layer], gradients.Blocks[layer], a.Blocks[layer], a.Work, a.Shape);
        LayerNorm.Backward(
            device, a.Work.Normalized, gradients.LnPreWeight, gradients.LnPreBias, a.Work.AsOperand(a.DStream), a.Embedded, weights.LnPreWeight, a.EmbeddedMean, a.EmbeddedRstd,
            accumulate: false, scratch: a.Work.NormScratch);
        PatchEmbedding.AssembleBackward(device, a.PatchEmbeddings, gradients.ClassToken, gradients.Positions, a.Work.Normalized, a.Batch);
        LinearLayer.BackwardWeight(device, gradients.Patch, a.PatchEmbeddings, a.Patches, a.Work.Partials);
    }
}

/// <summary>
/// A vision transformer's tensors inside a parameter set: weights, or their gradients. Matrices are those that products read, rounded where the set has rounded copies;
/// everything else is single precision.
/// </summary>
public sealed class VisionParameters : ImageParameters
{
    /// <summary>Finds the tensors by name.</summary>
    public VisionParameters(ParameterSet set, ClipConfig config)
    {
        Patch = new LinearLayer(set, "visual.conv1.weight", bias: null);
        ClassToken = set["visual.class_embedding"];
        Positions = set["visual.positional_embedding"];
        LnPreWeight = set["visual.ln_pre.weight"];
        LnPreBias = set["visual.ln_pre.bias"];
        Blocks = BlockParameters.Of(set, "visual.", config.Vision.Layers);
        LnPostWeight = set["visual.ln_post.weight"];
        LnPostBias = set["visual.ln_post.bias"];
        Projection = new LinearLayer(set, "visual.proj", bias: null);
        Layers = [Patch, .. Blocks.SelectMany(block => block.Layers), Projection];
    }

    /// <summary>The patch embedding: conv1 as a matrix [C, 3pp].</summary>
    internal LinearLayer Patch { get; }

    internal Tensor ClassToken { get; }

    internal Tensor Positions { get; }

    internal Tensor LnPreWeight { get; }

    internal Tensor LnPreBias { get; }

    internal BlockParameters[] Blocks { get; }

    internal Tensor LnPostWeight { get; }

    internal Tensor LnPostBias { get; }

    /// <summary>The projection to the shared space [E, C].</summary>
    internal LinearLayer Projection { get; }

    /// <inheritdoc/>
    private protected override IReadOnlyList<LinearLayer> Layers { get; }
}
