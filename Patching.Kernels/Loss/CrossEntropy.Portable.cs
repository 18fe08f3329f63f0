using ILGPU;
using ILGPU.Algorithms;

namespace Patching.Kernels;

/// <content>The plain kernel: one thread per row.</content>
public static partial class CrossEntropy
{
    private static void ForwardKernel(
        Index1D row, ArrayView<float> loss, ArrayView<float> dlogits, ArrayView<float> logits, ArrayView<int> labels, int classes,
        int hasGradient, float smoothing, float gradientScale)
    {
        long start = row.X * (long)classes;
        int label = labels[row];
        int valid = label >= 0 && label < classes ? 1 : 0;

        float largest = logits[start];
        for (int k = 1; k < classes; k++) largest = XMath.Max(largest, logits[start + k]);
        float sum = 0, belowLargest = 0;
        for (int k = 0; k < classes; k++)
        {
            float below = largest - logits[start + k];
            sum += XMath.Exp(-below);
            belowLargest += below;
        }
        float value = float.NaN;
        if (valid != 0)
        {
            float logSum = XMath.Log(sum);
            value = (1 - smoothing) * (logSum + (largest - logits[start + label]));
            // Without smoothing a logit of minus infinity elsewhere must not matter.
            if (smoothing > 0) value += smoothing * (logSum + belowLargest / classes);
        }
        loss[row] = value;

        if (hasGradient == 0) return;
        for (int k = 0; k < classes; k++)
        {
            float p = XMath.Exp(logits[start + k] - largest) / sum;
            float target = smoothing / classes + (k == label ? 1 - smoothing : 0);
            dlogits[start + k] = valid != 0 ? gradientScale * (p - target) : float.NaN;
        }
    }
}
