using Patching.Kernels;

namespace Patching.Model.Clip;

/// <summary>
/// What one block keeps between forward and backward. For inference one instance serves all blocks and the optional parts do not exist. Tensors that matrix products and
/// the attention read have the type <see cref="TowerShape.Operands"/>; the residual stream and all statistics are single precision.
/// </summary>
internal sealed record BlockActivations
{
    /// <summary>Mean of each row before LN1 [N].</summary>
    public Tensor Mean1 { get; init; }

    /// <summary>Reciprocal standard deviation of each row before LN1 [N].</summary>
    public Tensor Rstd1 { get; init; }

    /// <summary>Queries, keys, values [N, 3C].</summary>
    public Tensor Qkv { get; init; }

    /// <summary>Attention output before its projection [N, C].</summary>
    public Tensor Attended { get; init; }

    /// <summary>Logarithm of the softmax's denominator [B, H, T].</summary>
    public Tensor LogSumExp { get; init; }

    /// <summary>The residual stream between attention and MLP [N, C].</summary>
    public Tensor Middle { get; init; }

    /// <summary>Mean of each row before LN2 [N].</summary>
    public Tensor Mean2 { get; init; }

    /// <summary>Reciprocal standard deviation of each row before LN2 [N].</summary>
    public Tensor Rstd2 { get; init; }

    /// <summary>The MLP before its non-linearity [N, M].</summary>
    public Tensor PreActivation { get; init; }

    /// <summary>Takes the buffers of one block that is run backward later.</summary>
    public static BlockActivations ForTraining(Arena arena, string block, TowerShape tower) => new()
    {
        Mean1 = arena.Take($"{block}.mean1", tower.Rows),
        Rstd1 = arena.Take($"{block}.rstd1", tower.Rows),
        Qkv = arena.Take($"{block}.qkv", tower.Operands, tower.Rows, 3 * tower.Width),
        Attended = arena.Take($"{block}.attended", tower.Operands, tower.Rows, tower.Width),
        LogSumExp = arena.Take($"{block}.log_sum_exp", tower.Batch, tower.Heads, tower.Tokens),
        Middle = arena.Take($"{block}.middle", tower.Rows, tower.Width),
        Mean2 = arena.Take($"{block}.mean2", tower.Rows),
        Rstd2 = arena.Take($"{block}.rstd2", tower.Rows),
        PreActivation = arena.Take($"{block}.pre_activation", tower.Operands, tower.Rows, tower.MlpWidth),
    };

    /// <summary>Takes the buffers that all blocks share when nothing is kept; the residual stream is updated in place.</summary>
    public static BlockActivations ForInference(Arena arena, TowerShape tower, Tensor stream) => new()
    {
        Qkv = arena.Take("qkv", tower.Operands, tower.Rows, 3 * tower.Width),
        Attended = arena.Take("attended", tower.Operands, tower.Rows, tower.Width),
        Middle = stream,
    };

    /// <summary>The same memory for a smaller batch.</summary>
    public BlockActivations Shrink(TowerShape tower) => this with
    {
        Mean1 = Vector(Mean1, tower),
        Rstd1 = Vector(Rstd1, tower),
        Qkv = Qkv.Prefix(tower.Rows, 3 * tower.Width),
        Attended = Attended.Prefix(tower.Rows, tower.Width),
        LogSumExp = LogSumExp.Exists ? LogSumExp.Prefix(tower.Batch, tower.Heads, tower.Tokens) : default,
        Middle = Middle.Prefix(tower.Rows, tower.Width),
        Mean2 = Vector(Mean2, tower),
        Rstd2 = Vector(Rstd2, tower),
        PreActivation = PreActivation.Exists ? PreActivation.Prefix(tower.Rows, tower.MlpWidth) : default,
    };

    private static Tensor Vector(Tensor tensor, TowerShape tower) => tensor.Exists ? tensor.Prefix(tower.Rows) : default;
}

/// <summary>Buffers that every block overwrites.</summary>
internal sealed record BlockWorkspace
{
    /// <summary>Output of a LayerNorm [N, C].</summary>
    public Tensor Normalized { get; init; }

    /// <summary>The MLP after its non-linearity [N, M].</summary>
    public Tensor Hidden { get; init; }

    /// <summary>Gradient of a LayerNorm's output, and of the attention's [N, C].</summary>
    public Tensor DNormalized { get; init; }

    /// <summary>Gradient of the MLP's pre-activation [N, M].</summary>
    public Tensor DHidden { get; init; }

    /// <summary>Gradient of queries, keys, values [N, 3C]; shares memory with <see cref="DHidden"/>, which is done with by then.</summary>
    public Tensor DQkv { get; init; }

    /// <summary>Row sums of dy * y in the attention [B, H, T].</summary>
    public Tensor Delta { get; init; }

    /// <summary>
    /// In mixed precision the gradient of the residual stream once more, rounded [N, C]: the stream's gradient is a sum over all layers and stays in single precision,
    /// matrix products read this copy. Whatever writes the gradient writes both. No tensor in single precision.
    /// </summary>
    public Tensor DStreamRounded { get; init; }

    /// <summary>
    /// Scratch of the weight gradients in mixed precision: their sums run over thousands of rows, which are divided among the multiprocessors and added up afterwards.
    /// As long as the longest that one of the tower's matrices asks for; no tensor in single precision.
    /// </summary>
    public Tensor Partials { get; init; }

    /// <summary>Scratch of LayerNorm's gradients: sums over rows, part by part.</summary>
    public Tensor NormScratch { get; init; }

    /// <summary>The stream's gradient as matrix products read it.</summary>
    public Tensor AsOperand(Tensor dStream) => DStreamRounded.Exists ? DStreamRounded : dStream;

    /// <summary>Takes the buffers of a forward pass and, for training, those of a backward pass.</summary>
    /// <param name="arena">Where from.</param>
    /// <param name="tower">Sizes.</param>
    /// <param name="training">Whether backward will be called.</param>
    /// <param name="partials">Length of <see cref="Partials"/>.</param>
    public static BlockWorkspace Take(Arena arena, TowerShape tower, bool training, long partials = 0)
    {
        BlockWorkspace forward = new()
        {
            Normalized = arena.Take("normalized", tower.Operands, tower.Rows, tower.Width),
            Hidden = arena.Take("hidden", tower.Operands, tower.Rows, tower.MlpWidth),
        };
        if (!training) return forward;
        bool rounded = tower.Operands == ElementType.BFloat16;
        Tensor gradient = arena.Take("d_hidden", tower.Operands, tower.Rows, Math.Max(tower.MlpWidth, 3 * tower.Width));
        return forward with
        {
            DNormalized = arena.Take("d_normalized", tower.Operands, tower.Rows, tower.Width),
            DHidden = gradient.Prefix(tower.Rows, tower.MlpWidth),
            DQkv = gradient.Prefix(tower.Rows, 3 * tower.Width),
            Delta = arena.Take("delta", tower.Batch, tower.Heads, tower.Tokens),
            DStreamRounded = rounded ? arena.Take("d_stream_rounded", tower.Operands, tower.Rows, tower.Width) : default,
            NormScratch = arena.Take("layer_norm_scratch", LayerNorm.ScratchLength(tower.Rows, tower.Width)),
            Partials = rounded && partials > 0 ? arena.Take("partial_weight_gradients", checked((int)partials)) : default,
        };
    }

    /// <summary>The same memory for a smaller batch.</summary>
    public BlockWorkspace Shrink(TowerShape tower) => this with
    {
        Normalized = Normalized.Prefix(tower.Rows, tower.Width),
        Hidden = Hidden.Prefix(tower.Rows, tower.MlpWidth),
        DNormalized = DNormalized.Exists ? DNormalized.Prefix(tower.Rows, tower.Width) : default,
        DHidden = DHidden.Exists ? DHidden.Prefix(tower.Rows, tower.MlpWidth) : default,
        DQkv = DQkv.Exists ? DQkv.Prefix(tower.Rows, 3 * tower.Width) : default,
        Delta = Delta.Exists ? Delta.Prefix(tower.Batch, tower.Heads, tower.Tokens) : default,
        DStreamRounded = DStreamRounded.Exists ? DStreamRounded.Prefix(tower.Rows, tower.Width) : default,
    };
}
