using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// The learned temperature of contrastive training (Radford et al. 2021): <c>y = exp(s) x</c> for unit rows x and a trained scalar s, the logarithm of the factor of
/// the logits. Backward: <c>dx = exp(s) dy</c>, <c>ds = sum of dy y</c>. The original keeps the factor at 100 or below by clamping s after every step
/// (<see cref="Clamp"/>).
/// </summary>
public static partial class LogitScale
{
    /// <summary>Writes <paramref name="y"/>, which may be <paramref name="x"/>.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="y">[B, E], written.</param>
    /// <param name="x">[B, E].</param>
    /// <param name="logScale">s, one element.</param>
    public static void Forward(Device device, Tensor y, Tensor x, Tensor logScale)
    {
        Require.Matrix(y, "y", x.Rows, x.Columns);
        Require.Count(logScale, "logScale", 1);
        if (device.IsHost)
            ForwardHost(device.Threads, y, x, logScale);
        else
            device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>>(ForwardKernel))(
                Require.Extent(y.Count), y.Floats, x.Floats, logScale.Floats);
    }

    /// <summary>Writes <paramref name="dx"/> and accumulates into <paramref name="dlogScale"/>. The sum is formed row by row, then over the rows in order.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="dx">[B, E], written; may be <paramref name="dy"/>.</param>
    /// <param name="dlogScale">One element, accumulated into.</param>
    /// <param name="dy">[B, E].</param>
    /// <param name="y">[B, E], output of the forward pass.</param>
    /// <param name="logScale">s, one element.</param>
    /// <param name="rowSums">[B], scratch.</param>
    public static void Backward(Device device, Tensor dx, Tensor dlogScale, Tensor dy, Tensor y, Tensor logScale, Tensor rowSums)
    {
        Require.Matrix(dx, "dx", y.Rows, y.Columns);
        Require.Matrix(dy, "dy", y.Rows, y.Columns);
        Require.Count(dlogScale, "dlogScale", 1);
        Require.Count(logScale, "logScale", 1);
        Require.Count(rowSums, "rowSums", y.Rows);
        if (device.IsHost)
        {
            BackwardHost(device.Threads, dx, dlogScale, dy, y, logScale, rowSums);
            return;
        }
        device.Load(a => a.LoadAutoGroupedStreamKernel<
            Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, int>(RowsKernel))(
            Require.Extent(y.Rows), dx.Floats, rowSums.Floats, dy.Floats, y.Floats, logScale.Floats, y.Columns);
        device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, int>(SumKernel))(
            1, dlogScale.Floats, rowSums.Floats, y.Rows);
    }

    /// <summary>Limits <c>s</c> to at most <c>ln(<paramref name="mostScale"/>)</c> and at least 0, as the original does after every optimizer step.</summary>
    public static void Clamp(Device device, Tensor logScale, float mostScale = 100)
    {
        Require.Count(logScale, "logScale", 1);
        if (!(mostScale >= 1)) throw new ArgumentOutOfRangeException(nameof(mostScale), mostScale, "the greatest factor must be 1 or more");
        float most = MathF.Log(mostScale);
        if (device.IsHost)
            ClampHost(logScale, most);
        else
            device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, float>(ClampKernel))(1, logScale.Floats, most);
    }
}
