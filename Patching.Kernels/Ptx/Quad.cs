using System.Runtime.CompilerServices;

namespace Patching.Kernels;

/// <summary>Arithmetic on four numbers in registers, component by component.</summary>
internal static class Quad
{
    /// <summary><c>a + b</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Add(Float4 a, Float4 b) => new(a.X + b.X, a.Y + b.Y, a.Z + b.Z, a.W + b.W);

    /// <summary><c>a + b</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Add(Float4 a, float b) => new(a.X + b, a.Y + b, a.Z + b, a.W + b);

    /// <summary><c>a b</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Multiply(Float4 a, Float4 b) => new(a.X * b.X, a.Y * b.Y, a.Z * b.Z, a.W * b.W);

    /// <summary><c>a b</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Multiply(Float4 a, float b) => new(a.X * b, a.Y * b, a.Z * b, a.W * b);

    /// <summary><c>a b + c</c>, rounded once.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Fma(Float4 a, Float4 b, Float4 c) =>
        new(PtxMath.Fma(a.X, b.X, c.X), PtxMath.Fma(a.Y, b.Y, c.Y), PtxMath.Fma(a.Z, b.Z, c.Z), PtxMath.Fma(a.W, b.W, c.W));

    /// <summary><c>a b + c</c>, rounded once.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Fma(float a, Float4 b, Float4 c) =>
        new(PtxMath.Fma(a, b.X, c.X), PtxMath.Fma(a, b.Y, c.Y), PtxMath.Fma(a, b.Z, c.Z), PtxMath.Fma(a, b.W, c.W));

    /// <summary>The sum of the four.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(Float4 a) => a.X + a.Y + (a.Z + a.W);
}
