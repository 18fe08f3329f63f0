using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// The input layer of the text transformer: <c>x[b, t] = table[ids[b, t]] + positions[t]</c>. Forward only: the text tower stays frozen.
/// </summary>
public static partial class TokenEmbedding
{
    /// <summary>Writes the embedded tokens. An id outside the vocabulary gives a row of NaN and never reads outside the table.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="x">[B T, C], written.</param>
    /// <param name="ids">Integers, [B, T].</param>
    /// <param name="table">[V, C].</param>
    /// <param name="positions">[T, C].</param>
    public static void Forward(Device device, Tensor x, Tensor ids, Tensor table, Tensor positions)
    {
        int length = positions.Rows, width = table.Columns;
        Require.Matrix(positions, "positions", length, width);
        Require.Matrix(ids, "ids", ids.Rows, length);
        Require.Matrix(x, "x", checked((int)ids.Count), width);
        if (device.IsHost)
            ForwardHost(device.Threads, x, ids, table, positions);
        else
            device.Load(a => a.LoadAutoGroupedStreamKernel<
                Index1D, ArrayView<float>, ArrayView<int>, ArrayView<float>, ArrayView<float>, int, int, int>(ForwardKernel))(
                Require.Extent(x.Count), x.Floats, ids.Ints, table.Floats, positions.Floats, length, width, table.Rows);
    }
}
