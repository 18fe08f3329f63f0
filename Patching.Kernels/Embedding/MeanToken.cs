using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// The input of an attention pooling (Radford et al. 2021, section 2.4): the pixels of a feature map become tokens, in front of them goes their mean, which will ask
/// the others, and each token gets its position. With P pixels there are T = P + 1 tokens:
/// <c>t_0 = mean_p x_p + e_0</c>, <c>t_(p+1) = x_p + e_(p+1)</c>.
/// </summary>
public static partial class MeanToken
{
    /// <summary>Writes the tokens.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="tokens">[B T, C], written.</param>
    /// <param name="x">[B P, C].</param>
    /// <param name="positions">e, [T, C].</param>
    public static void Forward(Device device, Tensor tokens, Tensor x, Tensor positions)
    {
        int batch = RequireShapes(tokens, x, positions);
        if (device.IsHost)
            ForwardHost(device.Threads, tokens, x, positions, batch);
        else
            device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, int, int>(ForwardKernel))(
                Require.Extent((long)batch * x.Columns), tokens.Floats, x.Floats, positions.Floats, positions.Rows, x.Columns);
    }

    /// <summary>Writes the gradient of the pixels and accumulates that of the positions, images in order.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="dx">[B P, C], written.</param>
    /// <param name="dpositions">[T, C], accumulated into.</param>
    /// <param name="dtokens">[B T, C].</param>
    public static void Backward(Device device, Tensor dx, Tensor dpositions, Tensor dtokens)
    {
        int batch = RequireShapes(dtokens, dx, dpositions);
        if (device.IsHost)
            BackwardHost(device.Threads, dx, dpositions, dtokens, batch);
        else
            device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, int, int, int>(BackwardKernel))(
                Require.Extent(dpositions.Count), dx.Floats, dpositions.Floats, dtokens.Floats, batch, dpositions.Rows, dx.Columns);
    }

    /// <summary>Checks that the shapes belong together and returns B.</summary>
    private static int RequireShapes(Tensor tokens, Tensor x, Tensor positions)
    {
        int length = positions.Rows;
        if (length < 2 || x.Rows % (length - 1) != 0) throw new ArgumentException($"{x.Rows} pixels for {positions} positions");
        int batch = x.Rows / (length - 1);
        Require.Matrix(x, "x", x.Rows, positions.Columns);
        Require.Matrix(tokens, "tokens", checked(batch * length), positions.Columns);
        return batch;
    }
}
