using System.Runtime.CompilerServices;
using ILGPU;

namespace Patching.Kernels;

/// <summary>Reductions over the 32 lanes of a warp, all of which must take part and all of which receive the result; in a fixed order.</summary>
internal static class WarpReduction
{
    /// <summary>Threads of a warp.</summary>
    public const int Lanes = 32;

    /// <summary>The sum over the lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static float Sum(float value)
    {
        value += Warp.ShuffleXor(value, 16);
        value += Warp.ShuffleXor(value, 8);
        value += Warp.ShuffleXor(value, 4);
        value += Warp.ShuffleXor(value, 2);
        return value + Warp.ShuffleXor(value, 1);
    }

    /// <summary>The sums over the lanes of four values.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Sum(Float4 values) => new(Sum(values.X), Sum(values.Y), Sum(values.Z), Sum(values.W));
}
