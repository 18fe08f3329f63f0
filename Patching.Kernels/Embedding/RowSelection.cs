using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// Picks one row per sequence, which is how a transformer is pooled: <c>y[b] = x[rows[b]]</c> (the class token of an image, the end-of-text
/// token of a text). The gradient puts the rows back where they came from.
/// </summary>
public static partial class RowSelection
{
    /// <summary>Writes the selected rows. A row number outside the matrix gives a row of NaN and never reads outside it.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="y">[B, C], written.</param>
    /// <param name="x">[N, C].</param>
    /// <param name="rows">Integers, [B].</param>
    public static void Gather(Device device, Tensor y, Tensor x, Tensor rows)
    {
        Require.Matrix(y, "y", checked((int)rows.Count), x.Columns);
        if (device.IsHost)
            GatherHost(device.Threads, y, x, rows);
        else
            device.Load(a =>
                a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, ArrayView<int>, int, int>(GatherKernel))(
                Require.Extent(y.Count), y.Floats, x.Floats, rows.Ints, x.Columns, x.Rows);
    }

    /// <summary>
    /// Writes the gradient of <see cref="Gather"/>'s input: zero except in the selected rows, where rows selected twice add up in the order
    /// of the batch. A row number outside the matrix is left out.
    /// </summary>
    /// <param name="device">Where to run.</param>
    /// <param name="dx">[N, C], written.</param>
    /// <param name="dy">[B, C]; on CUDA single precision or bfloat16.</param>
    /// <param name="rows">Integers, [B].</param>
    /// <param name="rounded">[N, C], bfloat16 copy of <paramref name="dx"/>, written; or no tensor. CUDA only.</param>
    public static void Scatter(Device device, Tensor dx, Tensor dy, Tensor rows, Tensor rounded = default)
    {
        Require.Matrix(dy, "dy", checked((int)rows.Count), dx.Columns);
        if (rounded.Exists) Require.Rounded(rounded, dx);
        if (rounded.Exists || dy.Type == ElementType.BFloat16) Require.Cuda(device, "RowSelection.Scatter");
        if (device.Kind == DeviceKind.Cuda)
        {
            ScatterCuda(device, dx, dy, rows, rounded);
            return;
        }
        if (device.IsHost)
        {
            ScatterHost(device.Threads, dx, dy, rows);
            return;
        }
        dx.Clear();
        device.Load(a =>
            a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, ArrayView<int>, int, int>(ScatterKernel))(
            Require.Extent(dx.Columns), dx.Floats, dy.Floats, rows.Ints, dx.Columns, dx.Rows);
    }
}
