using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// Layer normalisation of each row of a matrix (Ba, Kiros and Hinton 2016), with N rows of C columns: <c>m = mean(x)</c>, <c>r = 1 /
/// sqrt(mean((x - m)^2) + epsilon)</c>, <c>h = (x - m) r</c>, <c>y = h gamma + beta</c>. Backward, with <c>g = dy gamma</c> and means over
/// the row: <c>dx = r (g - mean(g) - h mean(g h))</c>, <c>dgamma = sum over rows of dy h</c>, <c>dbeta = sum over rows of dy</c>. The
/// variance is the mean of squared deviations, never the difference of two large squares, so rows far from zero keep their accuracy.
/// </summary>
public static partial class LayerNorm
{
    /// <summary>
    /// Writes <c>y</c> and, where given, the row statistics that <see cref="Backward"/> needs. <paramref name="y"/> may be <paramref
    /// name="x"/>.
    /// </summary>
    /// <param name="device">Where to run.</param>
    /// <param name="y">[N, C], written.</param>
    /// <param name="mean">[N], written, or no tensor.</param>
    /// <param name="rstd">[N], reciprocal standard deviations, written, or no tensor.</param>
    /// <param name="x">[N, C].</param>
    /// <param name="gamma">[C], scale.</param>
    /// <param name="beta">[C], offset.</param>
    /// <param name="epsilon">Added to the variance, inside the root.</param>
    public static void Forward(Device device, Tensor y, Tensor mean, Tensor rstd, Tensor x, Tensor gamma, Tensor beta, float epsilon)
    {
        Require.Matrix(y, "y", x.Rows, x.Columns);
        if (mean.Exists) Require.Count(mean, "mean", x.Rows);
        if (rstd.Exists) Require.Count(rstd, "rstd", x.Rows);
        Require.Count(gamma, "gamma", x.Columns);
        Require.Count(beta, "beta", x.Columns);
        if (x.Type == ElementType.BFloat16 || y.Type == ElementType.BFloat16) Require.Cuda(device, "LayerNorm.Forward");
        if (device.Kind == DeviceKind.Cuda)
        {
            ForwardCuda(device, y, mean, rstd, x, gamma, beta, epsilon);
            return;
        }
        if (device.IsHost)
        {
            ForwardHost(device.Threads, y, mean, rstd, x, gamma, beta, epsilon);
            return;
        }
        ArrayView<float> unused = gamma.Floats;
        device.Load(a => a.LoadAutoGroupedStreamKernel<
            Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>,
            int, float, int, int>(ForwardKernel))(
            Require.Extent(x.Rows), y.Floats, mean.Exists ? mean.Floats : unused, rstd.Exists ? rstd.Floats : unused,
            x.Floats, gamma.Floats, beta.Floats, x.Columns, epsilon, mean.Exists ? 1 : 0, rstd.Exists ? 1 : 0);
    }

    /// <summary>
    /// Writes <c>dx</c> (or accumulates into it) and accumulates into <c>dgamma</c> and <c>dbeta</c>. <paramref name="dx"/> may be
    /// <paramref name="dy"/> unless it is accumulated into.
    /// </summary>
    /// <param name="device">Where to run.</param>
    /// <param name="dx">[N, C], written, or accumulated into with <paramref name="accumulate"/>.</param>
    /// <param name="dgamma">[C], accumulated into.</param>
    /// <param name="dbeta">[C], accumulated into.</param>
    /// <param name="dy">[N, C], gradient of the output.</param>
    /// <param name="x">[N, C], input of the forward pass.</param>
    /// <param name="gamma">[C], scale.</param>
    /// <param name="mean">[N], from the forward pass.</param>
    /// <param name="rstd">[N], from the forward pass.</param>
    /// <param name="accumulate">Whether <paramref name="dx"/> already holds another gradient of x, as it does beside a residual
    /// connection.</param>
    /// <param name="dxRounded">[N, C], bfloat16 copy of the final <paramref name="dx"/>, written, for the matrix products that read it next; or no tensor. CUDA
    /// only.</param>
    /// <param name="scratch">[<see cref="ScratchLength"/>], overwritten. Needed on CUDA where a tensor is bfloat16; single precision is slower without it. Other
    /// devices need none.</param>
    public static void Backward(
        Device device, Tensor dx, Tensor dgamma, Tensor dbeta, Tensor dy, Tensor x, Tensor gamma, Tensor mean, Tensor rstd, bool accumulate,
        Tensor dxRounded = default, Tensor scratch = default)
    {
        Require.Matrix(dx, "dx", x.Rows, x.Columns);
        Require.Matrix(dy, "dy", x.Rows, x.Columns);
        Require.Count(dgamma, "dgamma", x.Columns);
        Require.Count(dbeta, "dbeta", x.Columns);
        Require.Count(gamma, "gamma", x.Columns);
        Require.Count(mean, "mean", x.Rows);
        Require.Count(rstd, "rstd", x.Rows);
        bool isRounded = x.Type == ElementType.BFloat16 || dy.Type == ElementType.BFloat16 || dx.Type == ElementType.BFloat16 || dxRounded.Exists;
        if (isRounded) Require.Cuda(device, "LayerNorm.Backward");
        if (device.Kind == DeviceKind.Cuda && (isRounded || scratch.Exists))
        {
            BackwardCuda(device, dx, dgamma, dbeta, dy, x, gamma, mean, rstd, accumulate, dxRounded, scratch);
            return;
        }
        if (device.IsHost)
        {
            BackwardHost(device.Threads, dx, dgamma, dbeta, dy, x, gamma, mean, rstd, accumulate);
            return;
        }
        // Columns first: they read dy, which the rows may overwrite.
        device.Load(a => a.LoadAutoGroupedStreamKernel<
            Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>,
            int, int>(ColumnsKernel))(
            Require.Extent(x.Columns), dgamma.Floats, dbeta.Floats, dy.Floats, x.Floats, mean.Floats, rstd.Floats, x.Rows, x.Columns);
        device.Load(a => a.LoadAutoGroupedStreamKernel<
            Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>,
            int, int>(RowsKernel))(
            Require.Extent(x.Rows), dx.Floats, dy.Floats, x.Floats, gamma.Floats, mean.Floats, rstd.Floats, x.Columns, accumulate ? 1 : 0);
    }
}
