using System.Runtime.CompilerServices;

namespace Patching.Kernels;

/// <summary>
/// How a matrix of bfloat16 lies in shared memory so that <c>ldmatrix</c> never waits for a bank: row after row, 64, 80 or 128 elements
/// wide, the 16-byte chunks of a row permuted. Chunk c of row r is found at place <c>c ^ s(r)</c>. Memory has eight banks of 16 bytes, and
/// place p of row r is in bank (r chunks-per-row + p) mod 8; eight rows r = 8a..8a + 7 of one chunk, which <c>ldmatrix</c> reads at a time,
/// must be in eight banks:
/// <list type="bullet">
/// <item>64 or 128 wide (8 or 16 chunks): the row does not matter, s(r) = r mod 8 takes all eight values.</item>
/// <item>80 wide (10 chunks): 2r mod 8 takes 0, 2, 4, 6 twice; s(r) = bit 2 of r moves the second four to the odd banks.</item>
/// </list>
/// The same holds for accumulators written back (lanes of row g write four neighbouring words of one chunk) and for whole rows read or
/// copied in order, because a group of eight aligned chunks stays itself under s. All offsets assume a start aligned to
/// <see cref="Alignment"/>, so that <c>^</c> on a place is <c>^</c> on the address.
/// </summary>
internal static class SwizzledRows
{
    /// <summary>Alignment of a matrix, in bytes.</summary>
    public const int Alignment = 128;

    /// <summary>Offset of chunk <paramref name="chunk"/> of row <paramref name="row"/>, in bytes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint Offset(int row, int chunk, int width) =>
        (uint)(row * 2 * width + ((chunk ^ (width == 80 ? (row >> 2) & 1 : row & 7)) << 4));

    /// <summary>
    /// What a lane adds to the address of a matrix for <see cref="WarpMatrix.LoadRows"/>, and for the right operand of
    /// <see cref="WarpMatrix.AddProduct"/>: matrices 0 and 1 of <c>ldmatrix</c> are rows 0-7 and 8-15 of a chunk, 2 and 3 the same rows of
    /// the next chunk.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint RowLane(int lane, int width) => Offset(lane & 15, lane >> 4, width);

    /// <summary>
    /// The same for the right operand of <see cref="WarpMatrix.ProductTransposed{TRows, TScores}(TRows, uint)"/>: matrices 0 and 1 are rows
    /// 0-7 of a chunk and of the next, 2 and 3 are rows 8-15.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint ColumnLane(int lane, int width) => Offset((lane & 7) + ((lane >> 4) << 3), (lane >> 3) & 1, width);

    /// <summary>The same for <see cref="WarpMatrix.StoreRows"/>: word t of the first chunk of row g.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint StoreLane(int lane, int width) => Offset(lane >> 2, 0, width) + (uint)((lane & 3) << 2);
}
