using Patching.Kernels;

namespace Patching.Model.Clip;

/// <summary>
/// All buffers of the text tower for batches of at most a fixed number of texts and tokens. For training every block keeps what its backward needs; otherwise the
/// blocks share one set and the residual stream stays in place.
/// </summary>
public sealed class TextActivations : IDisposable
{
    private readonly ClipConfig config;
    private readonly TowerPrecision precision;
    private Arena? owned;

    private TextActivations(Arena arena, ClipConfig config, int batch, int tokens, bool training, TowerPrecision precision)
    {
        this.config = config;
        this.precision = precision;
        Shape = TowerShape.Text(config, batch, tokens, precision);
        Ids = arena.Take("ids", ElementType.Int32, batch, tokens);
        PooledRows = arena.Take("pooled_rows", ElementType.Int32, batch);
        Pooled = arena.Take("pooled", batch, Shape.Width);
        PooledNormalized = arena.Take("pooled_normalized", Shape.Operands, batch, Shape.Width);
        Features = arena.Take("features", batch, config.EmbeddingWidth);
        Work = BlockWorkspace.Take(arena, Shape, training);
        if (training)
        {
            PooledMean = arena.Take("pooled_mean", batch);
            PooledRstd = arena.Take("pooled_rstd", batch);
            DPooled = arena.Take("d_pooled", Shape.Operands, batch, Shape.Width);
            DStream = arena.Take("d_stream", Shape.Rows, Shape.Width);
            Streams = [.. Enumerable.Range(0, Shape.Layers + 1).Select(layer => arena.Take($"stream{layer}", Shape.Rows, Shape.Width))];
            Blocks = [.. Enumerable.Range(0, Shape.Layers).Select(layer => BlockActivations.ForTraining(arena, $"block{layer}", Shape))];
        }
        else
        {
            Tensor stream = arena.Take("stream", Shape.Rows, Shape.Width);
            Streams = [.. Enumerable.Repeat(stream, Shape.Layers + 1)];
            Blocks = [.. Enumerable.Repeat(BlockActivations.ForInference(arena, Shape, stream), Shape.Layers)];
        }
    }

    private TextActivations(TextActivations full, int batch, int tokens)
    {
        config = full.config;
        precision = full.precision;
        Shape = TowerShape.Text(config, batch, tokens, precision);
        Ids = full.Ids.Prefix(batch, tokens);
        PooledRows = full.PooledRows.Prefix(batch);
        Pooled = full.Pooled.Prefix(batch, Shape.Width);
        PooledNormalized = full.PooledNormalized.Prefix(batch, Shape.Width);
        Features = full.Features.Prefix(batch, config.EmbeddingWidth);
        Work = full.Work.Shrink(Shape);
        PooledMean = full.PooledMean.Exists ? full.PooledMean.Prefix(batch) : default;
        PooledRstd = full.PooledRstd.Exists ? full.PooledRstd.Prefix(batch) : default;
        DPooled = full.DPooled.Exists ? full.DPooled.Prefix(batch, Shape.Width) : default;
        DStream = full.DStream.Exists ? full.DStream.Prefix(Shape.Rows, Shape.Width) : default;
        Streams = [.. full.Streams.Select(stream => stream.Prefix(Shape.Rows, Shape.Width))];
        Blocks = [.. full.Blocks.Select(block => block.Shrink(Shape))];
    }

    /// <summary>Allocates the buffers.</summary>
    /// <param name="device">Where they live.</param>
    /// <param name="config">The model, with a text tower.</param>
    /// <param name="batch">B, the most texts of a batch.</param>
    /// <param name="tokens">T, the most tokens of a text.</param>
    /// <param name="training">Whether backward will be called.</param>
    /// <param name="precision">The arithmetic of the tower.</param>
    /// <exception cref="DeviceException">The device has not enough memory.</exception>
    public static TextActivations Allocate(
        Device device, ClipConfig config, int batch, int tokens, bool training, TowerPrecision precision = TowerPrecision.Float32)
    {
        TextActivations? activations = null;
        Arena arena = Arena.Allocate(device, "text activations", a => activations = new TextActivations(a, config, batch, tokens, training, precision));
        activations!.owned = arena;
        return activations;
    }

    /// <summary>Bytes that <see cref="Allocate"/> would take.</summary>
    public static long BytesFor(ClipConfig config, int batch, int tokens, bool training, TowerPrecision precision = TowerPrecision.Float32) =>
        Arena.Plan("text activations", a => _ = new TextActivations(a, config, batch, tokens, training, precision)).Bytes;

    /// <summary>Token ids [B, T], what the caller fills before a forward pass.</summary>
    public Tensor Ids { get; }

    /// <summary>Row of the residual stream, b T + t, that becomes the feature of text b [B]; filled by the caller as well.</summary>
    public Tensor PooledRows { get; }

    /// <summary>Text features [B, E], before normalisation: what a forward pass leaves.</summary>
    public Tensor Features { get; }

    internal TowerShape Shape { get; }

    /// <summary>End-of-text rows after the last block [B, C].</summary>
    internal Tensor Pooled { get; }

    internal Tensor PooledMean { get; }

    internal Tensor PooledRstd { get; }

    internal Tensor PooledNormalized { get; }

    internal Tensor DPooled { get; }

    /// <summary>Gradient of the residual stream [N, C].</summary>
    internal Tensor DStream { get; }

    /// <summary>The residual stream before each block and after the last one: Layers + 1 tensors [N, C], all the same memory where nothing is kept.</summary>
    internal Tensor[] Streams { get; }

    internal BlockActivations[] Blocks { get; }

    internal BlockWorkspace Work { get; }

    /// <summary>The same memory for a batch of fewer or shorter texts.</summary>
    public TextActivations Shrink(int batch, int tokens) => batch == Shape.Batch && tokens == Shape.Tokens ? this : new TextActivations(this, batch, tokens);

    /// <summary>
    /// Fills ids and pooled rows. Rows are cut to this batch's length; attention is causal, so what stands behind a text's pooled token changes nothing.
    /// </summary>
    /// <param name="rows">Padded token rows, at least as long as the batch.</param>
    /// <param name="positions">Position of the pooled token in each row, inside the batch's length.</param>
    public void Fill(IReadOnlyList<int[]> rows, IReadOnlyList<int> positions)
    {
        int length = Shape.Tokens;
        Ids.CopyFrom([.. rows.SelectMany(row => row.Take(length))]);
        PooledRows.CopyFrom([.. positions.Select((position, i) => i * length + position)]);
    }

    /// <inheritdoc/>
    public void Dispose() => owned?.Dispose();
}
