using System.Numerics;
using System.Runtime.CompilerServices;

namespace Patching.Kernels;

/// <summary>
/// <c>2^x</c> for softmax. Its arguments are never above zero by more than rounding, so the guards of <see cref="VectorMath.Exp"/>
/// against overflow, half of its instructions, are not needed; with the exponential taken to base 2 the argument splits exactly into
/// whole and fractional part.
/// </summary>
internal static class PowerOfTwo
{
    /// <summary><c>e^x = 2^(x Log2E)</c>.</summary>
    public const float Log2E = 1.44269504f;

    // At -127 the fraction is zero and the exponent bits of 1 minus 127 are the bits of +0.
    private const float Smallest = -127;

    /// <summary>
    /// <c>2^x</c> for x &lt; 127, accurate to about one unit in the last place: x = n + r with |r| &lt;= 1/2, Taylor series of 2^r to r^7
    /// (remainder 5e-9), n added to the exponent bits. Below 2^-126 the result is somewhere between 0 and 2^-126, and 0 from x = -127 on;
    /// NaN stays NaN.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Vector<float> Of(Vector<float> x)
    {
        // In this order x86 returns the second operand when one is NaN; Arm returns NaN in any order.
        x = Vector.MaxNative(new Vector<float>(Smallest), x);
        Vector<float> n = Vector.Round(x), r = x - n;
        Vector<float> p = Vector.MultiplyAddEstimate(r, new Vector<float>(1.5252734e-5f), new Vector<float>(1.5403530e-4f));
        p = Vector.MultiplyAddEstimate(p, r, new Vector<float>(1.3333558e-3f));
        p = Vector.MultiplyAddEstimate(p, r, new Vector<float>(9.6181291e-3f));
        p = Vector.MultiplyAddEstimate(p, r, new Vector<float>(5.5504109e-2f));
        p = Vector.MultiplyAddEstimate(p, r, new Vector<float>(2.4022651e-1f));
        p = Vector.MultiplyAddEstimate(p, r, new Vector<float>(6.9314718e-1f));
        p = Vector.MultiplyAddEstimate(p, r, Vector<float>.One);
        return Vector.AsVectorSingle(Vector.AsVectorInt32(p) + Vector.ShiftLeft(Vector.ConvertToInt32Native(n), 23));
    }
}
