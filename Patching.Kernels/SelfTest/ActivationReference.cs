namespace Patching.Kernels;

/// <summary><see cref="Activation"/> from its definition, in double and in plain single precision.</summary>
internal static class ActivationReference
{
    // The constant of QuickGELU is a single-precision number, also in the definition.
    private const float Slope = 1.702f;

    /// <summary>act(x).</summary>
    public static double Value(double x, ActivationKind kind) =>
        kind == ActivationKind.QuickGelu ? x / (1 + Math.Exp(-(double)Slope * x)) : x * NormalCdf(x);

    /// <summary>act'(x).</summary>
    public static double Derivative(double x, ActivationKind kind)
    {
        if (kind == ActivationKind.Gelu) return NormalCdf(x) + x * Math.Exp(-x * x / 2) / Math.Sqrt(2 * Math.PI);
        double s = 1 / (1 + Math.Exp(-(double)Slope * x));
        return s + (double)Slope * x * s * (1 - s);
    }

    /// <summary>act(x) in single precision.</summary>
    public static float PlainValue(float x, ActivationKind kind) =>
        kind == ActivationKind.QuickGelu ? x / (1 + MathF.Exp(-Slope * x)) : x * (float)NormalCdf(x);

    /// <summary>act'(x) in single precision.</summary>
    public static float PlainDerivative(float x, ActivationKind kind)
    {
        if (kind == ActivationKind.Gelu) return (float)NormalCdf(x) + x * MathF.Exp(-x * x / 2) * 0.39894228f;
        float s = 1 / (1 + MathF.Exp(-Slope * x));
        return s + Slope * x * s * (1 - s);
    }

    /// <summary>Normal distribution function: Taylor series of erf near zero, continued fraction (Lentz) of erfc in the tails.</summary>
    private static double NormalCdf(double x)
    {
        double z = Math.Abs(x) / Math.Sqrt(2);
        if (z < 3)
        {
            double term = z, sum = z;
            for (int n = 1; n < 200 && Math.Abs(term) > 1e-18 * Math.Abs(sum); n++)
            {
                term *= -z * z / n;
                sum += term / (2 * n + 1);
            }
            double erf = 2 / Math.Sqrt(Math.PI) * sum;
            return x > 0 ? 0.5 * (1 + erf) : 0.5 * (1 - erf);
        }
        double fraction = 0;
        for (int n = 120; n >= 1; n--) fraction = n / 2.0 / (z + fraction);
        double erfc = Math.Exp(-z * z) / Math.Sqrt(Math.PI) / (z + fraction);
        return x > 0 ? 1 - 0.5 * erfc : 0.5 * erfc;
    }
}
