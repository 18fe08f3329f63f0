using ILGPU.IR.Intrinsics;

namespace Patching.Kernels;

/// <summary>
/// Products and row operations of the 16-row matrices that a warp keeps in registers (<see cref="Accumulator64"/>,
/// <see cref="Fragments64"/> and their wider kin); right operands lie in shared memory as <see cref="SwizzledRows"/> describes. Every
/// method is straight-line PTX written by a loop (<see cref="WarpMatrixText"/>), because ILGPU does not unroll. All 32 lanes must take
/// part.
/// </summary>
internal static class WarpMatrix
{
    /// <summary>
    /// Loads 16 rows as a left operand. <paramref name="rows"/>: address of the first row plus <see cref="SwizzledRows.RowLane"/>.
    /// </summary>
    [IntrinsicImplementation, PtxWriter(typeof(WarpMatrixText), nameof(WarpMatrixText.LoadRows))]
    public static TRows LoadRows<TRows>(uint rows)
        where TRows : unmanaged
        => throw NeedsWarp();

    /// <summary>
    /// Loads the transpose of 64 rows of 16 columns as a left operand of 16 rows. <paramref name="columns"/>: address of the matrix plus
    /// <see cref="SwizzledRows.Offset"/> of the lane's row (as in <see cref="SwizzledRows.ColumnLane"/>) and chunk.
    /// </summary>
    [IntrinsicImplementation, PtxWriter(typeof(WarpMatrixText), nameof(WarpMatrixText.LoadColumns))]
    public static Fragments64 LoadColumns(uint columns, int width) => throw NeedsWarp();

    /// <summary>
    /// <c>A B^T</c>: dot products of 16 rows with as many rows of B in shared memory as the result has columns. <paramref name="b"/>:
    /// address of B plus <see cref="SwizzledRows.ColumnLane"/>. The width of B is that of A.
    /// </summary>
    [IntrinsicImplementation, PtxWriter(typeof(WarpMatrixText), nameof(WarpMatrixText.ProductTransposed))]
    public static TScores ProductTransposed<TRows, TScores>(TRows a, uint b)
        where TRows : unmanaged
        where TScores : unmanaged
        => throw NeedsWarp();

    /// <summary>
    /// The same with A's 16 rows in shared memory too, read as they are needed: four registers instead of all of A. <paramref name="a"/>:
    /// address of the rows plus <see cref="SwizzledRows.RowLane"/>; <paramref name="width"/>: a constant.
    /// </summary>
    [IntrinsicImplementation, PtxWriter(typeof(WarpMatrixText), nameof(WarpMatrixText.ProductTransposedFromMemory))]
    public static TScores ProductTransposed<TScores>(uint a, uint b, int width)
        where TScores : unmanaged
        => throw NeedsWarp();

    /// <summary>
    /// <c>C + A B</c> for as many rows of B in shared memory as A has columns. <paramref name="b"/>: address of B plus
    /// <see cref="SwizzledRows.RowLane"/>.
    /// </summary>
    [IntrinsicImplementation, PtxWriter(typeof(WarpMatrixText), nameof(WarpMatrixText.AddProduct), Tied = 0)]
    public static TColumns AddProduct<TColumns, TWeights>(TColumns c, TWeights a, uint b)
        where TColumns : unmanaged
        where TWeights : unmanaged
        => throw NeedsWarp();

    /// <summary>
    /// The accumulators rounded to bfloat16, as a left operand. No lane needs anything of another lane: the accumulators of columns
    /// 16k..16k + 7 and 16k + 8..16k + 15 hold exactly what words X, Y and Z, W of the fragment want.
    /// <code>
    /// accumulator C(2k):   X, Y = (g, 16k + 2t..)       Z, W = (g + 8, 16k + 2t..)        fragment Ak: X = C(2k).XY      Y = C(2k).ZW
    /// accumulator C(2k+1): X, Y = (g, 16k + 8 + 2t..)   Z, W = (g + 8, 16k + 8 + 2t..)                 Z = C(2k+1).XY    W = C(2k+1).ZW
    /// </code>
    /// </summary>
    [IntrinsicImplementation, PtxWriter(typeof(WarpMatrixText), nameof(WarpMatrixText.Round))]
    public static TWeights Round<TScores, TWeights>(TScores c)
        where TScores : unmanaged
        where TWeights : unmanaged
        => throw NeedsWarp();

    /// <summary>
    /// Rounds to bfloat16 and writes 16 rows to shared memory. <paramref name="rows"/>: address of the first row plus
    /// <see cref="SwizzledRows.StoreLane"/>; <paramref name="width"/>, a constant, is that of the rows in memory, which may be longer than
    /// what is written.
    /// </summary>
    [IntrinsicImplementation, PtxWriter(typeof(WarpMatrixText), nameof(WarpMatrixText.StoreRows))]
    public static void StoreRows<TColumns>(uint rows, TColumns c, int width)
        where TColumns : unmanaged
        => throw NeedsWarp();

    /// <summary>Row g times <paramref name="upper"/>, row g + 8 times <paramref name="lower"/>.</summary>
    [IntrinsicImplementation, PtxWriter(typeof(WarpMatrixText), nameof(WarpMatrixText.ScaleRows))]
    public static TColumns ScaleRows<TColumns>(TColumns c, float upper, float lower)
        where TColumns : unmanaged
        => throw NeedsWarp();

    /// <summary>
    /// Sets to minus infinity what is at or beyond a column, <paramref name="upper"/> in row g and <paramref name="lower"/> in row g + 8,
    /// both reduced by the lane's 2t.
    /// </summary>
    [IntrinsicImplementation, PtxWriter(typeof(WarpMatrixText), nameof(WarpMatrixText.KeepBefore))]
    public static TScores KeepBefore<TScores>(TScores c, int upper, int lower)
        where TScores : unmanaged
        => throw NeedsWarp();

    /// <summary>The same for what is before the column.</summary>
    [IntrinsicImplementation, PtxWriter(typeof(WarpMatrixText), nameof(WarpMatrixText.KeepFrom))]
    public static TScores KeepFrom<TScores>(TScores c, int upper, int lower)
        where TScores : unmanaged
        => throw NeedsWarp();

    /// <summary>Largest element of rows g and g + 8 over all columns; NaN is passed over.</summary>
    [IntrinsicImplementation, PtxWriter(typeof(WarpMatrixText), nameof(WarpMatrixText.RowMaximum))]
    public static Float2 RowMaximum<TScores>(TScores c)
        where TScores : unmanaged
        => throw NeedsWarp();

    /// <summary>Sums of the lane's own columns of rows g and g + 8; <see cref="QuadSum"/> completes them.</summary>
    [IntrinsicImplementation, PtxWriter(typeof(WarpMatrixText), nameof(WarpMatrixText.RowSums))]
    public static Float2 RowSums<TScores>(TScores c)
        where TScores : unmanaged
        => throw NeedsWarp();

    /// <summary>Dot products of rows g and g + 8 of two matrices over the lane's own columns.</summary>
    [IntrinsicImplementation, PtxWriter(typeof(WarpMatrixText), nameof(WarpMatrixText.RowDots))]
    public static Float2 RowDots<TRows>(TRows a, TRows b)
        where TRows : unmanaged
        => throw NeedsWarp();

    /// <summary>The sum over the four lanes of a row, in each of them; the order of the additions is the same in all four.</summary>
    [IntrinsicImplementation, Ptx("""
        { .reg .f32 %other; shfl.sync.bfly.b32 %other, $0, 1, 31, 0xffffffff; add.rn.f32 $r, $0, %other;
        shfl.sync.bfly.b32 %other, $r, 2, 31, 0xffffffff; add.rn.f32 $r, $r, %other; }
        """)]
    public static float QuadSum(float x) => throw NeedsWarp();

    /// <summary><c>2^(scale c + offset)</c>, the offset that of row g or g + 8.</summary>
    [IntrinsicImplementation, PtxWriter(typeof(WarpMatrixText), nameof(WarpMatrixText.Exponentials))]
    public static TScores Exponentials<TScores>(TScores c, float scale, float upper, float lower)
        where TScores : unmanaged
        => throw NeedsWarp();

    /// <summary>
    /// <c>2^(scale c - log2(e) l)</c> with one l per column in shared memory; <paramref name="columns"/> is the address of the lane's first
    /// one, 2t.
    /// </summary>
    [IntrinsicImplementation, PtxWriter(typeof(WarpMatrixText), nameof(WarpMatrixText.ColumnExponentials))]
    public static TScores ColumnExponentials<TScores>(TScores c, float scale, uint columns)
        where TScores : unmanaged
        => throw NeedsWarp();

    /// <summary><c>p (dp - delta)</c>, delta that of row g or g + 8.</summary>
    [IntrinsicImplementation, PtxWriter(typeof(WarpMatrixText), nameof(WarpMatrixText.SoftmaxGradient))]
    public static TScores SoftmaxGradient<TScores>(TScores p, TScores dp, float upper, float lower)
        where TScores : unmanaged
        => throw NeedsWarp();

    /// <summary>The same with one delta per column, as in <see cref="ColumnExponentials"/>.</summary>
    [IntrinsicImplementation, PtxWriter(typeof(WarpMatrixText), nameof(WarpMatrixText.ColumnSoftmaxGradient))]
    public static TScores ColumnSoftmaxGradient<TScores>(TScores p, TScores dp, uint columns)
        where TScores : unmanaged
        => throw NeedsWarp();

    private static NotSupportedException NeedsWarp() => new("a matrix in a warp's registers has no emulation on the simulator");
}
