using ILGPU;
using ILGPU.Algorithms;

namespace Patching.Kernels;

/// <content>The plain kernels: one thread per element.</content>
public static partial class Activation
{
    internal static float Value(float x, int kind) =>
        kind == (int)ActivationKind.QuickGelu ? x * Sigmoid(QuickGeluSlope * x) : x * NormalDistribution.Cdf(x);

    internal static float Derivative(float x, int kind)
    {
        if (kind == (int)ActivationKind.QuickGelu)
        {
            float s = Sigmoid(QuickGeluSlope * x);
            return s + QuickGeluSlope * x * s * (1 - s);
        }
        const float inverseRootTwoPi = 0.39894228f;
        return NormalDistribution.Cdf(x) + x * inverseRootTwoPi * XMath.Exp(-0.5f * x * x);
    }

    private static void ForwardKernel(Index1D i, ArrayView<float> y, ArrayView<float> x, int kind) => y[i] = Value(x[i], kind);

    private static void BackwardKernel(Index1D i, ArrayView<float> dx, ArrayView<float> dy, ArrayView<float> x, int kind) =>
        dx[i] = dy[i] * Derivative(x[i], kind);

    private static float Sigmoid(float x) => 1 / (1 + XMath.Exp(-x));
}
