using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// Means over square windows that lie side by side, without padding: what CLIP's ResNets put in the place of strides, because a stride alone aliases (Zhang 2019).
/// Images are matrices [B S S, C] as in <see cref="Convolution"/>; the result is [B So So, C] with So = S / k rounded down, pixels at the right and bottom
/// that do not fill a window are left out.
/// </summary>
public static partial class AveragePooling
{
    /// <summary>Writes the mean of every window.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="y">[B So So, C], written.</param>
    /// <param name="x">[B S S, C].</param>
    /// <param name="size">S.</param>
    /// <param name="window">k.</param>
    public static void Forward(Device device, Tensor y, Tensor x, int size, int window)
    {
        RequireShapes(y, x, size, window);
        if (device.IsHost)
            ForwardHost(device.Threads, y, x, size, window);
        else
            device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, int, int, int>(ForwardKernel))(
                Require.Extent(y.Count), y.Floats, x.Floats, size, window, x.Columns);
    }

    /// <summary>Writes the gradient of the input, or adds it: every pixel of a window gets <c>1 / k^2</c> of the window's gradient, pixels in no window get nothing.</summary>
    /// <param name="device">Where to run.</param>
    /// <param name="dx">[B S S, C], written, or accumulated into with <paramref name="accumulate"/>.</param>
    /// <param name="dy">[B So So, C].</param>
    /// <param name="size">S.</param>
    /// <param name="window">k.</param>
    /// <param name="accumulate">Whether to add to <paramref name="dx"/>.</param>
    public static void Backward(Device device, Tensor dx, Tensor dy, int size, int window, bool accumulate = false)
    {
        RequireShapes(dy, dx, size, window);
        if (device.IsHost)
            BackwardHost(device.Threads, dx, dy, size, window, accumulate);
        else
            device.Load(a => a.LoadAutoGroupedStreamKernel<Index1D, ArrayView<float>, ArrayView<float>, int, int, int, int>(BackwardKernel))(
                Require.Extent(dx.Count), dx.Floats, dy.Floats, size, window, dx.Columns, accumulate ? 1 : 0);
    }

    private static void RequireShapes(Tensor y, Tensor x, int size, int window)
    {
        if (window < 1 || window > size) throw new ArgumentException($"a window of {window} over images of {size}");
        if (x.Rows % (size * size) != 0) throw new ArgumentException($"{x.Rows} pixels are no images of {size} x {size}");
        int pooled = size / window;
        Require.Matrix(y, "y", x.Rows / (size * size) * pooled * pooled, x.Columns);
    }
}
