using ILGPU;
using ILGPU.Algorithms;

namespace Patching.Kernels;

/// <content>
/// The plain kernels: sums have one thread per part and column, neighbours in a row, and one per column that adds up the parts; the rest one per element.
/// Scratch holds a pair of sums per column, first those of the whole matrix, then those of every part.
/// </content>
public static partial class BatchNorm
{
    /// <summary>Part p takes rows p, p + parts, ...</summary>
    private static void SumsKernel(Index1D i, ArrayView<float> scratch, ArrayView<float> x, int rows, int columns, int parts)
    {
        int column = i % columns;
        float sum = 0;
        for (int row = i / columns; row < rows; row += parts) sum += x[(long)row * columns + column];
        scratch[2 * (i.X + columns)] = sum;
    }

    private static void MeanKernel(Index1D column, ArrayView<float> mean, ArrayView<float> scratch, int rows, int columns, int parts)
    {
        float sum = 0;
        for (int part = 1; part <= parts; part++) sum += scratch[2 * (part * columns + column.X)];
        mean[column] = sum / rows;
    }

    private static void DeviationsKernel(
        Index1D i, ArrayView<float> scratch, ArrayView<float> x, ArrayView<float> mean, int rows, int columns, int parts)
    {
        int column = i % columns;
        float m = mean[column], deviations = 0, squares = 0;
        for (int row = i / columns; row < rows; row += parts)
        {
            float d = x[(long)row * columns + column] - m;
            deviations += d;
            squares += d * d;
        }
        scratch[2 * (i.X + columns)] = deviations;
        scratch[2 * (i.X + columns) + 1] = squares;
    }

    private static void StatisticsKernel(
        Index1D column, ArrayView<float> mean, ArrayView<float> rstd, ArrayView<float> runningMean, ArrayView<float> runningVariance, ArrayView<float> scratch,
        int rows, int columns, int parts, float epsilon, float momentum)
    {
        float deviations = 0, squares = 0;
        for (int part = 1; part <= parts; part++)
        {
            deviations += scratch[2 * (part * columns + column.X)];
            squares += scratch[2 * (part * columns + column.X) + 1];
        }
        // The sum of deviations would be zero without rounding; what it is instead says by how much the mean is off.
        float correction = deviations / rows, sum = squares - deviations * correction, m = mean[column] + correction;
        mean[column] = m;
        rstd[column] = 1 / XMath.Sqrt(sum / rows + epsilon);
        runningMean[column] = (1 - momentum) * runningMean[column] + momentum * m;
        runningVariance[column] = (1 - momentum) * runningVariance[column] + momentum * (sum / XMath.Max(rows - 1, 1));
    }

    private static void RecallKernel(
        Index1D column, ArrayView<float> mean, ArrayView<float> rstd, ArrayView<float> runningMean, ArrayView<float> runningVariance, float epsilon)
    {
        mean[column] = runningMean[column];
        rstd[column] = 1 / XMath.Sqrt(runningVariance[column] + epsilon);
    }

    private static void ForwardKernel(
        Index1D i, ArrayView<float> y, ArrayView<float> x, ArrayView<float> mean, ArrayView<float> rstd, ArrayView<float> gamma, ArrayView<float> beta,
        ArrayView<float> residual, int columns, int hasResidual, int relu)
    {
        int column = i % columns;
        float value = (x[i] - mean[column]) * rstd[column] * gamma[column] + beta[column];
        if (hasResidual != 0) value += residual[i];
        // Not a maximum: NaN must stay NaN.
        if (relu != 0 && value < 0) value = 0;
        y[i] = value;
    }

    private static void ProductsKernel(
        Index1D i, ArrayView<float> scratch, ArrayView<float> dy, ArrayView<float> y, ArrayView<float> x, ArrayView<float> mean, ArrayView<float> rstd,
        int rows, int columns, int parts, int masked)
    {
        int column = i % columns;
        float m = mean[column], r = rstd[column], sum = 0, projection = 0;
        for (int row = i / columns; row < rows; row += parts)
        {
            long at = (long)row * columns + column;
            float g = dy[at];
            if (masked != 0 && y[at] <= 0) g = 0;
            sum += g;
            projection += g * ((x[at] - m) * r);
        }
        scratch[2 * (i.X + columns)] = sum;
        scratch[2 * (i.X + columns) + 1] = projection;
    }

    private static void ParametersKernel(
        Index1D column, ArrayView<float> dgamma, ArrayView<float> dbeta, ArrayView<float> scratch, int columns, int parts)
    {
        float sum = 0, projection = 0;
        for (int part = 1; part <= parts; part++)
        {
            sum += scratch[2 * (part * columns + column.X)];
            projection += scratch[2 * (part * columns + column.X) + 1];
        }
        dbeta[column] += sum;
        dgamma[column] += projection;
        scratch[2 * column.X] = sum;
        scratch[2 * column.X + 1] = projection;
    }

    /// <summary>Flags: 1 where dresidual is wanted, 2 where y masks dy. The inverse count is 0 for frozen statistics.</summary>
    private static void InputKernel(
        Index1D i, ArrayView<float> dx, ArrayView<float> dresidual, ArrayView<float> dy, ArrayView<float> y, ArrayView<float> x, ArrayView<float> gamma,
        ArrayView<float> mean, ArrayView<float> rstd, ArrayView<float> scratch, int columns, int flags, float inverseCount)
    {
        int column = i % columns;
        float g = dy[i];
        if ((flags & 2) != 0 && y[i] <= 0) g = 0;
        if ((flags & 1) != 0) dresidual[i] = g;
        float value = g;
        if (inverseCount != 0)
        {
            float h = (x[i] - mean[column]) * rstd[column];
            value = g - inverseCount * scratch[2 * column] - h * (inverseCount * scratch[2 * column + 1]);
        }
        dx[i] = gamma[column] * rstd[column] * value;
    }
}
