using ILGPU;

namespace Patching.Kernels;

/// <content>The plain kernels: one thread per element; for the table's gradient one per column and bucket of rows.</content>
public static partial class TokenEmbedding
{
    private static void ForwardKernel(
        Index1D i, ArrayView<float> x, ArrayView<int> ids, ArrayView<float> table, ArrayView<float> positions, int length, int width,
        int vocabulary)
    {
        int row = i / width, column = i % width, id = ids[row];
        if (id < 0 || id >= vocabulary)
            x[i] = float.NaN;
        else
            x[i] = table[(long)id * width + column] + positions[row % length * width + column];
    }

    private static void TableGradientKernel(
        Index1D i, ArrayView<float> dtable, ArrayView<float> dx, ArrayView<int> ids, int tokens, int width, int vocabulary)
    {
        int bucket = i / width, column = i % width;
        for (int row = 0; row < tokens; row++)
        {
            int id = ids[row];
            if (id >= 0 && id < vocabulary && id % Buckets == bucket) dtable[(long)id * width + column] += dx[(long)row * width + column];
        }
    }

    private static void PositionGradientKernel(Index1D i, ArrayView<float> dpositions, ArrayView<float> dx, int batch, int length, int width)
    {
        float sum = dpositions[i];
        for (int b = 0; b < batch; b++) sum += dx[(long)b * length * width + i];
        dpositions[i] = sum;
    }
}
