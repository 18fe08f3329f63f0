using ILGPU;

namespace Patching.Kernels;

/// <content>The plain kernel: one thread per row.</content>
public static partial class ArgMax
{
    private static void ForwardKernel(Index1D row, ArrayView<int> indices, ArrayView<float> logits, int classes)
    {
        long start = row.X * (long)classes;
        float best = float.NegativeInfinity;
        int found = 0, index = 0;
        for (int k = 0; k < classes; k++)
        {
            float value = logits[start + k];
            if (value > best || (found == 0 && value >= best))
            {
                best = value;
                index = k;
                found = 1;
            }
        }
        indices[row] = index;
    }
}
