using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// Scales each row to unit length: <c>y = x / |x|</c>. Backward: <c>dx = (dy - y (y . dy)) / |x|</c>, the part of dy that is tangential to
/// the sphere. There is no epsilon, as in the original: a row of zeros gives NaN.
/// </summary>
public static partial class L2Normalize
{
    /// <summary>
    /// Writes the unit rows and, where given, the reciprocal lengths that <see cref="Backward"/> needs. <paramref name="y"/> may be
    /// <paramref name="x"/>.
    /// </summary>
    /// <param name="device">Where to run.</param>
    /// <param name="y">[B, E], written.</param>
    /// <param name="inverseNorm">[B], written, or no tensor.</param>
    /// <param name="x">[B, E].</param>
    public static void Forward(Device device, Tensor y, Tensor inverseNorm, Tensor x)
    {
        Require.Matrix(y, "y", x.Rows, x.Columns);
        if (inverseNorm.Exists) Require.Count(inverseNorm, "inverse norm", x.Rows);
        if (device.IsHost)
            ForwardHost(device.Threads, y, inverseNorm, x);
        else
            device.Load(a =>
                a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, int, int>(ForwardKernel))(
                Require.Extent(x.Rows), y.Floats, inverseNorm.Exists ? inverseNorm.Floats : x.Floats, x.Floats, x.Columns,
                inverseNorm.Exists ? 1 : 0);
    }

    /// <summary>Writes <paramref name="dx"/>, which may be <paramref name="dy"/>.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="dx">[B, E], written.</param>
    /// <param name="dy">[B, E].</param>
    /// <param name="y">[B, E], output of the forward pass.</param>
    /// <param name="inverseNorm">[B], from the forward pass.</param>
    public static void Backward(Device device, Tensor dx, Tensor dy, Tensor y, Tensor inverseNorm)
    {
        Require.Matrix(dx, "dx", y.Rows, y.Columns);
        Require.Matrix(dy, "dy", y.Rows, y.Columns);
        Require.Count(inverseNorm, "inverse norm", y.Rows);
        if (device.IsHost)
            BackwardHost(device.Threads, dx, dy, y, inverseNorm);
        else
            device.Load(a => a.LoadAutoGroupedStreamKernel<
                Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, int>(BackwardKernel))(
                Require.Extent(y.Rows), dx.Floats, dy.Floats, y.Floats, inverseNorm.Floats, y.Columns);
    }
}
