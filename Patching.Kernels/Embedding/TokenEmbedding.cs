using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// The input layer of the text transformer: <c>x[b, t] = table[ids[b, t]] + positions[t]</c>. Backward adds every row of the gradient to the rows it came from;
/// a token that occurs often collects its rows in the order of the batch, so the sums have the same bits every time.
/// </summary>
public static partial class TokenEmbedding
{
    // Rows of the table are divided among workers by their id's remainder: each row has one worker, and frequent tokens, whose ids lie close together, have several.
    private const int Buckets = 64;

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

    /// <summary>
    /// Accumulates the gradients of both tables: <c>dtable[ids[b, t]] += dx[b, t]</c>, <c>dpositions[t] += dx[b, t]</c>. An id outside the vocabulary is left out.
    /// </summary>
    /// <param name="device">Where to run.</param>
    /// <param name="dtable">[V, C], accumulated into.</param>
    /// <param name="dpositions">[T, C], accumulated into.</param>
    /// <param name="dx">[B T, C].</param>
    /// <param name="ids">Integers, [B, T].</param>
    public static void Backward(Device device, Tensor dtable, Tensor dpositions, Tensor dx, Tensor ids)
    {
        int length = dpositions.Rows, width = dtable.Columns;
        Require.Matrix(dpositions, "dpositions", length, width);
        Require.Matrix(ids, "ids", ids.Rows, length);
        Require.Matrix(dx, "dx", checked((int)ids.Count), width);
        if (device.IsHost)
        {
            BackwardHost(device.Threads, dtable, dpositions, dx, ids);
            return;
        }
        device.Load(a => a.LoadAutoGroupedStreamKernel<
            Index1D, ArrayView<float>, ArrayView<float>, ArrayView<int>, int, int, int>(TableGradientKernel))(
            Require.Extent((long)Buckets * width), dtable.Floats, dx.Floats, ids.Ints, checked((int)ids.Count), width, dtable.Rows);
        device.Load(a => a.LoadAutoGroupedStreamKernel<
            Index1D, ArrayView<float>, ArrayView<float>, int, int, int>(PositionGradientKernel))(
            Require.Extent(dpositions.Count), dpositions.Floats, dx.Floats, ids.Rows, length, width);
    }
}
