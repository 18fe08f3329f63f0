using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// Convolutions as matrix products. Images are matrices of one pixel per row (batch, y, x) and one channel per column, so a window of one pixel needs no
/// preparation: <c>y[N, O] = x[N, C] w[O, C]T</c>. For larger windows <see cref="Unfold"/> lays out every window as one row ("im2col", Chellapilla et al. 2006) and a
/// GEMM with the weight [O, k k C] does the rest; <see cref="Fold"/> is its adjoint, which brings the gradient of the windows back to the pixels. The columns of a
/// window are in the order y, x, channel, which copies whole pixels; weights have the same order.
/// </summary>
public static partial class Convolution
{
    /// <summary>Writes the windows of a batch of images, one per row; what lies outside an image is zero.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="windows">[B So So, k k C], written.</param>
    /// <param name="x">[B S S, C].</param>
    /// <param name="shape">Extents.</param>
    public static void Unfold(Device device, Tensor windows, Tensor x, ConvolutionShape shape)
    {
        RequireShapes(windows, x, shape);
        if (device.IsHost)
            UnfoldHost(device.Threads, windows, x, shape);
        else
            device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, ConvolutionShape>(UnfoldKernel))(
                Require.Extent(windows.Count), windows.Floats, x.Floats, shape);
    }

    /// <summary>Writes the gradient of <see cref="Unfold"/>'s input: every pixel gets the sum over the windows it is in, those of earlier window rows first.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="dx">[B S S, C], written.</param>
    /// <param name="dwindows">[B So So, k k C].</param>
    /// <param name="shape">Extents.</param>
    public static void Fold(Device device, Tensor dx, Tensor dwindows, ConvolutionShape shape)
    {
        RequireShapes(dwindows, dx, shape);
        if (device.IsHost)
            FoldHost(device.Threads, dx, dwindows, shape);
        else
            device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, ConvolutionShape>(FoldKernel))(
                Require.Extent(dx.Count), dx.Floats, dwindows.Floats, shape);
    }

    private static void RequireShapes(Tensor windows, Tensor x, ConvolutionShape shape)
    {
        if (shape.Window < 1 || shape.Window % 2 == 0 || shape.Stride < 1) throw new ArgumentException($"no convolution that can be computed: {shape}");
        Require.Matrix(x, "x", shape.InputRows, shape.Channels);
        Require.Matrix(windows, "windows", shape.OutputRows, shape.WindowLength);
    }
}
