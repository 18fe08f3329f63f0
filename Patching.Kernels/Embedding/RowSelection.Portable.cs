using ILGPU;

namespace Patching.Kernels;

/// <content>
/// The plain kernels: one thread per element forward; one thread per column backward, so that equal rows add up in order.
/// </content>
public static partial class RowSelection
{
    private static void GatherKernel(Index1D i, ArrayView<float> y, ArrayView<float> x, ArrayView<int> rows, int width, int count)
    {
        int row = rows[i / width];
        if (row < 0 || row >= count)
            y[i] = float.NaN;
        else
            y[i] = x[(long)row * width + i % width];
    }

    private static void ScatterKernel(Index1D column, ArrayView<float> dx, ArrayView<float> dy, ArrayView<int> rows, int width, int count)
    {
        for (int b = 0; b < rows.Length; b++)
        {
            int row = rows[b];
            if (row >= 0 && row < count) dx[(long)row * width + column] += dy[(long)b * width + column];
        }
    }
}
