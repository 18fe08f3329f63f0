using Patching.Kernels;

namespace Patching.Model.Clip;

/// <summary>
/// CLIP's other image tower (Radford et al. 2021, section 2.4): a stem of three convolutions and an average pooling -> four stages of bottleneck blocks -> attention
/// pooling, in which the mean of the last feature map asks all its pixels. Images are matrices of one pixel per row throughout. Single precision only.
/// </summary>
public sealed class ResNet : ImageTower
{
    private const int StemPooling = 2;

    private readonly Device device;
    private readonly ResNetConfig config;

    /// <summary>Prepares the tower for a device.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="config">Its sizes.</param>
    /// <param name="pixelTable">[3, 256]: the normalised value of each pixel value per channel.</param>
    public ResNet(Device device, ResNetConfig config, ReadOnlySpan<float> pixelTable)
        : base(device, pixelTable)
    {
        this.device = device;
        this.config = config;
    }

    /// <inheritdoc/>
    public override void Forward(ImageParameters weights, ImageActivations activations) => Forward((ResNetParameters)weights, (ResNetActivations)activations);

    /// <inheritdoc/>
    public override void Backward(ImageParameters weights, ImageParameters gradients, ImageActivations activations, Tensor dFeatures) =>
        Backward((ResNetParameters)weights, (ResNetParameters)gradients, (ResNetActivations)activations, dFeatures);

    private void Forward(ResNetParameters weights, ResNetActivations a)
    {
        // Patches of one pixel: the image as a matrix of normalised pixels.
        PatchEmbedding.Unfold(device, a.Pixels, a.Images, PixelTable, patchSize: 1);
        Tensor x = a.Pixels;
        for (int i = 0; i < a.Stem.Length; i++)
        {
            NormalizedConvolution.Forward(device, a.StemOutputs[i], x, weights.Stem[i], a.Stem[i], a.Work);
            x = a.StemOutputs[i];
        }
        AveragePooling.Forward(device, a.Streams[0], x, config.ImageSize / 2, StemPooling);
        for (int block = 0; block < a.Blocks.Length; block++)
            Bottleneck.Forward(device, a.Streams[block + 1], a.Streams[block], weights.Blocks[block], a.Blocks[block], a.Work);
        MeanToken.Forward(device, a.Tokens, a.Streams[^1], weights.Positions);
        weights.Qkv.Forward(device, a.Qkv, a.Tokens);
        Attention.Forward(device, a.Attended, a.LogSumExp, a.Qkv, a.PoolingShape, causal: false);
        RowSelection.Gather(device, a.Pooled, a.Attended, a.MeanRows);
        weights.Projection.Forward(device, a.Features, a.Pooled);
    }

    private void Backward(ResNetParameters weights, ResNetParameters gradients, ResNetActivations a, Tensor dFeatures)
    {
        LinearLayer.BackwardWeight(device, gradients.Projection, dFeatures, a.Pooled, default);
        Gemm.BackwardInput(device, a.DPooled, dFeatures, weights.Projection.Weight);
        RowSelection.Scatter(device, a.DAttended, a.DPooled, a.MeanRows);
        Attention.Backward(device, a.DQkv, a.DAttended, a.Attended, a.Qkv, a.LogSumExp, a.Delta, a.PoolingShape, causal: false);
        LinearLayer.BackwardWeight(device, gradients.Qkv, a.DQkv, a.Tokens, default);
        // The gradient of the attention's output has been used; that of the tokens takes its place.
        Gemm.BackwardInput(device, a.DAttended, a.DQkv, weights.Qkv.Weight);
        Tensor used = a.DStream, free = a.DStreamOther, dx = used.Prefix(a.Streams[^1].Rows, a.Streams[^1].Columns);
        MeanToken.Backward(device, dx, gradients.Positions, a.DAttended);
        for (int block = a.Blocks.Length - 1; block >= 0; block--)
        {
            dx = Bottleneck.Backward(
                device, dx, free, a.Streams[block + 1], a.Streams[block], weights.Blocks[block], gradients.Blocks[block], a.Blocks[block], a.Work);
            if (weights.Blocks[block].Shortcut is not null) (used, free) = (free, used);
        }
        BackwardStem(weights, gradients, a, dx);
    }

    private void BackwardStem(ResNetParameters weights, ResNetParameters gradients, ResNetActivations a, Tensor dPooled)
    {
        for (int i = 0; i < a.Stem.Length; i++) NormalizedConvolution.Repeat(device, a.StemOutputs[i], weights.Stem[i], a.Stem[i]);
        AveragePooling.Backward(device, a.DStemOutputs[^1], dPooled, config.ImageSize / 2, StemPooling);
        for (int i = a.Stem.Length - 1; i >= 0; i--)
        {
            Tensor dy = a.DStemOutputs[i], x = i == 0 ? a.Pixels : a.StemOutputs[i - 1], dx = i == 0 ? default : a.DStemOutputs[i - 1];
            NormalizedConvolution.Backward(device, dx, dy, default, dy, a.StemOutputs[i], x, weights.Stem[i], gradients.Stem[i], a.Stem[i], a.Work);
        }
    }
}

/// <summary>A ResNet's tensors inside a parameter set: weights, or their gradients.</summary>
public sealed class ResNetParameters : ImageParameters
{
    /// <summary>Finds the tensors by name.</summary>
    public ResNetParameters(ParameterSet set, ResNetConfig config)
    {
        ResNetLayout layout = new(config);
        Stem = [.. layout.Stem.Select(convolution => new ConvolutionParameters(set, convolution))];
        Blocks = [.. layout.Blocks.Select(block => new BottleneckParameters(set, block))];
        Positions = set["visual.attnpool.positional_embedding"];
        Qkv = new LinearLayer(set, "visual.attnpool.in_proj_weight", "visual.attnpool.in_proj_bias");
        Projection = LinearLayer.Named(set, "visual.attnpool.c_proj");
        Layers = [.. Stem.Select(convolution => convolution.Kernel), .. Blocks.SelectMany(block => block.Layers), Qkv, Projection];
    }

    internal ConvolutionParameters[] Stem { get; }

    internal BottleneckParameters[] Blocks { get; }

    internal Tensor Positions { get; }

    /// <summary>Queries, keys and values of the attention pooling.</summary>
    internal LinearLayer Qkv { get; }

    /// <summary>The attention's output projection, to the shared space [E, 32 w].</summary>
    internal LinearLayer Projection { get; }

    /// <inheritdoc/>
    private protected override IReadOnlyList<LinearLayer> Layers { get; }
}
