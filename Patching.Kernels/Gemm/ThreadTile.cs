using System.Runtime.CompilerServices;

namespace Patching.Kernels;

/// <summary>
/// 8 x 8 sums that one thread keeps in registers: each step along the sum takes 16 numbers from shared memory for 64 multiply-adds. The eight rows (and columns)
/// are two runs of four, 64 apart, so that the 16-byte loads of neighbouring threads are neighbours too.
/// </summary>
internal struct ThreadTile
{
    /// <summary>Row 0; the others follow.</summary>
    public ThreadRow R0, R1, R2, R3, R4, R5, R6, R7;

    /// <summary>Adds the outer product of eight numbers of A and eight of B.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ThreadTile MultiplyAdd(ThreadTile c, Float4 a0, Float4 a1, Float4 b0, Float4 b1) => new()
    {
        R0 = ThreadRow.MultiplyAdd(c.R0, a0.X, b0, b1),
        R1 = ThreadRow.MultiplyAdd(c.R1, a0.Y, b0, b1),
        R2 = ThreadRow.MultiplyAdd(c.R2, a0.Z, b0, b1),
        R3 = ThreadRow.MultiplyAdd(c.R3, a0.W, b0, b1),
        R4 = ThreadRow.MultiplyAdd(c.R4, a1.X, b0, b1),
        R5 = ThreadRow.MultiplyAdd(c.R5, a1.Y, b0, b1),
        R6 = ThreadRow.MultiplyAdd(c.R6, a1.Z, b0, b1),
        R7 = ThreadRow.MultiplyAdd(c.R7, a1.W, b0, b1),
    };
}

/// <summary>Eight columns of a row.</summary>
internal struct ThreadRow
{
    /// <summary>The first four and the four that are 64 columns further.</summary>
    public Float4 Left, Right;

    /// <summary>Adds a number times eight.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ThreadRow MultiplyAdd(ThreadRow c, float a, Float4 b0, Float4 b1) =>
        new() { Left = MultiplyAdd(c.Left, a, b0), Right = MultiplyAdd(c.Right, a, b1) };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Float4 MultiplyAdd(Float4 c, float a, Float4 b) =>
        new(PtxMath.Fma(a, b.X, c.X), PtxMath.Fma(a, b.Y, c.Y), PtxMath.Fma(a, b.Z, c.Z), PtxMath.Fma(a, b.W, c.W));
}

/// <summary>Eight numbers on their way from global to shared memory.</summary>
internal struct Floats8
{
    /// <summary>The numbers.</summary>
    public float V0, V1, V2, V3, V4, V5, V6, V7;
}
