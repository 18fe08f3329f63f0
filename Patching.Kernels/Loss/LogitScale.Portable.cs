using ILGPU;
using ILGPU.Algorithms;

namespace Patching.Kernels;

/// <content>The plain kernels.</content>
public static partial class LogitScale
{
    private static void ForwardKernel(Index1D i, ArrayView<float> y, ArrayView<float> x, ArrayView<float> logScale) => y[i] = XMath.Exp(logScale[0]) * x[i];

    private static void RowsKernel(
        Index1D row, ArrayView<float> dx, ArrayView<float> rowSums, ArrayView<float> dy, ArrayView<float> y, ArrayView<float> logScale, int columns)
    {
        long start = row.X * (long)columns;
        float scale = XMath.Exp(logScale[0]), sum = 0;
        for (int c = 0; c < columns; c++)
        {
            float d = dy[start + c];
            sum += d * y[start + c];
            dx[start + c] = scale * d;
        }
        rowSums[row] = sum;
    }

    private static void SumKernel(Index1D i, ArrayView<float> dlogScale, ArrayView<float> rowSums, int rows)
    {
        double sum = dlogScale[i];
        for (int row = 0; row < rows; row++) sum += rowSums[row];
        dlogScale[i] = (float)sum;
    }

    private static void ClampKernel(Index1D i, ArrayView<float> logScale, float most) => logScale[i] = XMath.Min(XMath.Max(logScale[i], 0f), most);
}
