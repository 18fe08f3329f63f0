using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// Rounds single-precision numbers to bfloat16, to nearest with ties to even: how weights get their copy for the tensor cores when nothing else that passes over them
/// (<see cref="AdamW"/>, <see cref="Interpolation"/>) writes it on the way. Runs on every device with the same bits.
/// </summary>
public static partial class Rounding
{
    /// <summary>Writes <c>rounded = x</c>, element by element in memory order.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="rounded">bfloat16, written.</param>
    /// <param name="x">Single precision, with as many elements.</param>
    public static void Forward(Device device, Tensor rounded, Tensor x)
    {
        Require.SameCount(rounded, x);
        Require.Type(rounded, "rounded", ElementType.BFloat16);
        if (device.IsHost)
            ForwardHost(device.Threads, rounded, x);
        else if (device.Kind == DeviceKind.Cuda)
            ForwardCuda(device, rounded, x);
        else
            device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<ushort>, ArrayView<float>>(ForwardKernel))(
                Require.Extent(x.Count), rounded.BFloats, x.Floats);
    }
}
