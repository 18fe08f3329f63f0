using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using ILGPU;
using ILGPU.IR.Intrinsics;

namespace Patching.Kernels;

/// <summary>
/// One operand's part of a pipeline stage in shared memory: <see cref="Depth"/> steps of the sum for 64 to 256 rows (of A) or columns (of B) of the product,
/// "lines" in the following. Two layouts, both made of 16-byte pieces in the order of global memory, so that nothing is transposed on the way:
/// <code>
/// along   the sum runs along the matrix's rows     one line per row, 32 steps = 64 bytes = 4 pieces     piece p of line l at p ^ (l / 2 % 4)
/// across  the sum runs across the matrix's rows    one step per row, 128 lines = 16 pieces              piece p of step k at p ^ (k % 8)
/// </code>
/// The exclusive or is what keeps shared memory fast. It serves 128 bytes at once, from 32 banks of 4 bytes; <c>ldmatrix</c> reads eight pieces of one column
/// at
/// once, and without the exchange they would lie 64 (or 256) bytes apart in two (or one) of the eight groups of banks. With it they lie in all eight; so do
/// the pieces
/// that eight neighbouring threads write.
/// </summary>
internal static class OperandTile
{
    /// <summary>Steps of the sum in a stage: two instructions deep.</summary>
    public const int Depth = 32;

    /// <summary>bfloat16 numbers in a piece.</summary>
    public const int PieceNumbers = 8;

    /// <summary>Bytes of a tile of so many lines.</summary>
    public static int Bytes(int lines) => lines * Depth * 2;

    /// <summary>
    /// Starts to copy a tile. What lies beyond the matrix or beyond the part of the sum becomes zero, which adds nothing to any sum.
    /// </summary>
    /// <param name="tile">Where to, in shared memory.</param>
    /// <param name="matrix">Its rows, <paramref name="pitch"/> numbers each.</param>
    /// <param name="pitch">Length of a row.</param>
    /// <param name="first">The first line.</param>
    /// <param name="limit">Lines of the matrix.</param>
    /// <param name="step">The first step of the sum.</param>
    /// <param name="end">Where the sum, or this group's part of it, ends.</param>
    /// <param name="lines">Lines of the tile; a constant, as are the following.</param>
    /// <param name="threads">Threads of the group: half or a quarter of the tile's pieces.</param>
    /// <param name="along">The layout.</param>
    /// <param name="aligned">Whether every row starts at a multiple of 16 bytes. If not, copies are narrower, down to single numbers.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Copy(
        uint tile, ArrayView<ushort> matrix, int pitch, int first, int limit, int step, int end, int lines, int threads, bool along, bool aligned)
    {
        // Rows of this tile that one pass copies, and where in them this thread's piece is.
        int pieces = along ? Depth / PieceNumbers : lines / PieceNumbers, rowsPerPass = threads / pieces;
        int row = Group.IdxX / pieces, piece = Group.IdxX & (pieces - 1);
        uint place = tile + (along ? AlongOffset(row, piece) : AcrossOffset(row, piece, lines));
        int firstRow = (along ? first : step) + row, rowLimit = along ? limit : end;
        int column = (along ? step : first) + piece * PieceNumbers, columnLimit = along ? end : limit;
        uint passBytes = (uint)threads * 16;
        if (aligned)
        {
            // Limits of columns are multiples of eight here: a piece is inside or outside.
            int left = column < columnLimit ? rowLimit - firstRow : 0;
            CopyPieces(
                place, ref matrix[0], firstRow, column / PieceNumbers, pitch / PieceNumbers, left, rowsPerPass, threads, lines * Depth / PieceNumbers / threads);
            return;
        }
        CopyPiece(place, matrix, pitch, firstRow, rowLimit, column, columnLimit);
        CopyPiece(place + passBytes, matrix, pitch, firstRow + rowsPerPass, rowLimit, column, columnLimit);
        if (lines * Depth / PieceNumbers == 2 * threads) return;
        CopyPiece(place + 2 * passBytes, matrix, pitch, firstRow + 2 * rowsPerPass, rowLimit, column, columnLimit);
        CopyPiece(place + 3 * passBytes, matrix, pitch, firstRow + 3 * rowsPerPass, rowLimit, column, columnLimit);
    }

    /// <summary>
    /// Where this lane's addresses for <c>ldmatrix</c> lie in a tile, for the lines from <paramref name="first"/> on. The order of the four 8 x 8 matrices is
    /// that of
    /// the instruction's registers: A counts lines before steps, B steps before lines.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static LaneOffsets Offsets(int lane, int first, int lines, bool isA, bool along)
    {
        int low = lane & 7, second = (lane >> 3) & 1, third = lane >> 4;
        int line = isA ? second : third, step = isA ? third : second;
        uint at = along ? AlongOffset(first + low + 8 * line, step) : AcrossOffset(low + 8 * step, first / PieceNumbers + line, lines);
        return along ? new(at, at ^ 32, 0, 0) : new(at, at ^ 32, at ^ 64, at ^ 96);
    }

    /// <summary>16 lines (block <paramref name="block"/> of 16 from the lane's first on) of 16 steps (the first or second half of the tile).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Word4 Load(uint tile, LaneOffsets offsets, int block, int half, int lines, bool along)
    {
        if (along) return TensorCore.LoadMatrices(tile + (half == 0 ? offsets.O0 : offsets.O1) + (uint)(block * 16 * 2 * Depth));
        uint offset = block == 0 ? offsets.O0 : block == 1 ? offsets.O1 : block == 2 ? offsets.O2 : offsets.O3;
        return TensorCore.LoadMatricesTransposed(tile + offset + (uint)(half * 16 * 2 * lines));
    }

    /// <summary>
    /// What of a lane's addresses is not a constant away: the exclusive or moves with the half of the tile where the sum runs along the rows, with the block
    /// of 16
    /// lines where it runs across them.
    /// </summary>
    /// <param name="O0">First half, or first block.</param>
    /// <param name="O1">Second half, or second block.</param>
    /// <param name="O2">Third block.</param>
    /// <param name="O3">Fourth block.</param>
    public readonly record struct LaneOffsets(uint O0, uint O1, uint O2, uint O3);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint AlongOffset(int line, int piece) => (uint)(line * 2 * Depth + ((piece ^ ((line >> 1) & 3)) << 4));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint AcrossOffset(int step, int piece, int lines) => (uint)(step * 2 * lines + ((piece ^ (step & 7)) << 4));

    /// <summary>
    /// Starts a thread's copies of 16 bytes each: pass after pass <paramref name="rowsPerPass"/> rows of the matrix and <paramref name="threads"/> pieces of shared
    /// memory further. Written as text, so that no address and no distance lives longer than the copies (see <see cref="RowAccess"/>).
    /// </summary>
    /// <param name="place">Where to, in shared memory.</param>
    /// <param name="matrix">Its first byte, aligned to 16.</param>
    /// <param name="row">The first row.</param>
    /// <param name="piece">The piece of the rows.</param>
    /// <param name="pieces">Pieces in a row.</param>
    /// <param name="left">Rows of the matrix from the first one on. Of others nothing is read, whatever the address, and zeros are written.</param>
    /// <param name="rowsPerPass">A constant, as are the following.</param>
    /// <param name="threads">Threads of the group.</param>
    /// <param name="passes">Passes.</param>
    [IntrinsicImplementation, PtxWriter(typeof(OperandTile), nameof(CopyPiecesText))]
    private static void CopyPieces(
        uint place, ref ushort matrix, int row, int piece, int pieces, int left, int rowsPerPass, int threads, int passes) =>
        throw new NotSupportedException("shared memory has no addresses on the simulator");

    private static string CopyPiecesText(PtxCall call)
    {
        StringBuilder text = new("{ .reg .pred %is; .reg .b64 %at, %step; .reg .b32 %bytes;\n");
        text.AppendLine("cvt.u64.u32 %at, $3; mad.wide.u32 %at, $2, $4, %at; shl.b64 %at, %at, 4; add.s64 %at, %at, $g1;");
        text.AppendLine(CultureInfo.InvariantCulture, $"mul.wide.u32 %step, $4, {call.Constant(6) * 16};");
        for (int pass = 0; pass < call.Constant(8); pass++)
        {
            if (pass > 0) text.Append("add.s64 %at, %at, %step; ");
            text.Append(CultureInfo.InvariantCulture, $"setp.gt.s32 %is, $5, {pass * call.Constant(6)}; selp.b32 %bytes, 16, 0, %is; ");
            text.AppendLine(CultureInfo.InvariantCulture, $"cp.async.cg.shared.global [$0+{pass * call.Constant(7) * 16}], [%at], 16, %bytes;");
        }
        return text.Append('}').ToString();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void CopyPiece(
        uint place, ArrayView<ushort> matrix, int pitch, int row, int rowLimit, int column, int columnLimit)
    {
        int count = row < rowLimit ? Math.Min(Math.Max(columnLimit - column, 0), PieceNumbers) : 0;
        long start = (long)row * pitch + column;
        if (pitch % 4 == 0)
            CopyHalves(place, matrix.Cast<Word2>(), start / 4, count);
        else
            CopyNumbers(place, matrix, start, count);
    }

    // 588 columns, the patches of ViT-L/14: rows start at multiples of 8 bytes.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void CopyHalves(uint place, ArrayView<Word2> halves, long start, int count)
    {
        int left = Math.Min(count, 4), right = Math.Max(count - 4, 0);
        SharedMemoryAccess.CopyAsync(place, ref halves[start], 2 * left);
        SharedMemoryAccess.CopyAsync(place + 8, ref halves[start + 1], 2 * right);
    }

    // Anything else: through registers, which waits for memory. Only small matrices have such rows.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void CopyNumbers(uint place, ArrayView<ushort> matrix, long start, int count) => SharedMemoryAccess.Store(place, new Word4(
        Pair(matrix, start, count), Pair(matrix, start + 2, count - 2), Pair(matrix, start + 4, count - 4), Pair(matrix, start + 6, count - 6)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Pair(ArrayView<ushort> matrix, long start, int count)
    {
        uint low = 0, high = 0;
        if (count > 0) low = matrix[start];
        if (count > 1) high = matrix[start + 1];
        return low | (high << 16);
    }
}
