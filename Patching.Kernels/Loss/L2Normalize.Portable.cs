using ILGPU;
using ILGPU.Algorithms;

namespace Patching.Kernels;

/// <content>The plain kernels: one thread per row.</content>
public static partial class L2Normalize
{
    private static void ForwardKernel(
        Index1D row, ArrayView<float> y, ArrayView<float> inverseNorm, ArrayView<float> x, int columns, int hasInverseNorm)
    {
        long start = row.X * (long)columns;
        float squares = 0;
        for (int c = 0; c < columns; c++) squares += x[start + c] * x[start + c];
        float scale = 1 / XMath.Sqrt(squares);
        for (int c = 0; c < columns; c++) y[start + c] = x[start + c] * scale;
        if (hasInverseNorm != 0) inverseNorm[row] = scale;
    }

    private static void BackwardKernel(
        Index1D row, ArrayView<float> dx, ArrayView<float> dy, ArrayView<float> y, ArrayView<float> inverseNorm, int columns)
    {
        long start = row.X * (long)columns;
        float radial = 0;
        for (int c = 0; c < columns; c++) radial += y[start + c] * dy[start + c];
        for (int c = 0; c < columns; c++) dx[start + c] = (dy[start + c] - y[start + c] * radial) * inverseNorm[row];
    }
}
