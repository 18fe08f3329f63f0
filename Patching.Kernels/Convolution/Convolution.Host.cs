namespace Patching.Kernels;

/// <content>The host implementation: windows, and pixels backward, are divided among the threads; channels are copied and added as whole rows.</content>
public static partial class Convolution
{
    private static unsafe void UnfoldHost(HostThreads threads, Tensor windows, Tensor x, ConvolutionShape shape)
    {
        float* pWindows = windows.HostFloats, px = x.HostFloats;
        int size = shape.OutputSize;
        threads.For(shape.OutputRows, (first, end) =>
        {
            for (long row = first; row < end; row++)
            {
                long image = row / ((long)size * size);
                int top = (int)(row / size % size) * shape.Stride - shape.Padding, left = (int)(row % size) * shape.Stride - shape.Padding;
                UnfoldWindow(pWindows + row * shape.WindowLength, px + image * shape.Size * shape.Size * shape.Channels, top, left, shape);
            }
        });
    }

    /// <summary>The pixels of one line of a window lie side by side in the image, too.</summary>
    private static unsafe void UnfoldWindow(float* window, float* image, int top, int left, ConvolutionShape shape)
    {
        int first = Math.Clamp(-left, 0, shape.Window), end = Math.Clamp(shape.Size - left, first, shape.Window);
        for (int ky = 0; ky < shape.Window; ky++, window += shape.Window * shape.Channels)
        {
            int y = top + ky;
            if (y < 0 || y >= shape.Size)
            {
                HostRow.Fill(window, 0, shape.Window * shape.Channels);
                continue;
            }
            HostRow.Fill(window, 0, first * shape.Channels);
            HostRow.Copy(window + first * shape.Channels, image + ((long)y * shape.Size + left + first) * shape.Channels, (end - first) * shape.Channels);
            HostRow.Fill(window + end * shape.Channels, 0, (shape.Window - end) * shape.Channels);
        }
    }

    private static unsafe void FoldHost(HostThreads threads, Tensor dx, Tensor dwindows, ConvolutionShape shape)
    {
        float* pdx = dx.HostFloats, pWindows = dwindows.HostFloats;
        threads.For(shape.InputRows, (first, end) =>
        {
            for (long pixel = first; pixel < end; pixel++)
            {
                long image = pixel / ((long)shape.Size * shape.Size);
                float* windows = pWindows + image * shape.OutputSize * shape.OutputSize * shape.WindowLength;
                FoldPixel(pdx + pixel * shape.Channels, windows, (int)(pixel / shape.Size % shape.Size), (int)(pixel % shape.Size), shape);
            }
        });
    }

    private static unsafe void FoldPixel(float* dx, float* windows, int y, int x, ConvolutionShape shape)
    {
        int size = shape.OutputSize;
        HostRow.Fill(dx, 0, shape.Channels);
        for (int ky = shape.Window - 1; ky >= 0; ky--)
        {
            int top = y + shape.Padding - ky;
            if (top < 0 || top % shape.Stride != 0 || top / shape.Stride >= size) continue;
            for (int kx = shape.Window - 1; kx >= 0; kx--)
            {
                int left = x + shape.Padding - kx;
                if (left < 0 || left % shape.Stride != 0 || left / shape.Stride >= size) continue;
                long window = (long)(top / shape.Stride) * size + left / shape.Stride;
                HostRow.Sum(dx, dx, windows + window * shape.WindowLength + (ky * shape.Window + kx) * shape.Channels, shape.Channels);
            }
        }
    }
}
