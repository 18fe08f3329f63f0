using Patching.Kernels;

namespace Patching.Model.Clip;

/// <summary>
/// All buffers of a ResNet for batches of at most a fixed size. For training every convolution keeps its result and every block its output; for inference two
/// outputs take turns and convolutions are normalised in place.
/// </summary>
public sealed class ResNetActivations : ImageActivations
{
    private readonly ClipConfig config;
    private readonly ResNetConfig tower;

    private ResNetActivations(Arena arena, ClipConfig config, int batch, bool training, BatchNormStatistics statistics)
    {
        this.config = config;
        tower = (ResNetConfig)config.Image;
        Batch = batch;
        ResNetLayout layout = new(tower);
        int width = tower.FeatureWidth, rows = checked(batch * tower.Tokens);
        Images = arena.Take("images", ElementType.UInt8, batch, tower.ImageSize, tower.ImageSize, 3);
        Pixels = arena.Take("pixels", checked(batch * tower.ImageSize * tower.ImageSize), 3);
        Stem = [.. layout.Stem.Select(convolution => ConvolutionActivations.Take(arena, convolution, batch, training))];
        Blocks = [.. layout.Blocks.Select(block => BottleneckActivations.Take(arena, block, batch, training))];
        StemOutputs = [.. layout.Stem.Select(convolution => TakeOutput(arena, convolution, batch))];
        Streams = TakeStreams(arena, layout, batch, training);
        Work = ResNetWorkspace.Take(arena, layout, batch, training, training && statistics == BatchNormStatistics.Batch);
        Tokens = arena.Take("tokens", rows, width);
        Qkv = arena.Take("qkv", rows, 3 * width);
        Attended = arena.Take("attended", rows, width);
        MeanRows = arena.Take("mean_rows", ElementType.Int32, batch);
        Pooled = arena.Take("pooled", batch, width);
        Features = arena.Take("features", batch, config.EmbeddingWidth);
        if (!training) return;
        LogSumExp = arena.Take("log_sum_exp", batch, tower.Heads, tower.Tokens);
        Delta = arena.Take("delta", batch, tower.Heads, tower.Tokens);
        DPooled = arena.Take("d_pooled", batch, width);
        DAttended = arena.Take("d_attended", rows, width);
        DQkv = arena.Take("d_qkv", rows, 3 * width);
        DStream = arena.Take("d_stream", LongestStream(layout, batch));
        DStreamOther = arena.Take("d_stream_other", LongestStream(layout, batch));
        DStemOutputs = [.. layout.Stem.Select(convolution => TakeOutput(arena, convolution, batch))];
    }

    private ResNetActivations(ResNetActivations full, int batch)
    {
        config = full.config;
        tower = full.tower;
        Batch = batch;
        int rows = batch * tower.Tokens, width = tower.FeatureWidth;
        Images = full.Images.Prefix(batch, tower.ImageSize, tower.ImageSize, 3);
        Pixels = Part(full.Pixels);
        Stem = [.. full.Stem.Select(convolution => convolution.Shrink(batch))];
        Blocks = [.. full.Blocks.Select(block => block.Shrink(batch))];
        StemOutputs = [.. full.StemOutputs.Select(Part)];
        Streams = [.. full.Streams.Select(Part)];
        Work = full.Work;
        Tokens = full.Tokens.Prefix(rows, width);
        Qkv = full.Qkv.Prefix(rows, 3 * width);
        Attended = full.Attended.Prefix(rows, width);
        MeanRows = full.MeanRows.Prefix(batch);
        Pooled = Part(full.Pooled);
        Features = Part(full.Features);
        if (!full.DPooled.Exists) return;
        LogSumExp = full.LogSumExp.Prefix(batch, tower.Heads, tower.Tokens);
        Delta = full.Delta.Prefix(batch, tower.Heads, tower.Tokens);
        DPooled = Part(full.DPooled);
        DAttended = full.DAttended.Prefix(rows, width);
        DQkv = full.DQkv.Prefix(rows, 3 * width);
        DStream = full.DStream;
        DStreamOther = full.DStreamOther;
        DStemOutputs = [.. full.DStemOutputs.Select(Part)];

        Tensor Part(Tensor tensor) => tensor.Prefix(tensor.Rows / full.Batch * batch, tensor.Columns);
    }

    /// <summary>Allocates the buffers.</summary>
    /// <param name="device">Where they live.</param>
    /// <param name="config">The model; its image tower is a ResNet.</param>
    /// <param name="batch">B, the most images of a batch.</param>
    /// <param name="training">Whether backward will be called.</param>
    /// <param name="statistics">In training, whether the tower uses the statistics of the batch and moves the running ones.</param>
    /// <exception cref="DeviceException">The device has not enough memory.</exception>
    public static ResNetActivations Allocate(Device device, ClipConfig config, int batch, bool training, BatchNormStatistics statistics)
    {
        ResNetActivations? activations = null;
        Arena arena = Arena.Allocate(device, "activations", a => activations = new ResNetActivations(a, config, batch, training, statistics));
        activations!.Own(arena);
        activations.MeanRows.CopyFrom([.. Enumerable.Range(0, batch).Select(image => image * activations.tower.Tokens)]);
        return activations;
    }

    /// <summary>Bytes that <see cref="Allocate"/> would take.</summary>
    public static long BytesFor(ClipConfig config, int batch, bool training) =>
        Arena.Plan("activations", a => _ = new ResNetActivations(a, config, batch, training, BatchNormStatistics.Frozen)).Bytes;

    /// <inheritdoc/>
    public override int Batch { get; }

    /// <summary>Normalised pixels [B S S, 3].</summary>
    internal Tensor Pixels { get; }

    internal ConvolutionActivations[] Stem { get; }

    /// <summary>Outputs of the stem's convolutions; backward computes them again.</summary>
    internal Tensor[] StemOutputs { get; }

    /// <summary>The input of the first block and the output of every block; two that take turns for inference.</summary>
    internal Tensor[] Streams { get; }

    internal BottleneckActivations[] Blocks { get; }

    internal ResNetWorkspace Work { get; }

    /// <summary>The mean and the pixels of the last feature map, with positions [B T, 32 w].</summary>
    internal Tensor Tokens { get; }

    internal Tensor Qkv { get; }

    internal Tensor Attended { get; }

    internal Tensor LogSumExp { get; }

    /// <summary>Row of each image's mean [B].</summary>
    internal Tensor MeanRows { get; }

    /// <summary>What the mean was answered [B, 32 w].</summary>
    internal Tensor Pooled { get; }

    internal Tensor Delta { get; }

    internal Tensor DPooled { get; }

    internal Tensor DAttended { get; }

    internal Tensor DQkv { get; }

    /// <summary>Gradient of a block's output or input, flat.</summary>
    internal Tensor DStream { get; }

    /// <summary>The other of the two, where a block changes the shape.</summary>
    internal Tensor DStreamOther { get; }

    internal Tensor[] DStemOutputs { get; } = [];

    /// <summary>Sizes of the attention pooling.</summary>
    internal AttentionShape PoolingShape => new(Batch, tower.Tokens, tower.Heads, tower.FeatureWidth / tower.Heads);

    /// <inheritdoc/>
    public override ImageActivations Shrunk(int batch) => batch == Batch ? this : new ResNetActivations(this, batch);

    private static Tensor TakeOutput(Arena arena, ConvolutionLayout convolution, int batch) =>
        arena.Take($"{convolution.Convolution}.output", checked(batch * convolution.OutputPixels), convolution.Outputs);

    private static int LongestStream(ResNetLayout layout, int batch) => StreamShapes(layout, batch).Max(shape => checked(shape.Rows * shape.Columns));

    /// <summary>Shapes of the first block's input and of every block's output.</summary>
    private static IEnumerable<(int Rows, int Columns)> StreamShapes(ResNetLayout layout, int batch) =>
    [
        (checked(batch * layout.Blocks[0].Reduce.OutputPixels), layout.Blocks[0].Reduce.Inputs),
        .. layout.Blocks.Select(block => (checked(batch * block.Expand.OutputPixels), block.Expand.Outputs)),
    ];

    private static Tensor[] TakeStreams(Arena arena, ResNetLayout layout, int batch, bool training)
    {
        (int Rows, int Columns)[] shapes = [.. StreamShapes(layout, batch)];
        if (training) return [.. shapes.Select((shape, i) => arena.Take($"stream{i}", shape.Rows, shape.Columns))];
        int longest = LongestStream(layout, batch);
        Tensor[] turns = [arena.Take("stream0", longest), arena.Take("stream1", longest)];
        return [.. shapes.Select((shape, i) => turns[i % 2].Prefix(shape.Rows, shape.Columns))];
    }
}

/// <summary>Buffers that every block overwrites, flat, as long as the longest that one asks for.</summary>
internal sealed record ResNetWorkspace
{
    /// <summary>Whether normalisations use the statistics of the batch.</summary>
    public bool Measures { get; private init; }

    /// <summary>Convolution windows of some images, and their gradient.</summary>
    public Tensor Windows { get; init; }

    /// <summary>Scratch of the sums over columns.</summary>
    public Tensor NormScratch { get; private init; }

    /// <summary>Output of a block's first convolution.</summary>
    public Tensor Reduced { get; private init; }

    /// <summary>Output of its second convolution.</summary>
    public Tensor Spatial { get; private init; }

    /// <summary>The same after pooling; of the blocks that pool.</summary>
    public Tensor Pooled { get; private init; }

    /// <summary>The block's input after pooling.</summary>
    public Tensor PooledInput { get; private init; }

    /// <summary>Output of the shortcut; backward the gradient of the third convolution's output.</summary>
    public Tensor Wide { get; private init; }

    public Tensor DReduced { get; private init; }

    public Tensor DSpatial { get; private init; }

    public Tensor DPooled { get; private init; }

    public Tensor DPooledInput { get; private init; }

    /// <summary>Takes the buffers of a forward pass and, for training, those of a backward pass.</summary>
    public static ResNetWorkspace Take(Arena arena, ResNetLayout layout, int batch, bool training, bool measures)
    {
        int Longest(Func<BottleneckLayout, long> length) => checked((int)(batch * layout.Blocks.Max(length)));
        int inner = Longest(block => (long)block.Reduce.OutputPixels * block.Reduce.Outputs);
        int pooled = Longest(block => (long)block.Expand.OutputPixels * block.Expand.Inputs);
        int pooledInput = Longest(block => block.Shortcut is null ? 0 : (long)block.Expand.OutputPixels * block.Shortcut.Inputs);
        ResNetWorkspace forward = new()
        {
            Measures = measures,
            Windows = arena.Take("windows", layout.Convolutions.Max(convolution => NormalizedConvolution.WindowsLength(convolution, batch))),
            NormScratch = arena.Take(
                "norm_scratch", layout.Convolutions.Max(convolution => BatchNorm.ScratchLength(batch * convolution.OutputPixels, convolution.Outputs))),
            Reduced = arena.Take("reduced", inner),
            Spatial = arena.Take("spatial", inner),
            Pooled = arena.Take("pooled_inner", pooled),
            PooledInput = arena.Take("pooled_input", pooledInput),
            Wide = arena.Take("wide", Longest(block => (long)block.Expand.OutputPixels * block.Expand.Outputs)),
        };
        return !training ? forward : forward with
        {
            DReduced = arena.Take("d_reduced", inner),
            DSpatial = arena.Take("d_spatial", inner),
            DPooled = arena.Take("d_pooled_inner", pooled),
            DPooledInput = arena.Take("d_pooled_input", pooledInput),
        };
    }
}
