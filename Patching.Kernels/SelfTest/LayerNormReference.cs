using System.Numerics;
using static Patching.Kernels.Precision;

namespace Patching.Kernels;

/// <summary><see cref="LayerNorm"/> from its definition, in the precision of its type argument.</summary>
internal static class LayerNormReference
{
    public sealed record Statistics(double[] Y, double[] Mean, double[] Rstd);

    public sealed record Gradients(double[] X, double[] Gamma, double[] Beta);

    public static Statistics Forward<T>(double[] x, double[] gamma, double[] beta, int columns, float epsilon)
        where T : IFloatingPointIeee754<T>
    {
        int rows = x.Length / columns;
        Statistics result = new(new double[x.Length], new double[rows], new double[rows]);
        for (int n = 0; n < rows; n++)
        {
            T[] row = [.. x.Skip(n * columns).Take(columns).Select(T.CreateTruncating)];
            T count = T.CreateTruncating(columns), sum = T.Zero, squares = T.Zero;
            foreach (T v in row) sum += v;
            T mean = sum / count;
            foreach (T v in row) squares += (v - mean) * (v - mean);
            T rstd = T.One / T.Sqrt(squares / count + T.CreateTruncating(epsilon));
            for (int c = 0; c < columns; c++)
            {
                T value = (row[c] - mean) * rstd * T.CreateTruncating(gamma[c]) + T.CreateTruncating(beta[c]);
                result.Y[n * columns + c] = double.CreateTruncating(value);
            }
            result.Mean[n] = double.CreateTruncating(mean);
            result.Rstd[n] = double.CreateTruncating(rstd);
        }
        return result;
    }

    public static Gradients Backward<T>(
        double[] dy, double[] x, double[] gamma, double[] mean, double[] rstd, double[] dx0, double[] dgamma0, double[] dbeta0)
        where T : IFloatingPointIeee754<T>
    {
        int columns = gamma.Length, rows = mean.Length;
        T count = T.CreateTruncating(columns);
        T[] dx = new T[x.Length], dgamma = [.. dgamma0.Select(T.CreateTruncating)], dbeta = [.. dbeta0.Select(T.CreateTruncating)];
        for (int n = 0; n < rows; n++)
        {
            T r = T.CreateTruncating(rstd[n]), sum = T.Zero, projection = T.Zero;
            T Normalized(int c) => (T.CreateTruncating(x[n * columns + c]) - T.CreateTruncating(mean[n])) * r;
            T Output(int c) => T.CreateTruncating(dy[n * columns + c]);
            for (int c = 0; c < columns; c++)
            {
                T g = Output(c) * T.CreateTruncating(gamma[c]);
                sum += g;
                projection += g * Normalized(c);
                dgamma[c] += Output(c) * Normalized(c);
                dbeta[c] += Output(c);
            }
            for (int c = 0; c < columns; c++)
            {
                T value = r * (Output(c) * T.CreateTruncating(gamma[c]) - sum / count - Normalized(c) * (projection / count));
                dx[n * columns + c] = T.CreateTruncating(dx0[n * columns + c]) + value;
            }
        }
        return new Gradients(Wide(dx), Wide(dgamma), Wide(dbeta));
    }
}
