using System.Runtime.CompilerServices;

namespace Patching.Kernels;

/// <summary>
/// The activations as the epilogues of tensor-core kernels compute them: with the GPU's approximate powers of two and reciprocals (relative errors below
/// 2^-22),
/// far below the rounding to bfloat16 that follows, and without a branch per element. The formulas are those of <see cref="Activation"/>.
/// </summary>
internal static class FastActivation
{
    private const float Log2E = 1.44269504f;
    private const float InverseRootTwoPi = 0.39894228f;

    /// <summary>f(x) for one number.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Value(float x, int kind) => kind == (int)ActivationKind.QuickGelu ? QuickGelu(x) : Gelu(x);

    /// <summary>f'(x) for one number.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Derivative(float x, int kind) => kind == (int)ActivationKind.QuickGelu ? QuickGeluDerivative(x) : GeluDerivative(x);

    /// <summary>f(x) for four: the kind is asked for once.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Value(Float4 x, int kind) => kind == (int)ActivationKind.QuickGelu ? QuickGelu(x) : Gelu(x);

    /// <summary>f'(x) for four.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Derivative(Float4 x, int kind) => kind == (int)ActivationKind.QuickGelu ? QuickGeluDerivative(x) : GeluDerivative(x);

    /// <summary>f(x) for sixteen.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Rows4 Value(Rows4 x, int kind) => kind == (int)ActivationKind.QuickGelu
        ? new() { R0 = QuickGelu(x.R0), R1 = QuickGelu(x.R1), R2 = QuickGelu(x.R2), R3 = QuickGelu(x.R3) }
        : new() { R0 = Gelu(x.R0), R1 = Gelu(x.R1), R2 = Gelu(x.R2), R3 = Gelu(x.R3) };

    /// <summary>f'(x) for sixteen.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Rows4 Derivative(Rows4 x, int kind) => kind == (int)ActivationKind.QuickGelu
        ? new() { R0 = QuickGeluDerivative(x.R0), R1 = QuickGeluDerivative(x.R1), R2 = QuickGeluDerivative(x.R2), R3 = QuickGeluDerivative(x.R3) }
        : new() { R0 = GeluDerivative(x.R0), R1 = GeluDerivative(x.R1), R2 = GeluDerivative(x.R2), R3 = GeluDerivative(x.R3) };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Float4 QuickGelu(Float4 x) => new(QuickGelu(x.X), QuickGelu(x.Y), QuickGelu(x.Z), QuickGelu(x.W));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Float4 QuickGeluDerivative(Float4 x) =>
        new(QuickGeluDerivative(x.X), QuickGeluDerivative(x.Y), QuickGeluDerivative(x.Z), QuickGeluDerivative(x.W));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Float4 Gelu(Float4 x) => new(Gelu(x.X), Gelu(x.Y), Gelu(x.Z), Gelu(x.W));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Float4 GeluDerivative(Float4 x) => new(GeluDerivative(x.X), GeluDerivative(x.Y), GeluDerivative(x.Z), GeluDerivative(x.W));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float QuickGelu(float x) => x * Sigmoid(x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float QuickGeluDerivative(float x)
    {
        float s = Sigmoid(x);
        return PtxMath.Fma(Activation.QuickGeluSlope * x * s, 1 - s, s);
    }

    /// <summary><c>1 / (1 + exp(-1.702 x))</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Sigmoid(float x) => ApproximateMath.Reciprocal(1 + PtxMath.Exp2(x * (-Activation.QuickGeluSlope * Log2E)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Gelu(float x) => x * NormalCdf(x);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float GeluDerivative(float x) =>
        PtxMath.Fma(x * InverseRootTwoPi, PtxMath.Exp2(x * x * (-0.5f * Log2E)), NormalCdf(x));

    /// <summary>The polynomial of <see cref="NormalDistribution.Cdf"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float NormalCdf(float x)
    {
        float z = ApproximateMath.Abs(x) * NormalDistribution.InverseRootTwo;
        float t = ApproximateMath.Reciprocal(PtxMath.Fma(0.5f, z, 1));
        float p = PtxMath.Fma(t, NormalDistribution.C10, NormalDistribution.C9);
        p = PtxMath.Fma(t, p, NormalDistribution.C8);
        p = PtxMath.Fma(t, p, NormalDistribution.C7);
        p = PtxMath.Fma(t, p, NormalDistribution.C6);
        p = PtxMath.Fma(t, p, NormalDistribution.C5);
        p = PtxMath.Fma(t, p, NormalDistribution.C4);
        p = PtxMath.Fma(t, p, NormalDistribution.C3);
        p = PtxMath.Fma(t, p, NormalDistribution.C2);
        p = PtxMath.Fma(t, p, NormalDistribution.C1);
        p = PtxMath.Fma(t, p, NormalDistribution.C0);
        float tail = 0.5f * t * PtxMath.Exp2(PtxMath.Fma(-z, z, p) * Log2E);
        return ApproximateMath.Select(1 - tail, tail, x);
    }
}
