using System.Runtime.CompilerServices;
using ILGPU;

namespace Patching.Kernels;

/// <content>
/// The product of one group of the bfloat16 kernels, on tensor cores. A group computes 128 x 256 sums (2 x 4 warps of 64 x 64), 128 x 128 (2 x 2 warps), or
/// 64 x 64
/// (four warps of 16 x 64): see <see cref="ProductSize"/>. The sum runs in stages of 32 steps through a ring of four in shared memory: while the tensor cores
/// work on
/// one, <c>cp.async</c> fills the others. See docs/tensor-cores.md.
/// </content>
public static partial class Gemm
{
    private const int Stages = 4;

    /// <summary>
    /// How a product <c>C[M, N] = sum over K</c> is cut: group (x, y, z) has tile x of N, tile y of M and part z of the sum.
    /// </summary>
    /// <param name="M">Rows of the product.</param>
    /// <param name="N">Columns of the product.</param>
    /// <param name="K">Length of the sums.</param>
    /// <param name="StagesPerPart">Stages of 32 steps in a part of the sum.</param>
    internal readonly record struct ProductShape(int M, int N, int K, int StagesPerPart);

    /// <summary>What a kernel is compiled for; constants after inlining, so that nothing is decided at run time.</summary>
    /// <param name="Rows">Rows of a group's tile: 128 or 64.</param>
    /// <param name="Columns">Columns of a group's tile: 256, 128 or 64.</param>
    /// <param name="AAlong">Whether the sum runs along the rows of the matrix A is read from.</param>
    /// <param name="BAlong">The same for B.</param>
    /// <param name="Aligned">Whether rows of both start at multiples of 16 bytes and rows of the output are multiples of four numbers.</param>
    internal readonly record struct ProductForm(int Rows, int Columns, bool AAlong, bool BAlong, bool Aligned)
    {
        /// <summary>Blocks of 16 rows in a warp's tile.</summary>
        public int RowBlocks => Rows == 128 ? 4 : 1;

        /// <summary>Warps side by side.</summary>
        public int WarpColumns => Columns / WarpTile.Columns;

        /// <summary>Threads of a group.</summary>
        public int Threads => Rows / (RowBlocks * WarpTile.RowBlock) * WarpColumns * 32;

        /// <summary>Bytes of one stage: a tile of A, then one of B.</summary>
        public int StageBytes => OperandTile.Bytes(Rows) + OperandTile.Bytes(Columns);

        /// <summary>Dynamic shared memory of a group.</summary>
        public int SharedBytes => Stages * StageBytes;

        /// <summary>First row of a warp's tile within the group's.</summary>
        public int WarpRow(int warp) => warp / WarpColumns * RowBlocks * WarpTile.RowBlock;

        /// <summary>Which of the warps side by side this is.</summary>
        public int WarpColumn(int warp) => warp & (WarpColumns - 1);
    }

    /// <summary>Sums of the lines of A: one or two blocks of 16 as a tensor core leaves them, every column the same.</summary>
    internal struct LineSums
    {
        /// <summary>The first block of this warp.</summary>
        public Float4 S0;

        /// <summary>The second.</summary>
        public Float4 S1;
    }

    /// <summary>The product alone.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static WarpTile Product(ArrayView<ushort> a, ArrayView<ushort> b, ProductShape shape, ProductForm form) =>
        ProductAndSums(a, b, shape, form, wantsSums: false, out _);

    /// <summary>Computes the tile of this warp. Afterwards shared memory is free.</summary>
    /// <param name="a">The matrix of A, [M, K] or, across, [K, M].</param>
    /// <param name="b">The matrix of B, [N, K] or, across, [K, N].</param>
    /// <param name="shape">The product.</param>
    /// <param name="form">Constants.</param>
    /// <param name="wantsSums">Whether <paramref name="sums"/> are wanted; the same for all threads. The constant false where they never are.</param>
    /// <param name="sums">Sums of this group's lines of A over its part of K: each warp has those of <see cref="SumBlock"/>.</param>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static WarpTile ProductAndSums(
        ArrayView<ushort> a, ArrayView<ushort> b, ProductShape shape, ProductForm form, bool wantsSums, out LineSums sums)
    {
        uint memory = SharedBase();
        int lane = Group.IdxX & 31, warp = Group.IdxX >> 5;
        int first = Grid.IdxZ * shape.StagesPerPart * OperandTile.Depth, end = Math.Min(first + shape.StagesPerPart * OperandTile.Depth, shape.K);
        OperandTile.LaneOffsets laneA = OperandTile.Offsets(
            lane, form.WarpRow(warp), form.Rows, isA: true, form.AAlong);
        OperandTile.LaneOffsets laneB = OperandTile.Offsets(
            lane, form.WarpColumn(warp) * WarpTile.Columns, form.Columns, isA: false, form.BAlong);
        WarpTile c = default;
        LineSums s = default;

        // All stages of the ring are asked for at once; those beyond the end of the sum become zeros.
        for (int stage = 0; stage < Stages; stage++)
            CopyStage(memory + (uint)(stage * form.StageBytes), a, b, shape, form, first + stage * OperandTile.Depth, end);
        SharedMemoryAccess.WaitForCopies(Stages - 1);
        Group.Barrier();

        // One half of a stage is always in registers while the other is being loaded. After the barrier everybody has both halves of this stage, so its memory
        // takes the stage four further on; and everybody's copies of the next one have arrived.
        Fragments now = LoadFragments(memory, laneA, laneB, 0, form);
        uint slot = 0;
        for (int step = first; step < end; step += OperandTile.Depth)
        {
            Fragments next = LoadFragments(memory + slot, laneA, laneB, 1, form);
            c = WarpTile.Multiply(c, now, form.RowBlocks);
            if (wantsSums) s = AddLines(s, now, warp, form);
            SharedMemoryAccess.WaitForCopies(Stages - 2);
            Group.Barrier();
            CopyStage(memory + slot, a, b, shape, form, step + Stages * OperandTile.Depth, end);
            slot = slot == (uint)(form.SharedBytes - form.StageBytes) ? 0 : slot + (uint)form.StageBytes;
            now = LoadFragments(memory + slot, laneA, laneB, 0, form);
            c = WarpTile.Multiply(c, next, form.RowBlocks);
            if (wantsSums) s = AddLines(s, next, warp, form);
        }

        // The last copies carry only zeros, but they must not land on what is put in their place.
        SharedMemoryAccess.WaitForCopies(0);
        Group.Barrier();
        sums = s;
        return c;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint SharedBase() => SharedMemoryAccess.Address(ref SharedMemory.GetDynamic<Word4>()[0]);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void CopyStage(
        uint stage, ArrayView<ushort> a, ArrayView<ushort> b, ProductShape shape, ProductForm form, int step, int end)
    {
        int pitchA = form.AAlong ? shape.K : shape.M, pitchB = form.BAlong ? shape.K : shape.N;
        OperandTile.Copy(stage, a, pitchA, Grid.IdxY * form.Rows, shape.M, step, end, form.Rows, form.Threads, form.AAlong, form.Aligned);
        uint tileB = stage + (uint)OperandTile.Bytes(form.Rows);
        OperandTile.Copy(tileB, b, pitchB, Grid.IdxX * form.Columns, shape.N, step, end, form.Columns, form.Threads, form.BAlong, form.Aligned);
        SharedMemoryAccess.CommitCopies();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Fragments LoadFragments(
        uint stage, OperandTile.LaneOffsets laneA, OperandTile.LaneOffsets laneB, int half, ProductForm form)
    {
        uint tileB = stage + (uint)OperandTile.Bytes(form.Rows);
        Fragments f = default;
        f.A0 = OperandTile.Load(stage, laneA, 0, half, form.Rows, form.AAlong);
        if (form.RowBlocks > 1)
        {
            f.A1 = OperandTile.Load(stage, laneA, 1, half, form.Rows, form.AAlong);
            f.A2 = OperandTile.Load(stage, laneA, 2, half, form.Rows, form.AAlong);
            f.A3 = OperandTile.Load(stage, laneA, 3, half, form.Rows, form.AAlong);
        }
        f.B0 = OperandTile.Load(tileB, laneB, 0, half, form.Columns, form.BAlong);
        f.B1 = OperandTile.Load(tileB, laneB, 1, half, form.Columns, form.BAlong);
        f.B2 = OperandTile.Load(tileB, laneB, 2, half, form.Columns, form.BAlong);
        f.B3 = OperandTile.Load(tileB, laneB, 3, half, form.Columns, form.BAlong);
        return f;
    }

    // A product with ones: the tensor core adds up the lines of A beside its real work, one or two instructions more to 32. Warps side by side have the same
    // lines,
    // so each takes its share of them.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static LineSums AddLines(LineSums s, Fragments f, int warp, ProductForm form)
    {
        const uint ones = 0x3F803F80;
        int column = form.WarpColumn(warp);
        Word4 first = f.A0, second = f.A1;
        if (form.WarpColumns == 2) (first, second) = (Select(column == 0, f.A0, f.A2), Select(column == 0, f.A1, f.A3));
        if (form.WarpColumns == 4) first = Select(column < 2, Select(column == 0, f.A0, f.A1), Select(column == 2, f.A2, f.A3));
        s.S0 = TensorCore.Multiply(s.S0, first, ones, ones);
        if (form.WarpColumns == 2) s.S1 = TensorCore.Multiply(s.S1, second, ones, ones);
        return s;
    }

    /// <summary>First line, within the group's tile, of the sums that a warp has: 32 lines with two warps side by side, otherwise 16.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int SumBlock(int warp, ProductForm form) => form.WarpRow(warp) + form.WarpColumn(warp) * (WarpTile.Columns / form.WarpColumns);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Word4 Select(bool first, Word4 a, Word4 b) =>
        new(first ? a.X : b.X, first ? a.Y : b.Y, first ? a.Z : b.Z, first ? a.W : b.W);
}
