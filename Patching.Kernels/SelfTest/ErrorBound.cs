namespace Patching.Kernels;

/// <summary>
/// The error bound of the project: at most twice the error that the same formula makes in plain single precision, plus a floor of a few rounding errors of the
/// largest value. It holds for the largest difference and for the norm of the differences. Nobody tunes it by hand, and NaN fails: every comparison is written so
/// that it is true only of numbers.
/// </summary>
/// <param name="Largest">Largest difference between result and reference; NaN if any element is.</param>
/// <param name="AllowedLargest">What it may be.</param>
/// <param name="Norm">Norm of the differences.</param>
/// <param name="AllowedNorm">What it may be.</param>
internal readonly record struct ErrorBound(double Largest, double AllowedLargest, double Norm, double AllowedNorm)
{
    // Eight units in the last place of a single-precision number, and something for results that are exactly zero.
    private const double RelativeFloor = 1e-6;
    private const double AbsoluteFloor = 1e-30;

    /// <summary>Whether the result is as good as it must be.</summary>
    public bool Holds => Largest <= AllowedLargest && Norm <= AllowedNorm;

    /// <summary>How much of the allowed error is used, 1 at the limit; infinite where the result is not a number.</summary>
    public double Used => double.IsNaN(Largest + Norm) ? double.PositiveInfinity : Math.Max(Ratio(Largest, AllowedLargest), Ratio(Norm, AllowedNorm));

    /// <summary>Measures a result.</summary>
    /// <param name="actual">What a kernel computed.</param>
    /// <param name="reference">The same in double precision.</param>
    /// <param name="plainFloat">The same formula in plain single precision.</param>
    public static ErrorBound Of(float[] actual, double[] reference, double[] plainFloat)
    {
        if (actual.Length != reference.Length || plainFloat.Length != reference.Length)
            throw new ArgumentException($"{actual.Length} results and {plainFloat.Length} plain results for {reference.Length} references");
        (double plainLargest, double plainNorm) = Distance(plainFloat, reference);
        (double largest, double norm) = Distance(Precision.Wide(actual), reference);
        (double scale, double length) = Distance(reference, new double[reference.Length]);
        return new ErrorBound(
            largest, 2 * plainLargest + RelativeFloor * scale + AbsoluteFloor, norm, 2 * plainNorm + RelativeFloor * length + AbsoluteFloor);
    }

    /// <summary>Measures a result that must be right to the bit: nothing is allowed.</summary>
    public static ErrorBound Exact(float[] actual, float[] expected)
    {
        (double largest, double norm) = Distance(Precision.Wide(actual), Precision.Wide(expected));
        return new ErrorBound(largest, 0, norm, 0);
    }

    private static double Ratio(double error, double allowed) => error == 0 ? 0 : error / allowed;

    private static (double Largest, double Norm) Distance(double[] a, double[] b)
    {
        double largest = 0, sum = 0;
        for (int i = 0; i < a.Length; i++)
        {
            double difference = Math.Abs(a[i] - b[i]);
            // Once NaN, it stays NaN.
            if (!(difference <= largest) && !double.IsNaN(largest)) largest = difference;
            sum += difference * difference;
        }
        return (largest, Math.Sqrt(sum));
    }
}
