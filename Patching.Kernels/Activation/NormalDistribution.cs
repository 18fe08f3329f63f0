using ILGPU.Algorithms;

namespace Patching.Kernels;

/// <summary>
/// The standard normal distribution function <c>Phi(x) = erfc(-x / sqrt 2) / 2</c> in single precision.
/// With <c>z = |x| / sqrt 2</c> and <c>t = 1 / (1 + z/2)</c>, <c>erfc(z) = t exp(-z^2 + P(t))</c>; P interpolates
/// <c>ln(erfc(z) exp(z^2) / t)</c> at the eleven Chebyshev points of t in [0, 1] and is off by at most 1e-7 there, so the tail keeps its relative accuracy.
/// </summary>
internal static class NormalDistribution
{
    public const float InverseRootTwo = 0.70710678f;
    public const float C0 = -1.26551221f;
    public const float C1 = 1.00002094f;
    public const float C2 = 0.374176088f;
    public const float C3 = 0.0957724125f;
    public const float C4 = -0.180061514f;
    public const float C5 = 0.256715072f;
    public const float C6 = -1.08695563f;
    public const float C7 = 1.42317196f;
    public const float C8 = -0.768458095f;
    public const float C9 = 0.146361389f;
    public const float C10 = 0.00476965021f;

    /// <summary>Phi(x), usable inside kernels.</summary>
    public static float Cdf(float x)
    {
        float z = XMath.Abs(x) * InverseRootTwo;
        float t = 1 / (1 + 0.5f * z);
        float p = C4 + t * (C5 + t * (C6 + t * (C7 + t * (C8 + t * (C9 + t * C10)))));
        p = C0 + t * (C1 + t * (C2 + t * (C3 + t * p)));
        float tail = 0.5f * t * XMath.Exp(p - z * z);
        return x > 0 ? 1 - tail : tail;
    }
}
