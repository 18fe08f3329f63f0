using Patching.Kernels;

namespace Patching.Model.Clip;

/// <summary>
/// CLIP's text tower (Radford et al. 2021): token and position embeddings -> causal blocks -> ln_final of the end-of-text token -> projection.
/// Forward only: in patching the text side is frozen.
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
            EncodeBatch(weights, rows, features.AsSpan(first * config.EmbeddingWidth, rows.Length * config.EmbeddingWidth));
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

    private void EncodeBatch(TextParameters weights, int[][] rows, Span<float> features)
    {
        int[] positions = [.. rows.Select(row => PoolingPosition(row))];
        int length = positions.Max() + 1;
        TextActivations? a = null;
        using Arena arena = Arena.Allocate(device, "text activations", memory => a = new TextActivations(memory, config, rows.Length, length, precision));
        a!.Ids.CopyFrom([.. rows.SelectMany(row => row.Take(length))]);
        a.PooledRows.CopyFrom([.. positions.Select((position, i) => i * length + position)]);
        Forward(weights, a);
        a.Features.CopyTo(features);
    }

    private void Forward(TextParameters weights, TextActivations a)
    {
        TokenEmbedding.Forward(device, a.Stream, a.Ids, weights.TokenTable, weights.Positions.SliceRows(0, a.Shape.Tokens));
        foreach (BlockParameters block in weights.Blocks) TransformerBlock.Forward(device, a.Stream, a.Stream, block, a.Block, a.Work, a.Shape);
        RowSelection.Gather(device, a.Pooled, a.Stream, a.PooledRows);
        LayerNorm.Forward(device, a.PooledNormalized, default, default, a.Pooled, weights.LnFinalWeight, weights.LnFinalBias, config.LayerNormEpsilon);
        weights.Projection.Forward(device, a.Features, a.PooledNormalized);
    }

    private sealed class TextActivations
    {
        public TextActivations(Arena arena, ClipConfig config, int batch, int tokens, TowerPrecision precision)
        {
            Shape = TowerShape.Text(config, batch, tokens, precision);
            Ids = arena.Take("ids", ElementType.Int32, batch, tokens);
            PooledRows = arena.Take("pooled_rows", ElementType.Int32, batch);
            Stream = arena.Take("stream", Shape.Rows, Shape.Width);
            Block = BlockActivations.ForInference(arena, Shape, Stream);
            Work = BlockWorkspace.Take(arena, Shape, training: false);
            Pooled = arena.Take("pooled", batch, Shape.Width);
            PooledNormalized = arena.Take("pooled_normalized", Shape.Operands, batch, Shape.Width);
            Features = arena.Take("features", batch, config.EmbeddingWidth);
        }

        public TowerShape Shape { get; }

        public Tensor Ids { get; }

        public Tensor PooledRows { get; }

        public Tensor Stream { get; }

        public BlockActivations Block { get; }

        public BlockWorkspace Work { get; }

        public Tensor Pooled { get; }

        public Tensor PooledNormalized { get; }

        public Tensor Features { get; }
    }

    private sealed class TextParameters(ParameterSet set, ClipConfig config)
    {
        public Tensor TokenTable { get; } = set["token_embedding.weight"];

        public Tensor Positions { get; } = set["positional_embedding"];

        public BlockParameters[] Blocks { get; } = BlockParameters.Of(set, "", config.Text!.Layers);

        public Tensor LnFinalWeight { get; } = set["ln_final.weight"];

        public Tensor LnFinalBias { get; } = set["ln_final.bias"];

        public LinearLayer Projection { get; } = new(set, "text_projection", bias: null);
    }
}
