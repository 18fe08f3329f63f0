using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// The global norm of all gradients and the coefficient that clips it: <c>norm = sqrt(sum g^2)</c>, <c>coefficient = min(1, maxNorm / (norm
/// + 1e-6))</c> (Pascanu et al. 2013, with PyTorch's constant). Squares are summed in double precision in a fixed order that depends on
/// nothing but the number of elements, so 88 million of them lose nothing and the number of threads changes nothing. The result stays on
/// the device.
/// </summary>
public static partial class GradientNorm
{
    /// <summary>Index of the norm in the result.</summary>
    public const int Norm = 0;

    /// <summary>Index of the clip coefficient in the result.</summary>
    public const int Coefficient = 1;

    /// <summary>
    /// Elements of the scratch tensor of <see cref="Forward"/> (single-precision elements; they hold half as many doubles).
    /// </summary>
    public const int ScratchLength = 2 * (Lanes + Groups);

    // Partial sums after the first and after the second round of the portable kernels.
    private const int Lanes = 16384;
    private const int Groups = 128;

    // Guards the division; the value is PyTorch's.
    private const double NormFloor = 1e-6;

    /// <summary>
    /// Writes the norm and the clip coefficient. A norm that is infinite or NaN gives the coefficient NaN, which a caller can detect.
    /// </summary>
    /// <param name="device">Where to run.</param>
    /// <param name="result">[2]: norm, clip coefficient; written.</param>
    /// <param name="gradient">All gradients, flat.</param>
    /// <param name="scratch">[<see cref="ScratchLength"/>], overwritten.</param>
    /// <param name="maxNorm">Largest norm that is left alone; positive infinity turns clipping off.</param>
    public static void Forward(Device device, Tensor result, Tensor gradient, Tensor scratch, float maxNorm)
    {
        if (!(maxNorm > 0)) throw new ArgumentOutOfRangeException(nameof(maxNorm), maxNorm, "the largest gradient norm must be positive");
        Require.Count(result, "result", 2);
        Require.Count(scratch, "scratch", ScratchLength);
        if (!gradient.Exists) throw new ArgumentException("gradient: no tensor");
        if (device.IsHost)
        {
            ForwardHost(device.Threads, result, gradient, scratch, maxNorm);
            return;
        }
        if (device.Kind == DeviceKind.Cuda)
        {
            ForwardCuda(device, result, gradient, scratch, maxNorm);
            return;
        }
        ArrayView<double> partials = scratch.Floats.Cast<double>();
        ArrayView<double> lanes = partials.SubView(0, Lanes), groups = partials.SubView(Lanes, Groups);
        device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<double>, ArrayView<float>>(LaneKernel))(
            Require.Extent(Lanes), lanes, gradient.Floats);
        device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<double>, ArrayView<double>>(GroupKernel))(
            Require.Extent(Groups), groups, lanes);
        device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<double>, float>(ResultKernel))(
            Require.Extent(1), result.Floats, groups, maxNorm);
    }
}
