using System.Runtime.CompilerServices;
using ILGPU;

namespace Patching.Kernels;

/// <content>
/// The product on the tensor cores of sm_90a. Three warpgroups share a multiprocessor for the whole launch and divide the work by kind: a single thread of the
/// first asks the copy engine for stages of 64 steps (A and B as they lie in memory, swizzled), round and round a ring; the other two multiply straight from
/// there (<see cref="Wgmma"/>) and finish tiles as the other kernels do. Each stage of the ring has two barriers in memory: "full" counts the bytes that the
/// engine has brought, "empty" the warps that have done with it. See docs/tensor-cores.md.
/// <code>
/// together      both warpgroups multiply one tile of 128 x 256, 64 rows each
/// alternating   each has its own tile of 128 x 128; while one multiplies, the other finishes the tile before
/// </code>
/// </content>
public static partial class Gemm
{
    private const int WgmmaThreads = 3 * Wgmma.Threads, ConsumerThreads = 2 * Wgmma.Threads, ConsumerWarps = 8;

    // 168 for everybody at the launch; 128 x 40 + 256 x 232 are as many.
    private const int ProducerRegisters = 40, ConsumerRegisters = 232;

    // 64 x 256 or 128 x 128 sums are 128 registers of each thread; two times four more for sums of lines.
    private const int TileSums = 128, AllSums = TileSums + 8;

    /// <summary>What a kernel is compiled for; constants after inlining.</summary>
    /// <param name="Rows">Rows of a tile: 128.</param>
    /// <param name="Columns">Columns of a tile: 256, or 128 where warpgroups alternate.</param>
    /// <param name="IsAlternating">Whether each warpgroup has its own tile.</param>
    /// <param name="TransposeA">0: the sum runs along the rows of the matrix A is read from; 1: across them.</param>
    /// <param name="TransposeB">The same for B.</param>
    internal readonly record struct WgmmaForm(int Rows, int Columns, bool IsAlternating, int TransposeA, int TransposeB)
    {
        /// <summary>Steps of the sum in a stage: a row of the swizzle.</summary>
        public const int Depth = MatrixDescriptor.AtomNumbers;

        // Sums of lines: a matrix of ones.
        private const int OnesBytes = 256;

        /// <summary>Stages in the ring.</summary>
        public int Stages => IsAlternating ? 6 : 4;

        /// <summary>Bytes of a stage of A.</summary>
        public int ABytes => Rows * Depth * sizeof(ushort);

        /// <summary>Bytes of a stage.</summary>
        public int StageBytes => ABytes + Columns * Depth * sizeof(ushort);

        /// <summary>Where the tiles on their way out are, from the aligned start of memory.</summary>
        public int StagedAt => Stages * StageBytes;

        /// <summary>Where the ones are.</summary>
        public int OnesAt => StagedAt + ConsumerWarps * WarpTile.StagedBytes;

        /// <summary>Where the barriers are: the full ones, then the empty ones.</summary>
        public int BarriersAt => OnesAt + OnesBytes;

        /// <summary>Dynamic shared memory of a group, with what aligning it may cost.</summary>
        public int SharedBytes => MatrixDescriptor.AtomBytes + BarriersAt + 2 * Stages * Mbarrier.Bytes;

        /// <summary>Warps that give a stage back.</summary>
        public int Readers => IsAlternating ? ConsumerWarps / 2 : ConsumerWarps;

        /// <summary>Whether the sum runs along the rows of A.</summary>
        public bool AAlong => TransposeA == 0;

        /// <summary>The same for B.</summary>
        public bool BAlong => TransposeB == 0;
    }

    /// <summary>Where in the ring a thread is.</summary>
    /// <param name="Slot">The stage.</param>
    /// <param name="Parity">Parity of the round.</param>
    private readonly record struct RingPlace(int Slot, int Parity)
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public RingPlace Next(WgmmaForm form) => Slot == form.Stages - 1 ? new(0, Parity ^ 1) : new(Slot + 1, Parity);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public RingPlace After(int stages, WgmmaForm form) =>
            new((Slot + stages) % form.Stages, (Parity + (Slot + stages) / form.Stages) & 1);
    }

    /// <summary>
    /// A product and its tiles. The counts come from the host: computed by the kernel, they would be registers of every thread from beginning to end; a parameter is
    /// read where it is needed.
    /// </summary>
    /// <param name="Product">The product.</param>
    /// <param name="Across">Tiles side by side.</param>
    /// <param name="Down">Tiles one below the other.</param>
    /// <param name="Tiles">Tiles of all parts of the sum.</param>
    /// <param name="Stages">Stages of the whole sum.</param>
    internal readonly record struct TiledShape(ProductShape Product, int Across, int Down, int Tiles, int Stages)
    {
        /// <summary>Cuts a product into the tiles of a form.</summary>
        public static TiledShape Create(ProductShape shape, WgmmaForm form)
        {
            int across = ProductSize.CountOf(shape.N, form.Columns), down = ProductSize.CountOf(shape.M, form.Rows);
            int stages = ProductSize.CountOf(shape.K, WgmmaForm.Depth);
            return new(shape, across, down, across * down * ProductSize.CountOf(stages, shape.StagesPerPart), stages);
        }
    }

    /// <summary>A tile of the product and its part of the sum.</summary>
    /// <param name="Row">First row.</param>
    /// <param name="Column">First column.</param>
    /// <param name="Part">Number of the part.</param>
    /// <param name="First">Its first stage.</param>
    /// <param name="Stages">Its stages, at least one.</param>
    private readonly record struct TilePlace(int Row, int Column, int Part, int First, int Stages);

    /// <summary>How the tiles are finished: the arguments of <see cref="FinishRows"/>, and where sums of lines go.</summary>
    private readonly struct TileTarget
    {
        public ArrayView<ushort> Output { get; init; }

        public ArrayView<float> Bias { get; init; }

        public ArrayView<ushort> Saved { get; init; }

        public ArrayView<ushort> Added { get; init; }

        public FinishParts Parts { get; init; }

        /// <summary>A constant: multiply by the activation's derivative instead of applying it. There is no bias then.</summary>
        public bool IsBackward { get; init; }

        /// <summary>Whether sums of the lines of A are added to <see cref="Bias"/>; the constant false where they never are.</summary>
        public bool HasSums { get; init; }
    }

    /// <summary>Computes this group's tiles: number <c>Grid.IdxX</c> and every <c>Grid.DimX</c>-th after it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void WgmmaTiles(ulong mapA, ulong mapB, TiledShape shape, TileTarget target, WgmmaForm form)
    {
        Wgmma.DeclareAccumulators(AllSums);
        uint memory = (SharedBase() + (MatrixDescriptor.AtomBytes - 1)) & ~(uint)(MatrixDescriptor.AtomBytes - 1);
        if (Group.IdxX == 0)
        {
            BulkTensorCopy.Prefetch(mapA);
            BulkTensorCopy.Prefetch(mapB);
            for (int slot = 0; slot < form.Stages; slot++)
            {
                Mbarrier.Initialize(Full(memory, slot, form), 1);
                Mbarrier.Initialize(Empty(memory, slot, form), form.Readers);
            }
            Mbarrier.PublishInitialized();
        }
        if (target.HasSums) WriteOnes(memory + (uint)form.OnesAt);
        Group.Barrier();
        if (Group.IdxX < Wgmma.Threads)
        {
            WarpgroupRegisters.Release(ProducerRegisters);
            if (Group.IdxX == 0) Produce(memory, mapA, mapB, shape, form);
        }
        else
        {
            WarpgroupRegisters.Claim(ConsumerRegisters);
            Consume(memory, shape, target, form);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Full(uint memory, int slot, WgmmaForm form) => memory + (uint)(form.BarriersAt + slot * Mbarrier.Bytes);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Empty(uint memory, int slot, WgmmaForm form) => Full(memory, slot, form) + (uint)(form.Stages * Mbarrier.Bytes);

    // Neighbouring numbers lie side by side: what runs at the same time shares rows of A and columns of B in the L2 cache.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TilePlace Locate(int tile, TiledShape shape, WgmmaForm form)
    {
        int line = tile / shape.Across, part = line / shape.Down, first = part * shape.Product.StagesPerPart;
        int end = Math.Min(first + shape.Product.StagesPerPart, shape.Stages);
        return new((line - part * shape.Down) * form.Rows, (tile - line * shape.Across) * form.Columns, part, first, end - first);
    }

    // ---- the producer: one thread ----

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Produce(uint memory, ulong mapA, ulong mapB, TiledShape shape, WgmmaForm form)
    {
        // All stages are empty: as if the round before this one were over.
        RingPlace at = new(0, 1);
        for (int number = Grid.IdxX; number < shape.Tiles; number += Grid.DimX)
        {
            TilePlace tile = Locate(number, shape, form);
            for (int stage = 0; stage < tile.Stages; stage++)
            {
                uint full = Full(memory, at.Slot, form), place = memory + (uint)(at.Slot * form.StageBytes);
                int step = (tile.First + stage) * WgmmaForm.Depth;
                Mbarrier.Wait(Empty(memory, at.Slot, form), at.Parity);
                Mbarrier.ArriveExpecting(full, form.StageBytes);
                CopyOperand(place, mapA, tile.Row, step, form.Rows, form.AAlong, full);
                CopyOperand(place + (uint)form.ABytes, mapB, tile.Column, step, form.Columns, form.BAlong, full);
                at = at.Next(form);
            }
        }
    }

    // Along the sum a box is all lines of 64 steps; across it, 64 steps of 64 lines.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void CopyOperand(uint place, ulong map, int line, int step, int lines, bool along, uint full)
    {
        if (along)
        {
            BulkTensorCopy.Load(place, map, step, line, full);
            return;
        }
        for (int i = 0; i < lines / MatrixDescriptor.AtomNumbers; i++)
            BulkTensorCopy.Load(place + (uint)(i * MatrixDescriptor.BlockBytes), map, line + i * MatrixDescriptor.AtomNumbers, step, full);
    }

    // ---- the consumers: two warpgroups ----

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Consume(uint memory, TiledShape shape, TileTarget target, WgmmaForm form)
    {
        int consumer = Group.IdxX / Wgmma.Threads - 1, turn = 0;
        RingPlace at = new(0, 0);
        for (int number = Grid.IdxX; number < shape.Tiles; number += Grid.DimX)
        {
            TilePlace tile = Locate(number, shape, form);
            if (!form.IsAlternating || (turn & 1) == consumer)
            {
                // Tiles are multiplied in order: whoever waited for a stage two rounds ahead would be content with this round's.
                if (form.IsAlternating && turn > 0) NamedBarrier.Synchronize(TurnBarrier(turn), ConsumerThreads);
                bool wantsSums = target.HasSums && tile.Column == 0;
                int next = number + Grid.DimX < shape.Tiles ? turn + 1 : NoTurn;
                if (wantsSums) MultiplyStages(memory, at, tile.Stages, consumer, next, true, form);
                else MultiplyStages(memory, at, tile.Stages, consumer, next, false, form);
                FinishTile(memory, tile, consumer, shape.Product, target, form);
                if (wantsSums) FinishSums(tile, consumer, shape.Product, target, form);
            }
            at = at.After(tile.Stages, form);
            turn++;
        }
    }

    private const int NoTurn = -1;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static int TurnBarrier(int turn) => 1 + (turn & 1);

    /// <summary>
    /// Multiplies the stages of a tile, lets the other warpgroup begin turn <paramref name="next"/> unless it is <see cref="NoTurn"/>, and waits for the sums. Products
    /// and the wait for them stand in one run of instructions: the assembler must see that no other way leads from one to the other, or it waits for every product.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void MultiplyStages(uint memory, RingPlace at, int stages, int consumer, int next, bool withSums, WgmmaForm form)
    {
        uint a = memory + (uint)(form.IsAlternating ? 0 : consumer * MatrixDescriptor.BlockBytes), b = memory + (uint)form.ABytes;
        ulong operandA = MatrixDescriptor.Swizzled(a), operandB = MatrixDescriptor.Swizzled(b);
        ulong ones = MatrixDescriptor.Plain(memory + (uint)form.OnesAt, 128, 256);
        int before = 0;
        for (int stage = 0; stage < stages; stage++)
        {
            ulong slot = (ulong)(uint)(at.Slot * (form.StageBytes >> 4));
            Mbarrier.Wait(Full(memory, at.Slot, form), at.Parity);
            Wgmma.Fence();
            MultiplyStep(operandA + slot, operandB + slot, ones, 0, stage, withSums, form);
            MultiplyStep(operandA + slot, operandB + slot, ones, 1, 1, withSums, form);
            MultiplyStep(operandA + slot, operandB + slot, ones, 2, 1, withSums, form);
            MultiplyStep(operandA + slot, operandB + slot, ones, 3, 1, withSums, form);
            Wgmma.Commit();
            // This stage's products go on; those of the one before are over, and its memory may be filled again.
            Wgmma.Wait(1);
            Mbarrier.ArriveOnce(Empty(memory, before, form), stage);
            before = at.Slot;
            at = at.Next(form);
        }
        if (form.IsAlternating && next != NoTurn) NamedBarrier.Arrive(TurnBarrier(next), ConsumerThreads);
        Wgmma.Wait(0);
        Mbarrier.ArriveOnce(Empty(memory, before, form), 1);
    }

    /// <summary>16 steps of the sum: one instruction, or one for each 64 rows; and, where sums of the lines of A are wanted, a product with ones.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void MultiplyStep(ulong a, ulong b, ulong ones, int step, int keep, bool withSums, WgmmaForm form)
    {
        const int lowerSums = TileSums / 2;
        int across = 2 * MatrixDescriptor.AtomBytes, along = Wgmma.Depth * sizeof(ushort);
        a += MatrixDescriptor.Offset(step * (form.AAlong ? along : across));
        b += MatrixDescriptor.Offset(step * (form.BAlong ? along : across));
        ulong lower = a + MatrixDescriptor.Offset(MatrixDescriptor.BlockBytes);
        Wgmma.Multiply(a, b, keep, 0, form.Columns, form.TransposeA, form.TransposeB);
        if (form.IsAlternating) Wgmma.Multiply(lower, b, keep, lowerSums, form.Columns, form.TransposeA, form.TransposeB);
        if (!withSums) return;
        Wgmma.Multiply(a, ones, keep, TileSums, 8, form.TransposeA, 0);
        if (form.IsAlternating) Wgmma.Multiply(lower, ones, keep, TileSums + 4, 8, form.TransposeA, 0);
    }

    /// <summary>Finishes what this warp has of a tile, 16 rows of 64 columns at a time.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FinishTile(uint memory, TilePlace tile, int consumer, ProductShape shape, TileTarget target, WgmmaForm form)
    {
        int warp = (Group.IdxX >> 5) & 3, lane = Group.IdxX & 31;
        uint staged = memory + (uint)(form.StagedAt + (consumer * 4 + warp) * WarpTile.StagedBytes), place = WarpTile.StagePlace(lane);
        for (int block = 0; block < 4; block++)
        {
            int down = form.IsAlternating ? block >> 1 : consumer, across = form.IsAlternating ? block & 1 : block;
            int row = tile.Row + down * Wgmma.Rows + warp * WarpTile.RowBlock, column = tile.Column + across * WarpTile.Columns;
            if (block == 0) Wgmma.Stage(0, staged, place);
            else if (block == 1) Wgmma.Stage(32, staged, place);
            else if (block == 2) Wgmma.Stage(64, staged, place);
            else Wgmma.Stage(96, staged, place);
            Warp.Barrier();
            int rows = Math.Min(WarpTile.RowBlock, shape.M - row);
            FinishRows(
                staged, row, rows, column, tile.Part, target.Output, target.Bias, target.Saved, target.Added, shape, target.Parts, target.IsBackward);
            Warp.Barrier();
        }
    }

    // ---- sums of the lines of A ----

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void WriteOnes(uint place)
    {
        const uint ones = 0x3F803F80;
        if (Group.IdxX < 16) SharedMemoryAccess.Store(place + (uint)(Group.IdxX << 4), new Word4(ones, ones, ones, ones));
        AsyncProxy.Fence();
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FinishSums(TilePlace tile, int consumer, ProductShape shape, TileTarget target, WgmmaForm form)
    {
        int lane = Group.IdxX & 31, warp = (Group.IdxX >> 5) & 3;
        int line = tile.Row + (form.IsAlternating ? 0 : consumer * Wgmma.Rows) + warp * WarpTile.RowBlock + lane / 4;
        if ((lane & 3) != 0) return;
        int isDivided = target.Parts.Added == NothingAdded ? 1 : 0;
        Float4 sums = Wgmma.Accumulator(TileSums);
        AddSum(sums.X, line, tile.Part, target.Bias, shape, isDivided);
        AddSum(sums.Z, line + 8, tile.Part, target.Bias, shape, isDivided);
        if (!form.IsAlternating) return;
        sums = Wgmma.Accumulator(TileSums + 4);
        AddSum(sums.X, line + Wgmma.Rows, tile.Part, target.Bias, shape, isDivided);
        AddSum(sums.Z, line + Wgmma.Rows + 8, tile.Part, target.Bias, shape, isDivided);
    }
}
