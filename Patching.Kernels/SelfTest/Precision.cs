using System.Numerics;

namespace Patching.Kernels;

/// <summary>
/// Conversions of the references. A reference is one generic function: its double instance says what is right, its float instance how much error the plain
/// formula makes.
/// </summary>
internal static class Precision
{
    /// <summary>The numbers in double precision; exact.</summary>
    public static double[] Wide<T>(T[] values)
        where T : INumberBase<T>
        => [.. values.Select(double.CreateTruncating)];

    /// <summary>The numbers in the precision of the reference; exact, because all inputs are single-precision numbers.</summary>
    public static T[] As<T>(double[] values)
        where T : INumberBase<T>
        => [.. values.Select(T.CreateTruncating)];
}
