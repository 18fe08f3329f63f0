using System.Numerics;
using static Patching.Kernels.Precision;

namespace Patching.Kernels;

/// <summary><see cref="BatchNorm"/> from its definition, in the precision of its type argument.</summary>
internal static class BatchNormReference
{
    public sealed record Statistics(double[] Mean, double[] Rstd, double[] RunningMean, double[] RunningVariance);

    public sealed record Gradients(double[] X, double[] Residual, double[] Gamma, double[] Beta);

    public static Statistics Measure<T>(double[] x, double[] runningMean, double[] runningVariance, float epsilon, float momentum)
        where T : IFloatingPointIeee754<T>
    {
        int columns = runningMean.Length, rows = x.Length / columns;
        T count = T.CreateTruncating(rows), weight = T.CreateTruncating(momentum);
        T[] mean = new T[columns], rstd = new T[columns], newMean = As<T>(runningMean), newVariance = As<T>(runningVariance), values = As<T>(x);
        for (int c = 0; c < columns; c++)
        {
            T sum = T.Zero, squares = T.Zero;
            for (int n = 0; n < rows; n++) sum += values[n * columns + c];
            mean[c] = sum / count;
            for (int n = 0; n < rows; n++) squares += (values[n * columns + c] - mean[c]) * (values[n * columns + c] - mean[c]);
            rstd[c] = T.One / T.Sqrt(squares / count + T.CreateTruncating(epsilon));
            newMean[c] = (T.One - weight) * newMean[c] + weight * mean[c];
            newVariance[c] = (T.One - weight) * newVariance[c] + weight * (squares / T.CreateTruncating(Math.Max(rows - 1, 1)));
        }
        return new Statistics(Wide(mean), Wide(rstd), Wide(newMean), Wide(newVariance));
    }

    public static double[] Forward<T>(double[] x, double[] mean, double[] rstd, double[] gamma, double[] beta, double[]? residual, bool relu)
        where T : IFloatingPointIeee754<T>
    {
        T[] y = new T[x.Length];
        for (int i = 0; i < y.Length; i++)
        {
            int c = i % gamma.Length;
            T value = (T.CreateTruncating(x[i]) - T.CreateTruncating(mean[c])) * T.CreateTruncating(rstd[c]) * T.CreateTruncating(gamma[c])
                + T.CreateTruncating(beta[c]);
            if (residual is not null) value += T.CreateTruncating(residual[i]);
            y[i] = relu ? T.Max(value, T.Zero) : value;
        }
        return Wide(y);
    }

    /// <summary>Gradients; where <paramref name="y"/> is given, dy counts only where it is positive.</summary>
    public static Gradients Backward<T>(
        double[] dy, float[]? y, double[] x, double[] gamma, double[] mean, double[] rstd, bool measured, double[] dgamma0, double[] dbeta0)
        where T : IFloatingPointIeee754<T>
    {
        int columns = gamma.Length, rows = x.Length / columns;
        T[] dx = new T[x.Length], g = [.. dy.Select((d, i) => y is null || y[i] > 0 ? T.CreateTruncating(d) : T.Zero)];
        T[] dgamma = As<T>(dgamma0), dbeta = As<T>(dbeta0);
        for (int c = 0; c < columns; c++)
        {
            T r = T.CreateTruncating(rstd[c]), sum = T.Zero, projection = T.Zero, count = T.CreateTruncating(rows);
            T Normalized(int n) => (T.CreateTruncating(x[n * columns + c]) - T.CreateTruncating(mean[c])) * r;
            for (int n = 0; n < rows; n++)
            {
                sum += g[n * columns + c];
                projection += g[n * columns + c] * Normalized(n);
            }
            dgamma[c] += projection;
            dbeta[c] += sum;
            for (int n = 0; n < rows; n++)
            {
                T inner = g[n * columns + c];
                if (measured) inner -= sum / count + Normalized(n) * (projection / count);
                dx[n * columns + c] = T.CreateTruncating(gamma[c]) * r * inner;
            }
        }
        return new Gradients(Wide(dx), Wide(g), Wide(dgamma), Wide(dbeta));
    }
}
