using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// The class with the largest logit of each row. The lowest index wins a tie; NaN never wins unless the row holds nothing else, which gives
/// 0.
/// </summary>
public static partial class ArgMax
{
    /// <summary>Writes the index of the largest element of each row.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="indices">Integers, [B], written.</param>
    /// <param name="logits">[B, K].</param>
    public static void Forward(Device device, Tensor indices, Tensor logits)
    {
        Require.Count(indices, "indices", logits.Rows);
        if (device.IsHost)
            ForwardHost(device.Threads, indices, logits);
        else
            device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<int>, ArrayView<float>, int>(ForwardKernel))(
                Require.Extent(logits.Rows), indices.Ints, logits.Floats, logits.Columns);
    }
}
