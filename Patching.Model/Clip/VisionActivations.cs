using Patching.Kernels;

namespace Patching.Model.Clip;

/// <summary>
/// All buffers of the image tower for batches of at most a fixed size, laid out in an <see cref="Arena"/>. For training every block keeps what its
/// backward needs; for inference the blocks share one set and the residual stream stays in place. In mixed precision what matrix products and the attention read is
/// bfloat16; the residual stream, the statistics and the features are single precision.
/// </summary>
public sealed class VisionActivations : ImageActivations
{
    private readonly ClipConfig config;
    private readonly TowerPrecision precision;

    private VisionActivations(Arena arena, ClipConfig config, int batch, bool training, TowerPrecision precision)
    {
        this.config = config;
        this.precision = precision;
        Shape = TowerShape.Vision(config, batch, precision);
        ElementType operands = precision.Operands();
        VisionConfig vision = config.Vision;
        int unfolded = 3 * vision.PatchSize * vision.PatchSize;
        Images = arena.Take("images", ElementType.UInt8, batch, vision.ImageSize, vision.ImageSize, 3);
        Patches = arena.Take("patches", operands, batch * vision.Patches, unfolded);
        PatchEmbeddings = arena.Take("patch_embeddings", operands, batch * vision.Patches, vision.Width);
        Embedded = arena.Take("embedded", Shape.Rows, vision.Width);
        ClassRows = arena.Take("class_rows", ElementType.Int32, batch);
        Pooled = arena.Take("pooled", batch, vision.Width);
        PooledNormalized = arena.Take("pooled_normalized", operands, batch, vision.Width);
        Features = arena.Take("features", batch, config.EmbeddingWidth);
        Work = BlockWorkspace.Take(arena, Shape, training, precision == TowerPrecision.BFloat16 ? PartialsLength(config, Shape) : 0);
        if (training)
            TakeForTraining(arena, vision);
        else
            TakeForInference(arena, vision);
    }

    private VisionActivations(VisionActivations full, int batch)
    {
        config = full.config;
        precision = full.precision;
        Shape = TowerShape.Vision(config, batch, precision);
        VisionConfig vision = config.Vision;
        Images = full.Images.Prefix(batch, vision.ImageSize, vision.ImageSize, 3);
        Patches = full.Patches.Prefix(batch * vision.Patches, full.Patches.Columns);
        PatchEmbeddings = full.PatchEmbeddings.Prefix(batch * vision.Patches, vision.Width);
        Embedded = full.Embedded.Prefix(Shape.Rows, vision.Width);
        EmbeddedMean = full.EmbeddedMean.Exists ? full.EmbeddedMean.Prefix(Shape.Rows) : default;
        EmbeddedRstd = full.EmbeddedRstd.Exists ? full.EmbeddedRstd.Prefix(Shape.Rows) : default;
        ClassRows = full.ClassRows.Prefix(batch);
        Pooled = full.Pooled.Prefix(batch, vision.Width);
        PooledMean = full.PooledMean.Exists ? full.PooledMean.Prefix(batch) : default;
        PooledRstd = full.PooledRstd.Exists ? full.PooledRstd.Prefix(batch) : default;
        PooledNormalized = full.PooledNormalized.Prefix(batch, vision.Width);
        Features = full.Features.Prefix(batch, config.EmbeddingWidth);
        DPooled = full.DPooled.Exists ? full.DPooled.Prefix(batch, vision.Width) : default;
        DStream = full.DStream.Exists ? full.DStream.Prefix(Shape.Rows, vision.Width) : default;
        Streams = [.. full.Streams.Select(stream => stream.Prefix(Shape.Rows, vision.Width))];
        Blocks = [.. full.Blocks.Select(block => block.Shrink(Shape))];
        Work = full.Work.Shrink(Shape);
    }

    /// <summary>Allocates the buffers.</summary>
    /// <param name="device">Where they live.</param>
    /// <param name="config">The model.</param>
    /// <param name="batch">B, the most images of a batch.</param>
    /// <param name="training">Whether backward will be called.</param>
    /// <param name="precision">Arithmetic of the tower.</param>
    /// <exception cref="DeviceException">The device has not enough memory.</exception>
    public static VisionActivations Allocate(
        Device device, ClipConfig config, int batch, bool training, TowerPrecision precision = TowerPrecision.Float32)
    {
        VisionActivations? activations = null;
        Arena arena = Arena.Allocate(device, "activations", a => activations = new VisionActivations(a, config, batch, training, precision));
        activations!.Own(arena);
        activations.ClassRows.CopyFrom([.. Enumerable.Range(0, batch).Select(image => image * config.Vision.Tokens)]);
        return activations;
    }

    /// <summary>Bytes that <see cref="Allocate"/> would take.</summary>
    public static long BytesFor(ClipConfig config, int batch, bool training, TowerPrecision precision = TowerPrecision.Float32) =>
        Arena.Plan("activations", a => _ = new VisionActivations(a, config, batch, training, precision)).Bytes;

    /// <inheritdoc/>
    public override int Batch => Shape.Batch;

    internal TowerShape Shape { get; }

    /// <summary>Unfolded, normalised patches [B*P, 3pp].</summary>
    internal Tensor Patches { get; }

    /// <summary>Embedded patches [B*P, C]; backward reuses it for their gradient.</summary>
    internal Tensor PatchEmbeddings { get; }

    /// <summary>Class token and patches with positions, before ln_pre [N, C].</summary>
    internal Tensor Embedded { get; }

    internal Tensor EmbeddedMean { get; private set; }

    internal Tensor EmbeddedRstd { get; private set; }

    /// <summary>Row of each image's class token [B].</summary>
    internal Tensor ClassRows { get; }

    /// <summary>Class tokens after the last block [B, C].</summary>
    internal Tensor Pooled { get; }

    internal Tensor PooledMean { get; private set; }

    internal Tensor PooledRstd { get; private set; }

    internal Tensor PooledNormalized { get; }

    internal Tensor DPooled { get; private set; }

    /// <summary>Gradient of the residual stream [N, C].</summary>
    internal Tensor DStream { get; private set; }

    /// <summary>The residual stream before each block and after the last one: Layers + 1 tensors [N, C], all the same memory for inference.</summary>
    internal Tensor[] Streams { get; private set; } = [];

    internal BlockActivations[] Blocks { get; private set; } = [];

    internal BlockWorkspace Work { get; }

    /// <summary>The same memory for a batch of fewer images.</summary>
    public VisionActivations Shrink(int batch) => batch == Batch ? this : new VisionActivations(this, batch);

    /// <inheritdoc/>
    public override ImageActivations Shrunk(int batch) => Shrink(batch);

    // The longest workspace that the gradient of a weight matrix asks for: patch embedding, a block's four, projection; also for fewer images, because the division of
    // a shorter sum may happen to have more parts.
    private static long PartialsLength(ClipConfig config, TowerShape tower)
    {
        VisionConfig vision = config.Vision;
        ReadOnlySpan<(int RowsPerImage, int Outputs, int Inputs)> matrices =
        [
            (vision.Patches, vision.Width, 3 * vision.PatchSize * vision.PatchSize),
            (vision.Tokens, 3 * vision.Width, vision.Width), (vision.Tokens, vision.Width, vision.Width),
            (vision.Tokens, vision.MlpWidth, vision.Width), (vision.Tokens, vision.Width, vision.MlpWidth), (1, config.EmbeddingWidth, vision.Width),
        ];
        long longest = 0;
        foreach ((int rows, int outputs, int inputs) in matrices)
        {
            for (int images = 1; images <= tower.Batch; images++) longest = Math.Max(longest, Gemm.WorkspaceLength(images * rows, outputs, inputs));
        }
        return longest;
    }

    private void TakeForTraining(Arena arena, VisionConfig vision)
    {
        EmbeddedMean = arena.Take("embedded_mean", Shape.Rows);
        EmbeddedRstd = arena.Take("embedded_rstd", Shape.Rows);
        PooledMean = arena.Take("pooled_mean", Shape.Batch);
        PooledRstd = arena.Take("pooled_rstd", Shape.Batch);
        DPooled = arena.Take("d_pooled", Shape.Operands, Shape.Batch, vision.Width);
        DStream = arena.Take("d_stream", Shape.Rows, vision.Width);
        Streams = [.. Enumerable.Range(0, vision.Layers + 1).Select(layer => arena.Take($"stream{layer}", Shape.Rows, vision.Width))];
        Blocks = [.. Enumerable.Range(0, vision.Layers).Select(layer => BlockActivations.ForTraining(arena, $"block{layer}", Shape))];
    }

    private void TakeForInference(Arena arena, VisionConfig vision)
    {
        Tensor stream = arena.Take("stream", Shape.Rows, vision.Width);
        Streams = [.. Enumerable.Repeat(stream, vision.Layers + 1)];
        Blocks = [.. Enumerable.Repeat(BlockActivations.ForInference(arena, Shape, stream), vision.Layers)];
    }
}
