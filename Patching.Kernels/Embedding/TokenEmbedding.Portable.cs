using ILGPU;

namespace Patching.Kernels;

/// <content>The plain kernel: one thread per element.</content>
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
}
