using System.Numerics;

namespace Patching.Tests.Kernels;

/// <summary>
/// What the references of the row-wise and element-wise kernels share. A reference is one generic function: its double instance says what
/// is right, its float instance how much error the plain formula makes.
/// </summary>
internal static class Reference
{
    public static double[] Wide<T>(T[] values)
        where T : INumberBase<T>
        => [.. values.Select(double.CreateTruncating)];

    /// <summary>The numbers in the precision of the reference; exact, because all inputs are single-precision numbers.</summary>
    public static T[] As<T>(double[] values)
        where T : INumberBase<T>
        => [.. values.Select(T.CreateTruncating)];

    /// <summary>
    /// Central differences of <paramref name="loss"/> with respect to each element of <paramref name="at"/>, which it reads.
    /// </summary>
    public static double[] FiniteDifferences(Func<double> loss, double[] at)
    {
        const double step = 1e-5;
        double[] gradient = new double[at.Length];
        for (int i = 0; i < at.Length; i++)
        {
            double value = at[i];
            at[i] = value + step;
            double above = loss();
            at[i] = value - step;
            gradient[i] = (above - loss()) / (2 * step);
            at[i] = value;
        }
        return gradient;
    }

    /// <summary>The bits of the numbers, for comparisons in which zeros have signs and NaN equals itself.</summary>
    public static int[] Bits(float[] values) => [.. values.Select(BitConverter.SingleToInt32Bits)];
}
