using System.Numerics;
using System.Runtime.CompilerServices;

namespace Patching.Kernels;

/// <summary>
/// Elementary functions on <see cref="Vector{T}"/>, written once for every vector width the runtime offers. Accurate to about one unit in the last place,
/// without the special-case handling that makes library versions slower than memory.
/// </summary>
internal static class VectorMath
{
    private const float Log2E = 1.44269504f;

    // ln 2 in two parts: the first has trailing zero bits, so that n * Ln2High is exact for every exponent n.
    private const float Ln2High = 0.693359375f;
    private const float Ln2Low = -2.12194440e-4f;

    // Beyond these e^x is nearly a subnormal number (taken as zero: half of it must still be a normal one) or larger than the largest float.
    private const float SmallestExponent = -86.29f;
    private const float LargestExponent = 88.72283f;

    /// <summary><c>e^x</c>: reduces to |r| &lt;= ln 2 / 2, sums the Taylor series to r^7 (remainder 5e-9) and scales by 2^n. Zero below -86.3, infinity above 88.7; NaN stays NaN.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<float> Exp(Vector<float> x)
    {
        Vector<int> underflow = Vector.LessThan(x, Vector.Create(SmallestExponent));
        Vector<int> overflow = Vector.GreaterThan(x, Vector.Create(LargestExponent));
        Vector<float> clamped = Vector.ConditionalSelect(overflow, Vector.Create(LargestExponent), x);
        clamped = Vector.ConditionalSelect(underflow, Vector.Create(SmallestExponent), clamped);
        Vector<float> n = Vector.Round(clamped * Log2E);
        Vector<float> r = Vector.FusedMultiplyAdd(n, Vector.Create(-Ln2High), clamped);
        r = Vector.FusedMultiplyAdd(n, Vector.Create(-Ln2Low), r);
        Vector<float> p = Vector.FusedMultiplyAdd(Vector.Create(1f / 5040), r, Vector.Create(1f / 720));
        p = Vector.FusedMultiplyAdd(p, r, Vector.Create(1f / 120));
        p = Vector.FusedMultiplyAdd(p, r, Vector.Create(1f / 24));
        p = Vector.FusedMultiplyAdd(p, r, Vector.Create(1f / 6));
        p = Vector.FusedMultiplyAdd(p, r, Vector.Create(0.5f));
        p = Vector.FusedMultiplyAdd(p, r, Vector<float>.One);
        p = Vector.FusedMultiplyAdd(p, r, Vector<float>.One);
        // 2^n by adding n to the exponent bits; 2^128 would not fit, so one doubling is kept outside.
        Vector<int> exponent = Vector.ConvertToInt32Native(n) - Vector<int>.One;
        Vector<float> half = Vector.AsVectorSingle(Vector.AsVectorInt32(p) + Vector.ShiftLeft(exponent, 23));
        // A NaN's exponent bits do not survive the addition; it comes back here, where every number adds zero.
        Vector<float> scaled = Vector.FusedMultiplyAdd(half, Vector.Create(2f), clamped - clamped);
        scaled = Vector.ConditionalSelect(overflow, Vector.Create(float.PositiveInfinity), scaled);
        return Vector.ConditionalSelect(underflow, Vector<float>.Zero, scaled);
    }

    /// <summary>The logistic function <c>1 / (1 + e^-x)</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<float> Sigmoid(Vector<float> x) => Vector<float>.One / (Vector<float>.One + Exp(-x));

    /// <summary>The standard normal distribution function; see <see cref="NormalDistribution"/> for the approximation.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<float> NormalCdf(Vector<float> x)
    {
        Vector<float> z = Vector.Abs(x) * NormalDistribution.InverseRootTwo;
        Vector<float> t = Vector<float>.One / Vector.FusedMultiplyAdd(z, Vector.Create(0.5f), Vector<float>.One);
        Vector<float> p = Vector.Create(NormalDistribution.C10);
        p = Vector.FusedMultiplyAdd(p, t, Vector.Create(NormalDistribution.C9));
        p = Vector.FusedMultiplyAdd(p, t, Vector.Create(NormalDistribution.C8));
        p = Vector.FusedMultiplyAdd(p, t, Vector.Create(NormalDistribution.C7));
        p = Vector.FusedMultiplyAdd(p, t, Vector.Create(NormalDistribution.C6));
        p = Vector.FusedMultiplyAdd(p, t, Vector.Create(NormalDistribution.C5));
        p = Vector.FusedMultiplyAdd(p, t, Vector.Create(NormalDistribution.C4));
        p = Vector.FusedMultiplyAdd(p, t, Vector.Create(NormalDistribution.C3));
        p = Vector.FusedMultiplyAdd(p, t, Vector.Create(NormalDistribution.C2));
        p = Vector.FusedMultiplyAdd(p, t, Vector.Create(NormalDistribution.C1));
        p = Vector.FusedMultiplyAdd(p, t, Vector.Create(NormalDistribution.C0));
        Vector<float> tail = 0.5f * t * Exp(Vector.FusedMultiplyAdd(-z, z, p));
        return Vector.ConditionalSelect(Vector.GreaterThan(x, Vector<float>.Zero), Vector<float>.One - tail, tail);
    }
}
