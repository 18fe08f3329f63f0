using ILGPU;

namespace Patching.Kernels;

/// <content>The plain kernels: one thread per number of the result.</content>
public static partial class Convolution
{
    private static void UnfoldKernel(Index1D i, ArrayView<float> windows, ArrayView<float> x, ConvolutionShape shape)
    {
        int size = shape.OutputSize, row = i / shape.WindowLength, column = i % shape.WindowLength;
        int image = row / (size * size), pixel = column / shape.Channels;
        int y = row / size % size * shape.Stride + pixel / shape.Window - shape.Padding;
        int left = row % size * shape.Stride + pixel % shape.Window - shape.Padding;
        float value = 0;
        if (y >= 0 && y < shape.Size && left >= 0 && left < shape.Size)
            value = x[(((long)image * shape.Size + y) * shape.Size + left) * shape.Channels + column % shape.Channels];
        windows[i] = value;
    }

    private static void FoldKernel(Index1D i, ArrayView<float> dx, ArrayView<float> dwindows, ConvolutionShape shape)
    {
        int pixel = i / shape.Channels, channel = i % shape.Channels, size = shape.OutputSize;
        int image = pixel / (shape.Size * shape.Size), y = pixel / shape.Size % shape.Size, x = pixel % shape.Size;
        float sum = 0;
        for (int ky = shape.Window - 1; ky >= 0; ky--)
        {
            for (int kx = shape.Window - 1; kx >= 0; kx--)
            {
                // The window in which this pixel is at (ky, kx) begins there.
                int top = y + shape.Padding - ky, left = x + shape.Padding - kx;
                int row = top / shape.Stride, column = left / shape.Stride;
                if (top >= 0 && left >= 0 && row * shape.Stride == top && column * shape.Stride == left && row < size && column < size)
                    sum += dwindows[(((long)image * size + row) * size + column) * shape.WindowLength + (ky * shape.Window + kx) * shape.Channels + channel];
            }
        }
        dx[i] = sum;
    }
}
