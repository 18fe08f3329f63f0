using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// Linear interpolation of weights, the step that gives patching its name (Ilharco et al. 2022): <c>y = fl(fl((1 - alpha) theta0) +
/// fl(alpha theta1))</c>, where <c>fl</c> rounds to single precision and <c>1 - alpha</c> is computed in double precision and rounded once.
/// Every device gives the same bits, those of the original's two tensor operations. At alpha 0 and 1 the result is a copy of <c>theta0</c>
/// or <c>theta1</c>, which keeps negative zeros and is unaffected by infinities in the other one.
/// </summary>
public static partial class Interpolation
{
    /// <summary>
    /// Writes <paramref name="y"/>, which may be <paramref name="theta0"/> or <paramref name="theta1"/>. All have the same number of
    /// elements.
    /// </summary>
    /// <param name="device">Where to run.</param>
    /// <param name="y">The interpolated weights, written.</param>
    /// <param name="theta0">The weights at <paramref name="alpha"/> = 0.</param>
    /// <param name="theta1">The weights at <paramref name="alpha"/> = 1.</param>
    /// <param name="alpha">Mixing coefficient; values outside [0, 1] extrapolate.</param>
    /// <param name="rounded">The interpolated weights in bfloat16 as well, written, as <see cref="Rounding"/> rounds them; or no tensor.</param>
    /// <exception cref="ArgumentOutOfRangeException">The coefficient is not a finite number.</exception>
    public static void Forward(Device device, Tensor y, Tensor theta0, Tensor theta1, double alpha, Tensor rounded = default)
    {
        if (!double.IsFinite(alpha))
            throw new ArgumentOutOfRangeException(nameof(alpha), alpha, "the mixing coefficient must be a finite number");
        Require.SameCount(y, theta0);
        Require.SameCount(y, theta1);
        if (rounded.Exists) Require.Rounded(rounded, y);
        bool isCopy = alpha is 0 or 1, isCuda = device.Kind == DeviceKind.Cuda;
        Tensor source = alpha == 0 ? theta0 : theta1;
        float weight0 = (float)(1 - alpha), weight1 = (float)alpha;
        if (device.IsHost && isCopy)
            CopyHost(device.Threads, y, source);
        else if (device.IsHost)
            ForwardHost(device.Threads, y, theta0, theta1, weight0, weight1);
        else if (isCopy)
            y.CopyFrom(source);
        else if (isCuda)
            ForwardCuda(device, y, theta0, theta1, weight0, weight1, rounded);
        else
            device.Load(a =>
                a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, float, float>(ForwardKernel))(
                Require.Extent(y.Count), y.Floats, theta0.Floats, theta1.Floats, weight0, weight1);
        if (rounded.Exists && (isCopy || !isCuda)) Rounding.Forward(device, rounded, y);
    }

    /// <summary>The same for weights in the processor's memory that are on their way from one file to another: on the calling thread, with the same bits.</summary>
    /// <param name="theta">theta0; becomes the interpolated weights.</param>
    /// <param name="theta1">The weights at <paramref name="alpha"/> = 1, as many.</param>
    /// <param name="alpha">Mixing coefficient.</param>
    /// <exception cref="ArgumentOutOfRangeException">The coefficient is not a finite number.</exception>
    public static unsafe void InPlace(Span<float> theta, ReadOnlySpan<float> theta1, double alpha)
    {
        if (!double.IsFinite(alpha))
            throw new ArgumentOutOfRangeException(nameof(alpha), alpha, "the mixing coefficient must be a finite number");
        if (theta.Length != theta1.Length) throw new ArgumentException($"{theta.Length} and {theta1.Length} weights");
        if (alpha == 0) return;
        if (alpha == 1)
        {
            theta1.CopyTo(theta);
            return;
        }
        fixed (float* y = theta, p1 = theta1) StoreRange(y, y, p1, theta.Length, (float)(1 - alpha), (float)alpha);
    }
}
