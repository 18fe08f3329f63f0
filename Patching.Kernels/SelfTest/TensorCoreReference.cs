namespace Patching.Kernels;

/// <summary>
/// The matrix products of <see cref="Gemm"/> on bfloat16 operands as tensor cores may compute them: the yardstick of mixed precision. NVIDIA does not document how they
/// add; measured (Fasi et al. 2021), sixteen products and the accumulator are added at once and cut off, not rounded, to single precision. The larger error of this and
/// of the plain sum from left to right is what a kernel may make twice.
/// </summary>
internal static class TensorCoreReference
{
    private const int Step = 16;

    /// <summary><c>result[i, j] = sum over k of a(i, k) b(k, j)</c> with accumulators that are cut off after every sixteen products.</summary>
    public static float[] Product(int m, int n, int k, Func<int, int, float> a, Func<int, int, float> b)
    {
        float[] result = new float[(long)m * n];
        for (int i = 0; i < m; i++)
            for (int j = 0; j < n; j++)
            {
                float sum = 0;
                for (int first = 0; first < k; first += Step)
                {
                    double exact = sum;
                    for (int l = first; l < Math.Min(k, first + Step); l++) exact += (double)a(i, l) * b(l, j);
                    sum = CutOff(exact);
                }
                result[(long)i * n + j] = sum;
            }
        return result;
    }

    /// <summary>The worse of two plain results, element by element.</summary>
    public static double[] Worse(double[] exact, double[] one, double[] other)
    {
        double[] worse = new double[exact.Length];
        for (int i = 0; i < worse.Length; i++) worse[i] = Math.Abs(one[i] - exact[i]) > Math.Abs(other[i] - exact[i]) ? one[i] : other[i];
        return worse;
    }

    private static float CutOff(double value)
    {
        float nearest = (float)value;
        return Math.Abs((double)nearest) <= Math.Abs(value) ? nearest : value > 0 ? MathF.BitDecrement(nearest) : MathF.BitIncrement(nearest);
    }
}
