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

    /// <summary>Finishes this warp's tile: half of it at a time, so that it needs no more shared memory than the ring had.</summary>
    /// <param name="c">The tile.</param>
    /// <param name="output">[M, N], one after the other where the sum is divided; single precision or bfloat16.</param>
    /// <param name="bias">[N].</param>
    /// <param name="saved">Pre-activation, [M, N], bfloat16: written forward, read backward.</param>
    /// <param name="added">[M, N]; may be the output.</param>
    /// <param name="shape">The product.</param>
    /// <param name="parts">What there is to do.</param>
    /// <param name="form">Constants.</param>
    /// <param name="backward">A constant: multiply by the activation's derivative instead of applying it. There is no bias then.</param>
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
        if (column >= shape.N) return;
        Float4 b = !backward && parts.HasBias != 0 ? bias.Cast<Float4>()[column >> 2] : default;
        for (int row = lane >> 4; row < rows; row += 8)
        {
            RowPlace at = new(part * shape.M + firstRow + row, column >> 2, shape.N >> 2, rows - row);
            RoundedRows4 s = backward && parts.HasSaved != 0 ? RowAccess.LoadRounded(ref saved[0], at) : default;
            Rows4 r = parts.Added == FloatsAdded ? RowAccess.LoadFloats(ref added[0], at)
                : parts.Added == BFloatsAdded ? Widen(RowAccess.LoadRounded(ref added[0], at)) : default;
            Rows4 v = RowAccess.LoadStaged(staged + (uint)(row << 8), WarpTile.StagedPlace(row, four));
            if (!backward)
            {
                v = Add(v, b);
                if (parts.HasSaved != 0) RowAccess.StoreRounded(ref saved[0], at, v);
                if (parts.Activation != NoActivation) v = FastActivation.Value(v, parts.Activation);
            }
            else if (parts.HasSaved != 0)
            {
                v = Multiply(v, FastActivation.Derivative(Widen(s), parts.Activation));
            }
            // Zeros are added where nothing is: a branch around it would keep every sum twice.
            v = Add(v, r);
            if (parts.Rounded != 0) RowAccess.StoreRounded(ref output[0], at, v);
            else RowAccess.StoreFloats(ref output[0], at, v);
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
            float v = SharedMemoryAccess.LoadFloat(staged + (uint)((row << 8) + ((column & 3) << 2)) + WarpTile.StagedPlace(row, column >> 2));
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

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Rows4 Widen(RoundedRows4 s) =>
        new() { R0 = FromBFloats(s.R0), R1 = FromBFloats(s.R1), R2 = FromBFloats(s.R2), R3 = FromBFloats(s.R3) };

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Float4 FromBFloats(Word2 p) =>
        new(PtxMath.LowBFloat(p.X), PtxMath.HighBFloat(p.X), PtxMath.LowBFloat(p.Y), PtxMath.HighBFloat(p.Y));

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
