using ILGPU;
using ILGPU.Algorithms;

namespace Patching.Kernels;

/// <content>The plain kernels: one thread per row forward and for dx, one thread per column for the parameter gradients.</content>
public static partial class LayerNorm
{
    private static void ForwardKernel(
        Index1D row, ArrayView<float> y, ArrayView<float> mean, ArrayView<float> rstd, ArrayView<float> x, ArrayView<float> gamma,
        ArrayView<float> beta, int columns, float epsilon, int hasMean, int hasRstd)
    {
        long start = row.X * (long)columns;
        float sum = 0;
        for (int c = 0; c < columns; c++) sum += x[start + c];
        float m = sum / columns;

        // The sum of deviations would be zero without rounding; what it is instead says by how much the mean is off.
        float deviations = 0, squares = 0;
        for (int c = 0; c < columns; c++)
        {
            float d = x[start + c] - m;
            deviations += d;
            squares += d * d;
        }
        float correction = deviations / columns;
        float r = 1 / XMath.Sqrt((squares - deviations * correction) / columns + epsilon);

        for (int c = 0; c < columns; c++) y[start + c] = (x[start + c] - m - correction) * r * gamma[c] + beta[c];
        if (hasMean != 0) mean[row] = m + correction;
        if (hasRstd != 0) rstd[row] = r;
    }

    private static void RowsKernel(
        Index1D row, ArrayView<float> dx, ArrayView<float> dy, ArrayView<float> x, ArrayView<float> gamma, ArrayView<float> mean,
        ArrayView<float> rstd, int columns, int accumulate)
    {
        long start = row.X * (long)columns;
        float m = mean[row], r = rstd[row];
        float sum = 0, projection = 0;
        for (int c = 0; c < columns; c++)
        {
            float g = dy[start + c] * gamma[c];
            sum += g;
            projection += g * ((x[start + c] - m) * r);
        }
        sum /= columns;
        projection /= columns;
        for (int c = 0; c < columns; c++)
        {
            float g = dy[start + c] * gamma[c];
            float value = r * (g - sum - (x[start + c] - m) * r * projection);
            dx[start + c] = accumulate != 0 ? dx[start + c] + value : value;
        }
    }

    private static void ColumnsKernel(
        Index1D column, ArrayView<float> dgamma, ArrayView<float> dbeta, ArrayView<float> dy, ArrayView<float> x, ArrayView<float> mean,
        ArrayView<float> rstd, int rows, int columns)
    {
        float scale = 0, offset = 0;
        for (int row = 0; row < rows; row++)
        {
            long i = (long)row * columns + column;
            scale += dy[i] * ((x[i] - mean[row]) * rstd[row]);
            offset += dy[i];
        }
        dgamma[column] += scale;
        dbeta[column] += offset;
    }
}
