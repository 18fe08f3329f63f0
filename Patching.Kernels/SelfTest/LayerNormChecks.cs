using static Patching.Kernels.Precision;

namespace Patching.Kernels;

/// <summary>Self-test of <see cref="LayerNorm"/>.</summary>
internal static class LayerNormChecks
{
    private const float Epsilon = 1e-5f;

    /// <summary>All checks; <paramref name="small"/> ones where arithmetic is slow.</summary>
    public static IEnumerable<SelfTestCheck> All(bool small)
    {
        (int Rows, int Columns)[] shapes = small ? [(3, 5), (5, 37), (10, 64)] : [(3, 5), (67, 211), (197, 768)];
        foreach ((int rows, int columns) in shapes)
        {
            string size = $"{rows}x{columns}";
            yield return new SelfTestCheck("LayerNorm.Forward", size, trial => Forward(trial, rows, columns));
            yield return new SelfTestCheck("LayerNorm.Backward", size, trial => Backward(trial, rows, columns, accumulate: false));
            yield return new SelfTestCheck("LayerNorm.Backward accumulate", size, trial => Backward(trial, rows, columns, accumulate: true));
        }
    }

    private static void Forward(Trial trial, int rows, int columns)
    {
        // Far from zero on purpose: a variance computed as a difference of squares would show.
        float[] x = trial.Normal((long)rows * columns, 1, 100), gamma = trial.Normal(columns, 0.2, 1), beta = trial.Normal(columns);
        Tensor y = trial.Poisoned(rows, columns), mean = trial.Poisoned(rows), rstd = trial.Poisoned(rows), alone = trial.Poisoned(rows, columns);
        Tensor tx = trial.Tensor(x, rows, columns), tgamma = trial.Tensor(gamma, columns), tbeta = trial.Tensor(beta, columns);
        trial.Launch(() => LayerNorm.Forward(trial.Device, y, mean, rstd, tx, tgamma, tbeta, Epsilon));
        trial.Launch(() => LayerNorm.Forward(trial.Device, alone, default, default, tx, tgamma, tbeta, Epsilon));
        LayerNormReference.Statistics exact = LayerNormReference.Forward<double>(Wide(x), Wide(gamma), Wide(beta), columns, Epsilon);
        LayerNormReference.Statistics plain = LayerNormReference.Forward<float>(Wide(x), Wide(gamma), Wide(beta), columns, Epsilon);
        trial.Compare("y", y, exact.Y, plain.Y);
        trial.Compare("mean", mean, exact.Mean, plain.Mean);
        trial.Compare("rstd", rstd, exact.Rstd, plain.Rstd);
        trial.Compare("y without statistics", alone, exact.Y, plain.Y);
    }

    private static void Backward(Trial trial, int rows, int columns, bool accumulate)
    {
        float[] x = trial.Normal((long)rows * columns, 1, 3), gamma = trial.Normal(columns, 0.2, 1), dy = trial.Normal((long)rows * columns);
        float[] dx0 = trial.Normal((long)rows * columns), dgamma0 = trial.Normal(columns), dbeta0 = trial.Normal(columns);
        LayerNormReference.Statistics saved = LayerNormReference.Forward<double>(Wide(x), Wide(gamma), Wide(gamma), columns, Epsilon);
        float[] mean = [.. saved.Mean.Select(v => (float)v)], rstd = [.. saved.Rstd.Select(v => (float)v)];
        Tensor dx = accumulate ? trial.Tensor(dx0, rows, columns) : trial.Poisoned(rows, columns);
        Tensor dgamma = trial.Tensor(dgamma0, columns), dbeta = trial.Tensor(dbeta0, columns), tdy = trial.Tensor(dy, rows, columns);
        Tensor tx = trial.Tensor(x, rows, columns), tgamma = trial.Tensor(gamma, columns), tmean = trial.Tensor(mean, rows), trstd = trial.Tensor(rstd, rows);
        trial.Launch(() => LayerNorm.Backward(trial.Device, dx, dgamma, dbeta, tdy, tx, tgamma, tmean, trstd, accumulate));

        double[] start = accumulate ? Wide(dx0) : new double[dx0.Length];
        LayerNormReference.Gradients exact =
            LayerNormReference.Backward<double>(Wide(dy), Wide(x), Wide(gamma), Wide(mean), Wide(rstd), start, Wide(dgamma0), Wide(dbeta0));
        LayerNormReference.Gradients plain =
            LayerNormReference.Backward<float>(Wide(dy), Wide(x), Wide(gamma), Wide(mean), Wide(rstd), start, Wide(dgamma0), Wide(dbeta0));
        trial.Compare("dx", dx, exact.X, plain.X);
        trial.Compare("dgamma", dgamma, exact.Gamma, plain.Gamma);
        trial.Compare("dbeta", dbeta, exact.Beta, plain.Beta);
    }
}
