using ILGPU;

namespace Patching.Kernels;

/// <content>
/// The plain kernel: one thread per element. The product of two floats is exact in double precision, and a sum of two floats rounded first
/// to double and then to float is the sum rounded once; so the result does not depend on whether a compiler contracts a multiplication and
/// an addition into one instruction.
/// </content>
public static partial class Interpolation
{
    private static void ForwardKernel(
        Index1D i, ArrayView<float> y, ArrayView<float> theta0, ArrayView<float> theta1, float weight0, float weight1)
    {
        float part0 = (float)((double)weight0 * theta0[i]);
        float part1 = (float)((double)weight1 * theta1[i]);
        y[i] = (float)((double)part0 + part1);
    }
}
