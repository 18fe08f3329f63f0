using ILGPU;

namespace Patching.Kernels;

/// <content>The plain kernels: one thread per number of the result.</content>
public static partial class AveragePooling
{
    private static void ForwardKernel(Index1D i, ArrayView<float> y, ArrayView<float> x, int size, int window, int channels)
    {
        int pooled = size / window, row = i / channels, image = row / (pooled * pooled);
        int top = row / pooled % pooled * window, left = row % pooled * window;
        float sum = 0;
        for (int ky = 0; ky < window; ky++)
        {
            long line = ((long)image * size + top + ky) * size + left;
            for (int kx = 0; kx < window; kx++) sum += x[(line + kx) * channels + i % channels];
        }
        y[i] = sum / (window * window);
    }

    private static void BackwardKernel(Index1D i, ArrayView<float> dx, ArrayView<float> dy, int size, int window, int channels, int accumulate)
    {
        int pooled = size / window, pixel = i / channels, image = pixel / (size * size);
        int row = pixel / size % size / window, column = pixel % size / window;
        float value = 0;
        if (row < pooled && column < pooled)
            value = dy[(((long)image * pooled + row) * pooled + column) * channels + i % channels] / (window * window);
        dx[i] = accumulate != 0 ? dx[i] + value : value;
    }
}
