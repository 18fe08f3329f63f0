namespace Patching.Tests.Kernels;

/// <summary>What the tests of row-wise and element-wise kernels share.</summary>
internal static class Reference
{
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
