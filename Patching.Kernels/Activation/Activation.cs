using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// Element-wise non-linearities on tensors of any shape.
/// QuickGELU: <c>y = x s(x)</c> with <c>s(x) = 1 / (1 + exp(-1.702 x))</c>, <c>y' = s + 1.702 x s (1 - s)</c>.
/// GELU: <c>y = x Phi(x)</c>, <c>y' = Phi(x) + x phi(x)</c> with the normal distribution function and density.
/// The GEMM launchers apply the same functions in their epilogues; these launchers serve everything else and are what the epilogues are tested against.
/// </summary>
public static partial class Activation
{
    /// <summary>Slope of the sigmoid in QuickGELU.</summary>
    internal const float QuickGeluSlope = 1.702f;

    /// <summary>Writes <c>y = f(x)</c>; <paramref name="y"/> may be <paramref name="x"/>.</summary>
    public static void Forward(Device device, Tensor y, Tensor x, ActivationKind kind)
    {
        Require.SameCount(y, x);
        if (x.Type == ElementType.BFloat16)
        {
            Require.Cuda(device, "Activation.Forward");
            ForwardCuda(device, y, x, kind);
            return;
        }
        if (device.IsHost)
            ForwardHost(device.Threads, y, x, kind);
        else
            device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, int>(ForwardKernel))(
                Require.Extent(y.Count), y.Floats, x.Floats, (int)kind);
    }

    /// <summary>Writes <c>dx = dy f'(x)</c>; <paramref name="dx"/> may be <paramref name="dy"/>.</summary>
    public static void Backward(Device device, Tensor dx, Tensor dy, Tensor x, ActivationKind kind)
    {
        Require.SameCount(dx, dy);
        Require.SameCount(dx, x);
        if (x.Type == ElementType.BFloat16)
        {
            Require.Cuda(device, "Activation.Backward");
            BackwardCuda(device, dx, dy, x, kind);
            return;
        }
        if (device.IsHost)
            BackwardHost(device.Threads, dx, dy, x, kind);
        else
            device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, int>(BackwardKernel))(
                Require.Extent(dx.Count), dx.Floats, dy.Floats, x.Floats, (int)kind);
    }
}
