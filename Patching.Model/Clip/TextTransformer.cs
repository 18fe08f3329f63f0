using Patching.Kernels;

namespace Patching.Model.Clip;

/// <summary>
/// CLIP's text tower (Radford et al. 2021): token and position embeddings -> causal blocks -> ln_final of the end-of-text token -> projection. Weights come with every
/// call, as in <see cref="VisionTransformer"/>. In patching it is frozen and only runs forward; contrastive training runs it backward too.
/// </summary>
public sealed class TextTransformer
{
    private readonly Device device;
    private readonly ClipConfig config;
    private readonly TextConfig text;
    private readonly TowerPrecision precision;

    /// <summary>Prepares the tower for a device.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="config">The model.</param>
    /// <param name="precision">The tower's arithmetic, that of the weights it will be given.</param>
    /// <exception cref="InputException">The model has no text tower.</exception>
    public TextTransformer(Device device, ClipConfig config, TowerPrecision precision = TowerPrecision.Float32)
    {
        this.device = device;
        this.config = config;
        this.precision = precision;
        text = config.Text ?? throw new InputException("the model has no text tower, so no head can be built from class names; use a complete CLIP model");
    }

    /// <summary>
    /// Text features [n, E], row-major, before normalisation.
    /// </summary>
    /// <remarks>
    /// Attention is causal, so nothing behind the end-of-text token can reach it: each batch is cut after its last end-of-text token, which changes no bit of the
    /// result's meaning and saves most of the work of short prompts.
    /// </remarks>
    /// <param name="parameters">The text tower's weights.</param>
    /// <param name="tokens">Padded rows of <see cref="TextConfig.ContextLength"/> ids.</param>
    /// <param name="batchSize">Texts per batch.</param>
    public float[] Encode(ParameterSet parameters, IReadOnlyList<int[]> tokens, int batchSize = 64)
    {
        float[] features = new float[tokens.Count * config.EmbeddingWidth];
        TextParameters weights = new(parameters, config);
        for (int first = 0; first < tokens.Count; first += batchSize)
        {
            int[][] rows = [.. tokens.Skip(first).Take(batchSize)];
            int[] positions = [.. rows.Select(row => PoolingPosition(row))];
            using TextActivations activations = TextActivations.Allocate(device, config, rows.Length, positions.Max() + 1, training: false, precision);
            activations.Fill(rows, positions);
            Forward(weights, activations);
            activations.Features.CopyTo(features.AsSpan(first * config.EmbeddingWidth, rows.Length * config.EmbeddingWidth));
        }
        return features;
    }

    /// <summary>Position of the token whose row becomes the feature.</summary>
    public int PoolingPosition(ReadOnlySpan<int> row)
    {
        if (text.Pooling == TextPooling.FirstEndOfText) return Math.Max(row.IndexOf(text.EndOfTextId), 0);
        int best = 0;
        for (int i = 1; i < row.Length; i++)
        {
            if (row[i] > row[best]) best = i;
        }
        return best;
    }

    /// <summary>Computes <c>activations.Features</c> [B, E] from <c>activations.Ids</c> and <c>activations.PooledRows</c>.</summary>
    public void Forward(TextParameters weights, TextActivations activations)
    {
        TextActivations a = activations;
        TokenEmbedding.Forward(device, a.Streams[0], a.Ids, weights.TokenTable, weights.Positions.SliceRows(0, a.Shape.Tokens));
        for (int layer = 0; layer < text.Layers; layer++)
            TransformerBlock.Forward(device, a.Streams[layer + 1], a.Streams[layer], weights.Blocks[layer], a.Blocks[layer], a.Work, a.Shape);
        RowSelection.Gather(device, a.Pooled, a.Streams[^1], a.PooledRows);
        LayerNorm.Forward(
            device, a.PooledNormalized, a.PooledMean, a.PooledRstd, a.Pooled, weights.LnFinalWeight, weights.LnFinalBias, config.LayerNormEpsilon);
        weights.Projection.Forward(device, a.Features, a.PooledNormalized);
    }

    /// <summary>Accumulates the gradients of all parameters from <paramref name="dFeatures"/> [B, E]. The steps of <see cref="Forward"/> in reverse.</summary>
    public void Backward(TextParameters weights, TextParameters gradients, TextActivations activations, Tensor dFeatures)
    {
        TextActivations a = activations;
        LinearLayer.BackwardWeight(device, gradients.Projection, dFeatures, a.PooledNormalized, a.Work.Partials);
        Gemm.BackwardInput(device, a.DPooled, dFeatures, weights.Projection.Weight);
        // PooledNormalized has been used for the last time; LayerNorm's gradient takes its place.
        LayerNorm.Backward(
            device, a.PooledNormalized, gradients.LnFinalWeight, gradients.LnFinalBias, a.DPooled, a.Pooled, weights.LnFinalWeight, a.PooledMean, a.PooledRstd,
            accumulate: false, scratch: a.Work.NormScratch);
        RowSelection.Scatter(device, a.DStream, a.PooledNormalized, a.PooledRows, a.Work.DStreamRounded);
        for (int layer = text.Layers - 1; layer >= 0; layer--)
            TransformerBlock.Backward(device, a.DStream, a.Streams[layer], weights.Blocks[layer], gradients.Blocks[layer], a.Blocks[layer], a.Work, a.Shape);
        TokenEmbedding.Backward(device, gradients.TokenTable, gradients.Positions.SliceRows(0, a.Shape.Tokens), a.DStream, a.Ids);
    }
}

/// <summary>The text tower's tensors inside a parameter set: weights, or their gradients.</summary>
public sealed class TextParameters(ParameterSet set, ClipConfig config)
{
    internal Tensor TokenTable { get; } = set["token_embedding.weight"];

    internal Tensor Positions { get; } = set["positional_embedding"];

    internal BlockParameters[] Blocks { get; } = BlockParameters.Of(set, "", config.Text!.Layers);

    internal Tensor LnFinalWeight { get; } = set["ln_final.weight"];

    internal Tensor LnFinalBias { get; } = set["ln_final.bias"];

    /// <summary>The projection to the shared space [E, C].</summary>
    internal LinearLayer Projection { get; } = new(set, "text_projection", bias: null);

    /// <summary>The logarithm of the factor of the logits, one element.</summary>
    internal Tensor LogScale { get; } = set["logit_scale"];
}
