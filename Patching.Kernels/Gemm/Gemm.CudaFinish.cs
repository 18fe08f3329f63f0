using System.Runtime.CompilerServices;
using ILGPU;

namespace Patching.Kernels;

/// <content>
/// What happens to the sums of the tensor-core kernels before they reach global memory. The accumulators of <c>mma</c> lie two columns to a lane; written from
/// there, a warp's store would touch eight rows with 16 bytes each, half of what memory moves at least, and 32 copies of this code, one per accumulator,
/// would be
/// compiled one after the other. So the tile goes through shared memory first (it costs as much as two and a half stages of the product) and comes back as
/// rows:
/// 16 lanes hold 64 neighbouring columns, every load and store here covers whole 128-byte lines, and one loop with four rows in flight does it all.
/// </content>
public static partial class Gemm
{
    private const int NothingAdded = 0, FloatsAdded = 1, BFloatsAdded = 2;

    /// <summary>Which parts an epilogue has.</summary>
    /// <param name="Activation">An <see cref="ActivationKind"/> or <see cref="NoActivation"/>.</param>
    /// <param name="HasBias">Not 0: add the bias first.</param>
    /// <param name="HasSaved">Not 0: write the pre-activation, or, backward, multiply by its derivative.</param>
    /// <param name="Added">What is added last: nothing, single-precision or bfloat16 numbers.</param>
    /// <param name="Rounded">Not 0: the output is bfloat16.</param>
    internal readonly record struct FinishParts(int Activation, int HasBias, int HasSaved, int Added, int Rounded);

    /// <summary>Four rows of four columns, two rows apart: what a lane works on at a time, to have four loads in flight.</summary>
    internal struct Rows4
    {
        /// <summary>The first row; the others follow.</summary>
        public Float4 R0, R1, R2, R3;
    }

    /// <summary>Finishes this warp's tile: half of it at a time, so that it needs no more shared memory than the ring had.</summary>
    /// <param name="c">The tile.</param>
    /// <param name="output">[M, N], one after the other where the sum is divided; single precision or bfloat16.</param>
    /// <param name="bias">[N].</param>
    /// <param name="saved">Pre-activation, [M, N], bfloat16: written forward, read backward.</param>
    /// <param name="added">[M, N]; may be the output.</param>
    /// <param name="shape">The product.</param>
    /// <param name="parts">What there is to do.</param>
    /// <param name="form">Constants.</param>
    /// <param name="backward">A constant: multiply by the activation's derivative instead of applying it.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Finish(
        WarpTile c, ArrayView<ushort> output, ArrayView<float> bias, ArrayView<ushort> saved, ArrayView<ushort> added,
        ProductShape shape, FinishParts parts, ProductForm form, bool backward)
    {
        int warp = Group.IdxX >> 5;
        int firstRow = Grid.IdxY * form.Rows + form.WarpRow(warp);
        if (form.RowBlocks == 1)
        {
            FinishHalf(c, firstRow, output, bias, saved, added, shape, parts, form, backward);
            return;
        }
        for (int half = 0; half < 2; half++)
        {
            FinishHalf(c, firstRow + half * 2 * WarpTile.RowBlock, output, bias, saved, added, shape, parts, form, backward);
            Group.Barrier();
            c = WarpTile.LowerHalf(c);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FinishHalf(
        WarpTile c, int firstRow, ArrayView<ushort> output, ArrayView<float> bias, ArrayView<ushort> saved, ArrayView<ushort> added,
        ProductShape shape, FinishParts parts, ProductForm form, bool backward)
    {
        int warp = Group.IdxX >> 5, blocks = form.RowBlocks > 1 ? 2 : 1;
        int firstColumn = Grid.IdxX * form.Columns + form.WarpColumn(warp) * WarpTile.Columns;
        uint staged = SharedBase() + (uint)(warp * blocks * WarpTile.StagedBytes);
        WarpTile.Stage(c, staged, Group.IdxX & 31, form.RowBlocks);
        Group.Barrier();
        int rows = Math.Min(blocks * WarpTile.RowBlock, shape.M - firstRow);
        if (form.Aligned) FinishRows(staged, firstRow, rows, firstColumn, Grid.IdxZ, output, bias, saved, added, shape, parts, backward);
        else FinishNumbers(staged, firstRow, rows, firstColumn, output, bias, saved, added, shape, parts, backward);
    }

    /// <summary>Finishes up to 32 staged rows, of one part of the sum, where everything is a multiple of four columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FinishRows(
        uint staged, int firstRow, int rows, int firstColumn, int part, ArrayView<ushort> output, ArrayView<float> bias, ArrayView<ushort> saved,
        ArrayView<ushort> added, ProductShape shape, FinishParts parts, bool backward)
    {
        int lane = Group.IdxX & 31, four = lane & 15, column = firstColumn + 4 * four;
        long partRow = (long)part * shape.M;
        if (column >= shape.N) return;
        Float4 b = parts.HasBias != 0 ? bias.Cast<Float4>()[column >> 2] : default;
        for (int row = lane >> 4; row < rows; row += 8)
        {
            RowPieces at = new((partRow + firstRow + row) * (shape.N >> 2) + (column >> 2), shape.N >> 1, rows - row);
            Rows4 s = backward && parts.HasSaved != 0 ? LoadRounded(saved, at) : default;
            Rows4 r = parts.Added == FloatsAdded ? LoadFloats(added, at) : parts.Added == BFloatsAdded ? LoadRounded(added, at) : default;
            Rows4 v = LoadStaged(staged, row, four);
            v = Add(v, b);
            if (!backward)
            {
                if (parts.HasSaved != 0) StoreRounded(saved, at, v);
                if (parts.Activation != NoActivation) v = FastActivation.Value(v, parts.Activation);
            }
            else if (parts.HasSaved != 0)
            {
                v = Multiply(v, FastActivation.Derivative(s, parts.Activation));
            }
            if (parts.Added != NothingAdded) v = Add(v, r);
            if (parts.Rounded != 0) StoreRounded(output, at, v);
            else StoreFloats(output, at, v);
        }
    }

    /// <summary>The same one number at a time, for any number of columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FinishNumbers(
        uint staged, int firstRow, int rows, int firstColumn, ArrayView<ushort> output, ArrayView<float> bias, ArrayView<ushort> saved,
        ArrayView<ushort> added, ProductShape shape, FinishParts parts, bool backward)
    {
        long partRow = (long)Grid.IdxZ * shape.M;
        int columns = Math.Min(WarpTile.Columns, shape.N - firstColumn);
        for (int i = Group.IdxX & 31; i < rows * WarpTile.Columns; i += 32)
        {
            int row = i / WarpTile.Columns, column = i & (WarpTile.Columns - 1);
            if (column >= columns) continue;
            long at = (partRow + firstRow + row) * shape.N + firstColumn + column;
            float v = SharedMemoryAccess.LoadFloat(WarpTile.Staged(staged, row, column >> 2) + (uint)((column & 3) << 2));
            if (parts.HasBias != 0) v += bias[firstColumn + column];
            if (!backward)
            {
                if (parts.HasSaved != 0) saved[at] = (ushort)PtxMath.PackBFloats(v, 0);
                if (parts.Activation != NoActivation) v = FastActivation.Value(v, parts.Activation);
            }
            else if (parts.HasSaved != 0)
            {
                v *= FastActivation.Derivative(PtxMath.LowBFloat(saved[at]), parts.Activation);
            }
            if (parts.Added == FloatsAdded) v += added.Cast<float>()[at];
            if (parts.Added == BFloatsAdded) v += PtxMath.LowBFloat(added[at]);
            if (parts.Rounded != 0) output[at] = (ushort)PtxMath.PackBFloats(v, 0);
            else output.Cast<float>()[at] = v;
        }
    }

    /// <summary>
    /// Where in a matrix a lane's four rows are, in pieces of four columns. The first always exists. In place of others that do not, the first is loaded once
    /// more: that takes no branch, so that four loads leave one after the other.
    /// </summary>
    /// <param name="First">The piece in the first row.</param>
    /// <param name="Step">Pieces from one of the four rows to the next: two rows of the matrix.</param>
    /// <param name="Left">Rows of the matrix from the first one on, at least one.</param>
    private readonly record struct RowPieces(long First, int Step, int Left)
    {
        /// <summary>The piece to load for row 0 to 3.</summary>
        public long Existing(int row) => First + (Left > 2 * row ? row * Step : 0);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Rows4 LoadStaged(uint staged, int row, int four) => new()
    {
        R0 = SharedMemoryAccess.LoadFloats(WarpTile.Staged(staged, row, four)),
        R1 = SharedMemoryAccess.LoadFloats(WarpTile.Staged(staged, row + 2, four)),
        R2 = SharedMemoryAccess.LoadFloats(WarpTile.Staged(staged, row + 4, four)),
        R3 = SharedMemoryAccess.LoadFloats(WarpTile.Staged(staged, row + 6, four)),
    };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Rows4 LoadFloats(ArrayView<ushort> matrix, RowPieces at)
    {
        ArrayView<Float4> pieces = matrix.Cast<Float4>();
        return new Rows4
        {
            R0 = pieces[at.First],
            R1 = pieces[at.Existing(1)],
            R2 = pieces[at.Existing(2)],
            R3 = pieces[at.Existing(3)],
        };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Rows4 LoadRounded(ArrayView<ushort> matrix, RowPieces at)
    {
        ArrayView<Word2> pieces = matrix.Cast<Word2>();
        Word2 p0 = pieces[at.First], p1 = pieces[at.Existing(1)], p2 = pieces[at.Existing(2)], p3 = pieces[at.Existing(3)];
        return new Rows4 { R0 = FromBFloats(p0), R1 = FromBFloats(p1), R2 = FromBFloats(p2), R3 = FromBFloats(p3) };
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreFloats(ArrayView<ushort> matrix, RowPieces at, Rows4 v)
    {
        ArrayView<Float4> pieces = matrix.Cast<Float4>();
        pieces[at.First] = v.R0;
        if (at.Left > 2) pieces[at.First + at.Step] = v.R1;
        if (at.Left > 4) pieces[at.First + 2 * at.Step] = v.R2;
        if (at.Left > 6) pieces[at.First + 3 * at.Step] = v.R3;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreRounded(ArrayView<ushort> matrix, RowPieces at, Rows4 v)
    {
        ArrayView<Word2> pieces = matrix.Cast<Word2>();
        pieces[at.First] = ToBFloats(v.R0);
        if (at.Left > 2) pieces[at.First + at.Step] = ToBFloats(v.R1);
        if (at.Left > 4) pieces[at.First + 2 * at.Step] = ToBFloats(v.R2);
        if (at.Left > 6) pieces[at.First + 3 * at.Step] = ToBFloats(v.R3);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Float4 FromBFloats(Word2 p) =>
        new(PtxMath.LowBFloat(p.X), PtxMath.HighBFloat(p.X), PtxMath.LowBFloat(p.Y), PtxMath.HighBFloat(p.Y));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Word2 ToBFloats(Float4 v) => new(PtxMath.PackBFloats(v.X, v.Y), PtxMath.PackBFloats(v.Z, v.W));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Rows4 Add(Rows4 a, Float4 b) => new() { R0 = Add(a.R0, b), R1 = Add(a.R1, b), R2 = Add(a.R2, b), R3 = Add(a.R3, b) };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Rows4 Add(Rows4 a, Rows4 b) =>
        new() { R0 = Add(a.R0, b.R0), R1 = Add(a.R1, b.R1), R2 = Add(a.R2, b.R2), R3 = Add(a.R3, b.R3) };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Rows4 Multiply(Rows4 a, Rows4 b) =>
        new() { R0 = Multiply(a.R0, b.R0), R1 = Multiply(a.R1, b.R1), R2 = Multiply(a.R2, b.R2), R3 = Multiply(a.R3, b.R3) };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Float4 Add(Float4 a, Float4 b) => new(a.X + b.X, a.Y + b.Y, a.Z + b.Z, a.W + b.W);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Float4 Multiply(Float4 a, Float4 b) => new(a.X * b.X, a.Y * b.Y, a.Z * b.Z, a.W * b.W);
}
