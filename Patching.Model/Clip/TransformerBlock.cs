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
        weights.Qkv.Forward(device, saved.Qkv, work.Normalized);
        Attention.Forward(device, saved.Attended, saved.LogSumExp, saved.Qkv, tower.Attention, tower.Causal);
        weights.Out.Forward(device, saved.Middle, saved.Attended, new GemmEpilogue { Residual = x });

        LayerNorm.Forward(device, work.Normalized, saved.Mean2, saved.Rstd2, saved.Middle, weights.Ln2Weight, weights.Ln2Bias, tower.Epsilon);
        weights.Fc.Forward(device, work.Hidden, work.Normalized, new GemmEpilogue { Activation = tower.Activation, PreActivation = saved.PreActivation });
        weights.Proj.Forward(device, y, work.Hidden, new GemmEpilogue { Residual = saved.Middle });
    }

    /// <summary>
    /// Turns the gradient of the block's output into that of its input, in place in <paramref name="dx"/> [N, C], and accumulates the gradients of the weights.
    /// Read it from bottom to top beside <see cref="Forward"/>.
    /// </summary>
    public static void Backward(
        Device device, Tensor dx, Tensor x, BlockParameters weights, BlockParameters gradients, BlockActivations saved, BlockWorkspace work, TowerShape tower)
    {
        // dx as the matrix products read it; LayerNorm's gradients, which add to dx, write it anew.
        Tensor dy = work.AsOperand(dx);
        Activation.Forward(device, work.Hidden, saved.PreActivation, tower.Activation);
        LinearLayer.BackwardWeight(device, gradients.Proj, dy, work.Hidden, work.Partials);
        Gemm.BackwardInput(device, work.DHidden, dy, weights.Proj.Weight, preActivation: saved.PreActivation, kind: tower.Activation);
        LayerNorm.Forward(device, work.Normalized, default, default, saved.Middle, weights.Ln2Weight, weights.Ln2Bias, tower.Epsilon);
        LinearLayer.BackwardWeight(device, gradients.Fc, work.DHidden, work.Normalized, work.Partials);
        Gemm.BackwardInput(device, work.DNormalized, work.DHidden, weights.Fc.Weight);
        LayerNorm.Backward(
            device, dx, gradients.Ln2Weight, gradients.Ln2Bias, work.DNormalized, saved.Middle, weights.Ln2Weight, saved.Mean2, saved.Rstd2, accumulate: true,
            work.DStreamRounded, work.NormScratch);

        LinearLayer.BackwardWeight(device, gradients.Out, dy, saved.Attended, work.Partials);
        Gemm.BackwardInput(device, work.DNormalized, dy, weights.Out.Weight);
        Attention.Backward(
            device, work.DQkv, work.DNormalized, saved.Attended, saved.Qkv, saved.LogSumExp, work.Delta, tower.Attention, tower.Causal);
        LayerNorm.Forward(device, work.Normalized, default, default, x, weights.Ln1Weight, weights.Ln1Bias, tower.Epsilon);
        LinearLayer.BackwardWeight(device, gradients.Qkv, work.DQkv, work.Normalized, work.Partials);
        Gemm.BackwardInput(device, work.DNormalized, work.DQkv, weights.Qkv.Weight);
        LayerNorm.Backward(
            device, dx, gradients.Ln1Weight, gradients.Ln1Bias, work.DNormalized, x, weights.Ln1Weight, saved.Mean1, saved.Rstd1, accumulate: true,
            work.DStreamRounded, work.NormScratch);
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
/// <param name="Operands">Type of what matrix products and the attention read.</param>
internal sealed record TowerShape(
    int Batch, int Tokens, int Width, int Heads, int MlpWidth, int Layers, bool Causal, ActivationKind Activation, float Epsilon, ElementType Operands)
{
    /// <summary>N = B * T.</summary>
    public int Rows => checked(Batch * Tokens);

    /// <summary>What the attention kernels need to know.</summary>
    public AttentionShape Attention => new(Batch, Tokens, Heads, Width / Heads);

    /// <summary>The image tower of a model.</summary>
    public static TowerShape Vision(ClipConfig config, int batch, TowerPrecision precision) => new(
        batch, config.Vision.Tokens, config.Vision.Width, config.Vision.Heads, config.Vision.MlpWidth, config.Vision.Layers, Causal: false,
        config.Activation, config.LayerNormEpsilon, precision.Operands());

    /// <summary>The text tower of a model for texts of <paramref name="tokens"/> tokens.</summary>
    public static TowerShape Text(ClipConfig config, int batch, int tokens, TowerPrecision precision) => new(
        batch, tokens, config.Text!.Width, config.Text.Heads, config.Text.MlpWidth, config.Text.Layers, Causal: true,
        config.Activation, config.LayerNormEpsilon, precision.Operands());
}

/// <summary>The tensors of one block inside a parameter set: weights, or their gradients.</summary>
internal sealed class BlockParameters(ParameterSet set, string block)
{
    public Tensor Ln1Weight { get; } = set[$"{block}.ln_1.weight"];

    public Tensor Ln1Bias { get; } = set[$"{block}.ln_1.bias"];

    /// <summary>Queries, keys and values from the normalised stream.</summary>
    public LinearLayer Qkv { get; } = new(set, $"{block}.attn.in_proj_weight", $"{block}.attn.in_proj_bias");

    /// <summary>The attention's output projection.</summary>
    public LinearLayer Out { get; } = LinearLayer.Named(set, $"{block}.attn.out_proj");

    public Tensor Ln2Weight { get; } = set[$"{block}.ln_2.weight"];

    public Tensor Ln2Bias { get; } = set[$"{block}.ln_2.bias"];

    /// <summary>The MLP's first layer.</summary>
    public LinearLayer Fc { get; } = LinearLayer.Named(set, $"{block}.mlp.c_fc");

    /// <summary>The MLP's second layer.</summary>
    public LinearLayer Proj { get; } = LinearLayer.Named(set, $"{block}.mlp.c_proj");

    /// <summary>The linear layers.</summary>
    public IEnumerable<LinearLayer> Layers => [Qkv, Out, Fc, Proj];

    /// <summary>All blocks of a tower.</summary>
    public static BlockParameters[] Of(ParameterSet set, string prefix, int layers) =>
        [.. Enumerable.Range(0, layers).Select(layer => new BlockParameters(set, $"{prefix}transformer.resblocks.{layer}"))];
}
