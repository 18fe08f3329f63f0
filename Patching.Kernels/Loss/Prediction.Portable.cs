using ILGPU;
using ILGPU.Algorithms;

namespace Patching.Kernels;

/// <content>The plain kernel: one thread per row.</content>
public static partial class Prediction
{
    private static void ForwardKernel(
        Index1D row, ArrayView<int> classes, ArrayView<int> ranks, ArrayView<float> confidences, ArrayView<float> logits, ArrayView<int> labels, int count)
    {
        long start = row.X * (long)count;
        float best = float.NegativeInfinity;
        int found = 0, index = 0;
        for (int k = 0; k < count; k++)
        {
            float value = logits[start + k];
            if (value > best || (found == 0 && value >= best))
            {
                best = value;
                index = k;
                found = 1;
            }
        }

        int label = labels[row], valid = label >= 0 && label < count ? 1 : 0, rank = valid != 0 ? 0 : count;
        float own = valid != 0 ? logits[start + label] : float.NaN, sum = 0;
        for (int k = 0; k < count; k++)
        {
            float value = logits[start + k];
            sum += XMath.Exp(value - best);
            // Only of numbers is it true that they are at least minus infinity.
            int beats = value > own || (value == own && k < label) ? 1 : 0;
            if (!(own >= float.NegativeInfinity) && (value >= float.NegativeInfinity || k < label)) beats = 1;
            if (valid != 0) rank += beats;
        }
        classes[row] = index;
        ranks[row] = rank;
        confidences[row] = 1 / sum;
    }
}
