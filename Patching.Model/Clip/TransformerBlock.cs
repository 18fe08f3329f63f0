using Patching.Kernels;

namespace Patching.Model.Clip;

/// <summary>
/// A pre-norm transformer block, the same in both towers:
/// <c>u = x + Attention(LN1(x))</c>, <c>y = u + MLP(LN2(u))</c> with <c>MLP(z) = f(z Wf^T + bf) Wp^T + bp</c> (Radford et al. 2021; Vaswani et al. 2017).
/// </summary>
/// <remarks>
/// Backward keeps only what is dear to compute again: the residual stream at both points, q/k/v, the attention's output and the MLP's pre-activation.
/// LayerNorm outputs and activations are recomputed; that costs one pass over memory and saves a third of the activations.
/// </remarks>
internal static class TransformerBlock
{
    /// <summary>Computes the block. Writes <c>saved.Middle</c>, <c>y</c> and everything else in <paramref name="saved"/>.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="y">Output [N, C]; may be <paramref name="x"/> when nothing is kept for backward.</param>
    /// <param name="x">Input [N, C].</param>
    /// <param name="weights">The block's weights.</param>
    /// <param name="saved">Buffers of this layer.</param>
    /// <param name="work">Buffers shared by all layers.</param>
    /// <param name="tower">Sizes and constants.</param>
    public static void Forward(
        Device device, Tensor y, Tensor x, BlockParameters weights, BlockActivations saved, BlockWorkspace work, TowerShape tower)
    {
        LayerNorm.Forward(device, work.Normalized, saved.Mean1, saved.Rstd1, x, weights.Ln1Weight, weights.Ln1Bias, tower.Epsilon);
        Gemm.Forward(device, saved.Qkv, work.Normalized, weights.QkvWeight, new GemmEpilogue { Bias = weights.QkvBias });
        Attention.Forward(device, saved.Attended, saved.LogSumExp, saved.Qkv, tower.Attention, tower.Causal);
        Gemm.Forward(device, saved.Middle, saved.Attended, weights.OutWeight, new GemmEpilogue { Bias = weights.OutBias, Residual = x });

        LayerNorm.Forward(device, work.Normalized, saved.Mean2, saved.Rstd2, saved.Middle, weights.Ln2Weight, weights.Ln2Bias, tower.Epsilon);
        Gemm.Forward(device, work.Hidden, work.Normalized, weights.FcWeight, new GemmEpilogue
        {
            Bias = weights.FcBias, Activation = tower.Activation, PreActivation = saved.PreActivation,
        });
        Gemm.Forward(device, y, work.Hidden, weights.ProjWeight, new GemmEpilogue { Bias = weights.ProjBias, Residual = saved.Middle });
    }

    /// <summary>
    /// Turns the gradient of the block's output into that of its input, in place in <paramref name="dx"/> [N, C], and accumulates the gradients of the weights.
    /// Read it from bottom to top beside <see cref="Forward"/>.
    /// </summary>
    public static void Backward(
        Device device, Tensor dx, Tensor x, BlockParameters weights, BlockParameters gradients, BlockActivations saved, BlockWorkspace work, TowerShape tower)
    {
        Activation.Forward(device, work.Hidden, saved.PreActivation, tower.Activation);
        Gemm.BackwardWeight(device, gradients.ProjWeight, gradients.ProjBias, dx, work.Hidden);
        Gemm.BackwardInput(device, work.DHidden, dx, weights.ProjWeight, preActivation: saved.PreActivation, kind: tower.Activation);
        LayerNorm.Forward(device, work.Normalized, default, default, saved.Middle, weights.Ln2Weight, weights.Ln2Bias, tower.Epsilon);
        Gemm.BackwardWeight(device, gradients.FcWeight, gradients.FcBias, work.DHidden, work.Normalized);
        Gemm.BackwardInput(device, work.DNormalized, work.DHidden, weights.FcWeight);
        LayerNorm.Backward(
            device, dx, gradients.Ln2Weight, gradients.Ln2Bias, work.DNormalized, saved.Middle, weights.Ln2Weight, saved.Mean2, saved.Rstd2, accumulate: true);

        Gemm.BackwardWeight(device, gradients.OutWeight, gradients.OutBias, dx, saved.Attended);
        Gemm.BackwardInput(device, work.DNormalized, dx, weights.OutWeight);
        Attention.Backward(
            device, work.DQkv, work.DNormalized, saved.Attended, saved.Qkv, saved.LogSumExp, work.Delta, tower.Attention, tower.Causal);
        LayerNorm.Forward(device, work.Normalized, default, default, x, weights.Ln1Weight, weights.Ln1Bias, tower.Epsilon);
        Gemm.BackwardWeight(device, gradients.QkvWeight, gradients.QkvBias, work.DQkv, work.Normalized);
        Gemm.BackwardInput(device, work.DNormalized, work.DQkv, weights.QkvWeight);
        LayerNorm.Backward(
            device, dx, gradients.Ln1Weight, gradients.Ln1Bias, work.DNormalized, x, weights.Ln1Weight, saved.Mean1, saved.Rstd1, accumulate: true);
    }
}

/// <summary>Sizes and constants of a tower for one batch.</summary>
/// <param name="Batch">B, sequences.</param>
/// <param name="Tokens">T, tokens of a sequence.</param>
/// <param name="Width">C.</param>
/// <param name="Heads">H.</param>
/// <param name="MlpWidth">Hidden channels of the MLP.</param>
/// <param name="Layers">Blocks.</param>
/// <param name="Causal">Whether a token sees only itself and those before it.</param>
/// <param name="Activation">The MLP's non-linearity.</param>
/// <param name="Epsilon">LayerNorm's constant.</param>
internal sealed record TowerShape(
    int Batch, int Tokens, int Width, int Heads, int MlpWidth, int Layers, bool Causal, ActivationKind Activation, float Epsilon)
{
    /// <summary>N = B * T.</summary>
    public int Rows => checked(Batch * Tokens);

    /// <summary>What the attention kernels need to know.</summary>
    public AttentionShape Attention => new(Batch, Tokens, Heads, Width / Heads);

    /// <summary>The image tower of a model.</summary>
    public static TowerShape Vision(ClipConfig config, int batch) => new(
        batch, config.Vision.Tokens, config.Vision.Width, config.Vision.Heads, config.Vision.MlpWidth, config.Vision.Layers, Causal: false,
        config.Activation, config.LayerNormEpsilon);

    /// <summary>The text tower of a model for texts of <paramref name="tokens"/> tokens.</summary>
    public static TowerShape Text(ClipConfig config, int batch, int tokens) => new(
        batch, tokens, config.Text!.Width, config.Text.Heads, config.Text.MlpWidth, config.Text.Layers, Causal: true,
        config.Activation, config.LayerNormEpsilon);
}

/// <summary>The tensors of one block inside a parameter set: weights, or their gradients.</summary>
internal sealed class BlockParameters(ParameterSet set, string block)
{
    public Tensor Ln1Weight { get; } = set[$"{block}.ln_1.weight"];

    public Tensor Ln1Bias { get; } = set[$"{block}.ln_1.bias"];

    public Tensor QkvWeight { get; } = set[$"{block}.attn.in_proj_weight"];

    public Tensor QkvBias { get; } = set[$"{block}.attn.in_proj_bias"];

    public Tensor OutWeight { get; } = set[$"{block}.attn.out_proj.weight"];

    public Tensor OutBias { get; } = set[$"{block}.attn.out_proj.bias"];

    public Tensor Ln2Weight { get; } = set[$"{block}.ln_2.weight"];

    public Tensor Ln2Bias { get; } = set[$"{block}.ln_2.bias"];

    public Tensor FcWeight { get; } = set[$"{block}.mlp.c_fc.weight"];

    public Tensor FcBias { get; } = set[$"{block}.mlp.c_fc.bias"];

    public Tensor ProjWeight { get; } = set[$"{block}.mlp.c_proj.weight"];

    public Tensor ProjBias { get; } = set[$"{block}.mlp.c_proj.bias"];

    /// <summary>All blocks of a tower.</summary>
    public static BlockParameters[] Of(ParameterSet set, string prefix, int layers) =>
        [.. Enumerable.Range(0, layers).Select(layer => new BlockParameters(set, $"{prefix}transformer.resblocks.{layer}"))];
}
