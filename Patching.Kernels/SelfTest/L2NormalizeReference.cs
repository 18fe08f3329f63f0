using System.Numerics;
using static Patching.Kernels.Precision;

namespace Patching.Kernels;

/// <summary><see cref="L2Normalize"/> from its definition, in the precision of its type argument.</summary>
internal static class L2NormalizeReference
{
    public static (double[] Y, double[] Inverse) Forward<T>(double[] x, int columns)
        where T : IFloatingPointIeee754<T>
    {
        T[] y = As<T>(x), inverse = new T[x.Length / columns];
        for (int n = 0; n < inverse.Length; n++)
        {
            T squares = T.Zero;
            for (int c = 0; c < columns; c++) squares += y[n * columns + c] * y[n * columns + c];
            inverse[n] = T.One / T.Sqrt(squares);
            for (int c = 0; c < columns; c++) y[n * columns + c] *= inverse[n];
        }
        return (Wide(y), Wide(inverse));
    }

    public static double[] Backward<T>(double[] dyWide, double[] yWide, double[] inverseWide)
        where T : IFloatingPointIeee754<T>
    {
        T[] dx = As<T>(dyWide), y = As<T>(yWide), inverse = As<T>(inverseWide);
        int columns = y.Length / inverse.Length;
        for (int n = 0; n < inverse.Length; n++)
        {
            T radial = T.Zero;
            for (int c = 0; c < columns; c++) radial += dx[n * columns + c] * y[n * columns + c];
            for (int c = 0; c < columns; c++) dx[n * columns + c] = (dx[n * columns + c] - y[n * columns + c] * radial) * inverse[n];
        }
        return Wide(dx);
    }
}
