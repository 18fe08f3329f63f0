using System.Runtime.CompilerServices;

namespace Patching.Kernels;

/// <summary>Four numbers between single precision and bfloat16.</summary>
internal static class BFloatPacking
{
    /// <summary>Rounds to nearest, ties to even.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Word2 Pack(Float4 values) => new(PtxMath.PackBFloats(values.X, values.Y), PtxMath.PackBFloats(values.Z, values.W));

    /// <summary>Widens; exact.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Unpack(Word2 pairs) =>
        new(PtxMath.LowBFloat(pairs.X), PtxMath.HighBFloat(pairs.X), PtxMath.LowBFloat(pairs.Y), PtxMath.HighBFloat(pairs.Y));

    /// <summary>The first four of eight.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Word2 Low(Word4 pairs) => new(pairs.X, pairs.Y);

    /// <summary>The last four of eight.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Word2 High(Word4 pairs) => new(pairs.Z, pairs.W);

    /// <summary>Eight of twice four.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Word4 Join(Word2 low, Word2 high) => new(low.X, low.Y, high.X, high.Y);
}
