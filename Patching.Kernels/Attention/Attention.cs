using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// Multi-head scaled dot-product attention (Vaswani et al. 2017). For every sequence and head, with rows q_i, k_j, v_j of size D:
/// <c>s_ij = q_i . k_j / sqrt(D)</c>, <c>L_i = log sum_j exp(s_ij)</c>, <c>p_ij = exp(s_ij - L_i)</c>, <c>y_i = sum_j p_ij v_j</c>;
/// causal attention lets j run to i only. No T x T matrix is ever stored: backward recomputes p from the saved L (Dao et al. 2022).
/// A row of <c>qkv</c> is q (C), k (C), v (C) of one token, heads contiguous inside each, as the fused projection writes it.
/// All matrices (qkv, y and their gradients) are single precision, or all are bfloat16 on a CUDA device with sm_80 or later and D a multiple of 8 up to 128.
/// </summary>
public static partial class Attention
{
    /// <summary>Writes <c>y</c> and, when it exists, <c>logSumExp</c>.</summary>
    /// <param name="device">Where the tensors live.</param>
    /// <param name="y">[B*T, C], written.</param>
    /// <param name="logSumExp">[B, H, T], written; needed by <see cref="Backward"/> only, so default for inference.</param>
    /// <param name="qkv">[B*T, 3C].</param>
    /// <param name="shape">B, T, H, D.</param>
    /// <param name="causal">Whether a token sees only itself and earlier tokens.</param>
    public static void Forward(Device device, Tensor y, Tensor logSumExp, Tensor qkv, AttentionShape shape, bool causal)
    {
        Require.Matrix(y, nameof(y), shape.Rows, shape.Width);
        Require.Matrix(qkv, nameof(qkv), shape.Rows, 3 * shape.Width);
        if (logSumExp.Exists) RequirePerQuery(logSumExp, nameof(logSumExp), shape);
        if (IsBFloat16(y, qkv))
        {
            ForwardCuda(device, y, logSumExp, qkv, shape, causal);
            return;
        }
        if (device.IsHost)
        {
            ForwardHost(device.Threads, y, logSumExp, qkv, shape, causal);
            return;
        }
        // An absent tensor still needs a valid view; the flag keeps the kernel from touching it.
        ArrayView<float> saved = logSumExp.Exists ? logSumExp.Floats : y.Floats;
        device.Load(a => a.LoadAutoGroupedStreamKernel<
            Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, AttentionShape, int, int>(ForwardKernel))(
            Queries(shape), y.Floats, saved, qkv.Floats, shape, causal ? 1 : 0, logSumExp.Exists ? 1 : 0);
    }

    /// <summary>
    /// Writes the gradient of q, k and v. With <c>dp_ij = dy_i . v_j</c>, <c>delta_i = dy_i . y_i</c> and
    /// <c>ds_ij = p_ij (dp_ij - delta_i) / sqrt(D)</c>:
    /// <c>dq_i = sum_j ds_ij k_j</c>, <c>dk_j = sum_i ds_ij q_i</c>, <c>dv_j = sum_i p_ij dy_i</c>.
    /// </summary>
    /// <param name="device">Where the tensors live.</param>
    /// <param name="dqkv">[B*T, 3C], written.</param>
    /// <param name="dy">[B*T, C].</param>
    /// <param name="y">[B*T, C], what <see cref="Forward"/> wrote.</param>
    /// <param name="qkv">[B*T, 3C].</param>
    /// <param name="logSumExp">[B, H, T], what <see cref="Forward"/> wrote.</param>
    /// <param name="delta">[B, H, T], scratch.</param>
    /// <param name="shape">B, T, H, D.</param>
    /// <param name="causal">As in <see cref="Forward"/>.</param>
    public static void Backward(
        Device device, Tensor dqkv, Tensor dy, Tensor y, Tensor qkv, Tensor logSumExp, Tensor delta, AttentionShape shape, bool causal)
    {
        Require.Matrix(dqkv, nameof(dqkv), shape.Rows, 3 * shape.Width);
        Require.Matrix(dy, nameof(dy), shape.Rows, shape.Width);
        Require.Matrix(y, nameof(y), shape.Rows, shape.Width);
        Require.Matrix(qkv, nameof(qkv), shape.Rows, 3 * shape.Width);
        RequirePerQuery(logSumExp, nameof(logSumExp), shape);
        RequirePerQuery(delta, nameof(delta), shape);
        if (IsBFloat16(dqkv, dy, y, qkv))
        {
            BackwardCuda(device, dqkv, dy, y, qkv, logSumExp, delta, shape, causal);
            return;
        }
        if (device.IsHost)
        {
            BackwardHost(device.Threads, dqkv, dy, y, qkv, logSumExp, delta, shape, causal);
            return;
        }
        Index1D threads = Queries(shape);
        int mask = causal ? 1 : 0;
        device.Load(a => a.LoadAutoGroupedStreamKernel<
            Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, AttentionShape>(DeltaKernel))(
            threads, delta.Floats, dy.Floats, y.Floats, shape);
        device.Load(a => a.LoadAutoGroupedStreamKernel<
            Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, AttentionShape, int>(
            QueryGradientKernel))(
            threads, dqkv.Floats, dy.Floats, qkv.Floats, logSumExp.Floats, delta.Floats, shape, mask);
        device.Load(a => a.LoadAutoGroupedStreamKernel<
            Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, AttentionShape, int>(
            KeyValueGradientKernel))(
            threads, dqkv.Floats, dy.Floats, qkv.Floats, logSumExp.Floats, delta.Floats, shape, mask);
    }

    private static void RequirePerQuery(Tensor tensor, string name, AttentionShape shape) =>
        Require.Count(tensor, name, (long)shape.Pairs * shape.Tokens);

    private static Index1D Queries(AttentionShape shape) => Require.Extent((long)shape.Pairs * shape.Tokens);
}
