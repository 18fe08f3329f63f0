using ILGPU;
using ILGPU.Algorithms;

namespace Patching.Kernels;

/// <content>The plain kernel: one thread per element.</content>
public static partial class AdamW
{
    private static void StepKernel(
        Index1D i, ArrayView<float> parameter, ArrayView<float> m, ArrayView<float> v, ArrayView<float> gradient, ArrayView<float> clip,
        int hasClip, Coefficients c)
    {
        float g = hasClip != 0 ? gradient[i] * clip[1] : gradient[i];
        float m1 = c.Beta1 * m[i] + c.OneMinusBeta1 * g;
        float v1 = c.Beta2 * v[i] + c.OneMinusBeta2 * g * g;
        m[i] = m1;
        v[i] = v1;
        parameter[i] = parameter[i] * c.Decay - c.StepSize * (m1 / (XMath.Sqrt(v1) * c.InverseRootCorrection2 + c.Epsilon));
    }
}
