namespace Patching.Kernels;

/// <summary>The three products in double precision and in plain single precision, element by element.</summary>
internal static class GemmReference
{
    /// <summary>
    /// Sums <c>result[i, j] = sum over k of a(i, k) b(k, j)</c>, once in double and once in single precision from left to right.
    /// </summary>
    public static (double[] Exact, float[] Plain) Product(int m, int n, int k, Func<int, int, float> a, Func<int, int, float> b)
    {
        double[] exact = new double[(long)m * n];
        float[] plain = new float[(long)m * n];
        float[] left = new float[k], right = new float[(long)n * k];
        for (int j = 0; j < n; j++)
        {
            for (int l = 0; l < k; l++) right[(long)j * k + l] = b(l, j);
        }
        for (int i = 0; i < m; i++)
        {
            for (int l = 0; l < k; l++) left[l] = a(i, l);
            for (int j = 0; j < n; j++) (exact[(long)i * n + j], plain[(long)i * n + j]) = Dot(left, right.AsSpan(j * k, k));
        }
        return (exact, plain);
    }

    /// <summary>x wT.</summary>
    public static (double[] Exact, float[] Plain) Forward(float[] x, float[] w, int rows, int inputs, int outputs) =>
        Product(rows, outputs, inputs, (i, k) => x[i * inputs + k], (k, j) => w[j * inputs + k]);

    /// <summary>dy w.</summary>
    public static (double[] Exact, float[] Plain) BackwardInput(float[] dy, float[] w, int rows, int inputs, int outputs) =>
        Product(rows, inputs, outputs, (i, k) => dy[i * outputs + k], (k, j) => w[k * inputs + j]);

    /// <summary>dyT x.</summary>
    public static (double[] Exact, float[] Plain) BackwardWeight(float[] dy, float[] x, int rows, int inputs, int outputs) =>
        Product(outputs, inputs, rows, (i, k) => dy[k * outputs + i], (k, j) => x[k * inputs + j]);

    /// <summary>Column sums.</summary>
    public static (double[] Exact, float[] Plain) ColumnSums(float[] dy, int rows, int outputs) =>
        Product(1, outputs, rows, (_, _) => 1, (k, j) => dy[k * outputs + j]);

    /// <summary>What an epilogue makes of the sums: pre-activation and output, in the precision of <paramref name="round"/>.</summary>
    public static (double[] PreActivation, double[] Output) Finish(
        double[] sums, int outputs, float[]? bias, ActivationKind? kind, float[]? residual, Func<double, double> round)
    {
        double[] before = new double[sums.Length], after = new double[sums.Length];
        for (int i = 0; i < sums.Length; i++)
        {
            before[i] = round(sums[i] + (bias?[i % outputs] ?? 0));
            double value = kind is { } function ? round(ActivationReference.Value(before[i], function)) : before[i];
            after[i] = round(value + (residual?[i] ?? 0));
        }
        return (before, after);
    }

    private static (double Exact, float Plain) Dot(ReadOnlySpan<float> a, ReadOnlySpan<float> b)
    {
        double exact = 0;
        float plain = 0;
        for (int i = 0; i < a.Length; i++)
        {
            exact += (double)a[i] * b[i];
            plain += a[i] * b[i];
        }
        return (exact, plain);
    }
}
