using ILGPU;
using ILGPU.Algorithms;
using ILGPU.Runtime;

namespace Patching.Kernels;

/// <content>
/// The CUDA kernels: a warp per row, the row in its registers, read once and written once (<see cref="RowRegisters"/>); statistics in single precision whatever the
/// types, by the same two steps as elsewhere. Rows that do not fit (wider than 1280, or not a multiple of four) take kernels that read the row once per step instead.
/// <para>
/// The residual connections around a LayerNorm cost no pass of their own: forward, the GEMM before it adds the stream in its epilogue; backward, this family adds
/// its gradient to the stream's and writes the bfloat16 copy that the next GEMMs read, all while the row is in registers. With C columns a row moves 4 C bytes in and
/// 2 C out forward (single precision to bfloat16), 10 C in and 6 C out backward (bfloat16 dy, single-precision x and dx, both copies of dx).
/// </para>
/// <para>
/// The gradients of gamma and beta: each warp sums its rows in registers, the warps of a group add up in shared memory one after the other, each group writes its
/// sums to the scratch tensor, and a last kernel adds them in order. The number of groups depends on the number of rows alone, so the result does, too.
/// </para>
/// </content>
public static partial class LayerNorm
{
    private const int ForwardThreads = 256;
    private const int BackwardThreads = 128;
    private const int BackwardWarps = BackwardThreads / WarpReduction.Lanes;
    private const int SumThreads = 512;
    private const int SumWarps = SumThreads / WarpReduction.Lanes;

    // Two groups for each multiprocessor of an H100.
    private const int MostPartialSums = 264;

    private static readonly CudaKernel NormalizeCudaKernel = new(NormalizeRows, ForwardThreads);
    private static readonly CudaKernel NormalizeWideCudaKernel = new(NormalizeWideRows, ForwardThreads);
    private static readonly CudaKernel BackwardCudaKernel = new(BackwardRows, BackwardThreads, groupsPerMultiprocessor: 2);
    private static readonly CudaKernel BackwardWideCudaKernel = new(BackwardWideRows, ForwardThreads);
    private static readonly CudaKernel ColumnsCudaKernel = new(PartialColumns, BackwardThreads);
    private static readonly CudaKernel SumCudaKernel = new(SumPartials, SumThreads);

    /// <summary>Elements of the scratch tensor of <see cref="Backward"/>, single precision.</summary>
    public static int ScratchLength(int rows, int columns) => checked(2 * PartialSums(rows) * columns);

    private static int PartialSums(int rows) => Math.Min(MostPartialSums, (rows + BackwardWarps - 1) / BackwardWarps);

    private static void ForwardCuda(Device device, Tensor y, Tensor mean, Tensor rstd, Tensor x, Tensor gamma, Tensor beta, float epsilon)
    {
        NumberMatrix xs = new(x), ys = new(y), gammas = new(Row(gamma, "gamma")), betas = new(Row(beta, "beta"));
        bool inRegisters = x.Columns <= RowRegisters.Widest && xs.InFours && ys.InFours && gammas.InFours && betas.InFours;
        ArrayView<float> unused = gamma.Floats;
        device.Load<Action<
            AcceleratorStream, KernelConfig, NumberMatrix, ArrayView<float>, ArrayView<float>, NumberMatrix, NumberMatrix, NumberMatrix, ForwardOptions>>(
            inRegisters ? NormalizeCudaKernel : NormalizeWideCudaKernel)(
            device.Stream, RowGroups(x.Rows, ForwardThreads), ys, mean.Exists ? mean.Floats : unused, rstd.Exists ? rstd.Floats : unused, xs, gammas, betas,
            new ForwardOptions
            {
                Rows = x.Rows,
                Columns = x.Columns,
                Epsilon = epsilon,
                HasMean = mean.Exists ? 1 : 0,
                HasRstd = rstd.Exists ? 1 : 0,
            });
    }

    private static void BackwardCuda(
        Device device, Tensor dx, Tensor dgamma, Tensor dbeta, Tensor dy, Tensor x, Tensor gamma, Tensor mean, Tensor rstd, bool accumulate, Tensor dxRounded,
        Tensor scratch)
    {
        int rows = x.Rows, columns = x.Columns, partials = PartialSums(rows);
        if (dxRounded.Exists) Require.Rounded(dxRounded, dx);
        if (scratch.Count < ScratchLength(rows, columns))
            throw new ArgumentException($"scratch: expected at least {ScratchLength(rows, columns)} elements, got {scratch}");
        NumberMatrix dxs = new(dx), dys = new(dy), xs = new(x), gammas = new(Row(gamma, "gamma")), roundeds = dxRounded.Exists ? new(dxRounded) : dxs;
        bool inRegisters = columns <= RowRegisters.Widest && dxs.InFours && dys.InFours && xs.InFours && gammas.InFours && roundeds.InFours;
        BackwardOptions options = new() { Rows = rows, Columns = columns, Accumulate = accumulate ? 1 : 0, HasRounded = dxRounded.Exists ? 1 : 0 };
        if (!inRegisters)
        {
            device.Load<Action<AcceleratorStream, KernelConfig, ArrayView<float>, NumberMatrix, NumberMatrix, ArrayView<float>, ArrayView<float>, int, int>>(
                ColumnsCudaKernel)(
                device.Stream, new KernelConfig(new Index3D((columns + BackwardThreads - 1) / BackwardThreads, partials, 1), new Index3D(BackwardThreads, 1, 1)),
                scratch.Floats, dys, xs, mean.Floats, rstd.Floats, rows, columns);
        }
        device.Load<Action<
            AcceleratorStream, KernelConfig, NumberMatrix, NumberMatrix, ArrayView<float>, NumberMatrix, NumberMatrix, NumberMatrix, ArrayView<float>,
            ArrayView<float>, BackwardOptions>>(inRegisters ? BackwardCudaKernel : BackwardWideCudaKernel)(
            device.Stream, inRegisters ? new KernelConfig(partials, BackwardThreads) : RowGroups(rows, ForwardThreads), dxs, roundeds, scratch.Floats, dys, xs,
            gammas, mean.Floats, rstd.Floats, options);
        device.Load<Action<AcceleratorStream, KernelConfig, ArrayView<float>, ArrayView<float>, ArrayView<float>, int, int>>(SumCudaKernel)(
            device.Stream, new KernelConfig((2 * columns + WarpReduction.Lanes - 1) / WarpReduction.Lanes, SumThreads), dgamma.Floats, dbeta.Floats,
            scratch.Floats, partials, columns);
    }

    private static Tensor Row(Tensor vector, string name)
    {
        Require.Type(vector, name, ElementType.Float32);
        return vector.Reshape(1, checked((int)vector.Count));
    }

    private static KernelConfig RowGroups(int rows, int threads) => new((rows + threads / WarpReduction.Lanes - 1) / (threads / WarpReduction.Lanes), threads);

    private static void NormalizeRows(
        NumberMatrix y, ArrayView<float> mean, ArrayView<float> rstd, NumberMatrix x, NumberMatrix gamma, NumberMatrix beta, ForwardOptions options)
    {
        int row = Grid.IdxX * (ForwardThreads / WarpReduction.Lanes) + Group.IdxX / WarpReduction.Lanes;
        if (row >= options.Rows) return;
        RowRegisters values = RowRegisters.Load(x, row);
        float m = WarpReduction.Sum(values.Sum()) / options.Columns;
        RowRegisters deviations = values.Minus(m).Within(options.Columns);
        // The sum of deviations would be zero without rounding; what it is instead says by how much the mean is off.
        float correction = WarpReduction.Sum(deviations.Sum()) / options.Columns;
        float squares = WarpReduction.Sum(deviations.Dot(deviations));
        float r = 1 / XMath.Sqrt((squares - options.Columns * correction * correction) / options.Columns + options.Epsilon);
        RowRegisters normalized = deviations.Minus(correction).Times(r);
        RowRegisters.LoadFloats(beta, 0).PlusProduct(normalized, RowRegisters.LoadFloats(gamma, 0)).Store(y, row);
        StoreStatistics(mean, rstd, row, m + correction, r, options);
    }

    private static void NormalizeWideRows(
        NumberMatrix y, ArrayView<float> mean, ArrayView<float> rstd, NumberMatrix x, NumberMatrix gamma, NumberMatrix beta, ForwardOptions options)
    {
        int row = Grid.IdxX * (ForwardThreads / WarpReduction.Lanes) + Group.IdxX / WarpReduction.Lanes, columns = options.Columns, first = 4 * Warp.LaneIdx;
        if (row >= options.Rows) return;
        Float4 sums = default, deviations = default, squares = default;
        for (int c = first; c < columns; c += 4 * WarpReduction.Lanes) sums = Quad.Add(sums, x.Load(row, c));
        float m = WarpReduction.Sum(Quad.Sum(sums)) / columns;
        for (int c = first; c < columns; c += 4 * WarpReduction.Lanes)
        {
            Float4 d = RowPiece.Minus(x.Load(row, c), m, c, columns);
            deviations = Quad.Add(deviations, d);
            squares = Quad.Fma(d, d, squares);
        }
        float correction = WarpReduction.Sum(Quad.Sum(deviations)) / columns;
        float r = 1 / XMath.Sqrt((WarpReduction.Sum(Quad.Sum(squares)) - columns * correction * correction) / columns + options.Epsilon);
        for (int c = first; c < columns; c += 4 * WarpReduction.Lanes)
        {
            Float4 d = RowPiece.Minus(RowPiece.Minus(x.Load(row, c), m, c, columns), correction, c, columns);
            y.Store(row, c, Quad.Fma(Quad.Multiply(d, r), gamma.Load(0, c), beta.Load(0, c)));
        }
        StoreStatistics(mean, rstd, row, m + correction, r, options);
    }

    private static void StoreStatistics(ArrayView<float> mean, ArrayView<float> rstd, int row, float m, float r, ForwardOptions options)
    {
        if (Warp.LaneIdx != 0) return;
        if (options.HasMean != 0) mean[row] = m;
        if (options.HasRstd != 0) rstd[row] = r;
    }

    private static void BackwardRows(
        NumberMatrix dx, NumberMatrix dxRounded, ArrayView<float> partials, NumberMatrix dy, NumberMatrix x, NumberMatrix gamma, ArrayView<float> mean,
        ArrayView<float> rstd, BackwardOptions options)
    {
        int warp = Group.IdxX / WarpReduction.Lanes, columns = options.Columns;
        RowRegisters dgamma = default, dbeta = default;
        for (int row = Grid.IdxX * BackwardWarps + warp; row < options.Rows; row += Grid.DimX * BackwardWarps)
        {
            float m = mean[row], r = rstd[row];
            RowRegisters d = RowRegisters.Load(dy, row), h = RowRegisters.Load(x, row).Minus(m).Times(r);
            // Beyond the end h is not zero, but everything it is multiplied by is.
            dgamma = dgamma.PlusProduct(d, h);
            dbeta = dbeta.Plus(d);
            RowRegisters g = d.Times(RowRegisters.LoadFloats(gamma, 0));
            float sum = WarpReduction.Sum(g.Sum()) / columns, projection = WarpReduction.Sum(g.Dot(h)) / columns;
            RowRegisters gradient = g.Minus(sum).PlusProduct(-projection, h).Times(r);
            if (options.Accumulate != 0) gradient = gradient.Plus(RowRegisters.Load(dx, row));
            gradient.Store(dx, row);
            if (options.HasRounded != 0) gradient.Store(dxRounded, row);
        }

        ArrayView<Float4> sums = SharedMemory.Allocate<Float4>(2 * RowRegisters.Widest / 4);
        for (int turn = 0; turn < BackwardWarps; turn++)
        {
            if (turn == warp)
            {
                dgamma.AddTo(sums, 0, turn == 0);
                dbeta.AddTo(sums, RowRegisters.Widest / 4, turn == 0);
            }
            Group.Barrier();
        }
        ArrayView<float> single = sums.Cast<float>();
        int start = Grid.IdxX * 2 * columns;
        for (int c = Group.IdxX; c < columns; c += BackwardThreads)
        {
            partials[start + c] = single[c];
            partials[start + columns + c] = single[RowRegisters.Widest + c];
        }
    }

    private static void BackwardWideRows(
        NumberMatrix dx, NumberMatrix dxRounded, ArrayView<float> partials, NumberMatrix dy, NumberMatrix x, NumberMatrix gamma, ArrayView<float> mean,
        ArrayView<float> rstd, BackwardOptions options)
    {
        int row = Grid.IdxX * (ForwardThreads / WarpReduction.Lanes) + Group.IdxX / WarpReduction.Lanes, columns = options.Columns, first = 4 * Warp.LaneIdx;
        if (row >= options.Rows) return;
        float m = mean[row], r = rstd[row];
        Float4 sums = default, projections = default;
        for (int c = first; c < columns; c += 4 * WarpReduction.Lanes)
        {
            Float4 g = Quad.Multiply(dy.Load(row, c), gamma.Load(0, c)), h = Quad.Multiply(RowPiece.Minus(x.Load(row, c), m, c, columns), r);
            sums = Quad.Add(sums, g);
            projections = Quad.Fma(g, h, projections);
        }
        float sum = WarpReduction.Sum(Quad.Sum(sums)) / columns, projection = WarpReduction.Sum(Quad.Sum(projections)) / columns;
        for (int c = first; c < columns; c += 4 * WarpReduction.Lanes)
        {
            Float4 g = Quad.Multiply(dy.Load(row, c), gamma.Load(0, c)), h = Quad.Multiply(RowPiece.Minus(x.Load(row, c), m, c, columns), r);
            Float4 gradient = Quad.Multiply(Quad.Fma(-projection, h, RowPiece.Minus(g, sum, c, columns)), r);
            if (options.Accumulate != 0) gradient = Quad.Add(gradient, dx.Load(row, c));
            dx.Store(row, c, gradient);
            if (options.HasRounded != 0) dxRounded.Store(row, c, gradient);
        }
    }

    /// <summary>Sums over every so many rows of dy h and of dy, a thread per column and share of the rows.</summary>
    private static void PartialColumns(
        ArrayView<float> partials, NumberMatrix dy, NumberMatrix x, ArrayView<float> mean, ArrayView<float> rstd, int rows, int columns)
    {
        int column = Grid.IdxX * BackwardThreads + Group.IdxX;
        if (column >= columns) return;
        float scale = 0, offset = 0;
        for (int row = Grid.IdxY; row < rows; row += Grid.DimY)
        {
            float d = dy.LoadOne(row, column);
            scale = PtxMath.Fma(d, (x.LoadOne(row, column) - mean[row]) * rstd[row], scale);
            offset += d;
        }
        int start = Grid.IdxY * 2 * columns;
        partials[start + column] = scale;
        partials[start + columns + column] = offset;
    }

    /// <summary>Adds the partial sums of 32 columns (of gamma's gradient, then of beta's): each warp every so many of them, then one warp the rest, in order.</summary>
    private static void SumPartials(ArrayView<float> dgamma, ArrayView<float> dbeta, ArrayView<float> partials, int count, int columns)
    {
        int warp = Group.IdxX / WarpReduction.Lanes, lane = Warp.LaneIdx, column = Grid.IdxX * WarpReduction.Lanes + lane;
        ArrayView<float> sums = SharedMemory.Allocate<float>(SumThreads);
        float sum = 0;
        for (int i = warp; i < count && column < 2 * columns; i += SumWarps) sum += partials[i * 2 * columns + column];
        sums[Group.IdxX] = sum;
        Group.Barrier();
        if (warp != 0 || column >= 2 * columns) return;
        sum = 0;
        for (int i = 0; i < SumWarps; i++) sum += sums[i * WarpReduction.Lanes + lane];
        if (column < columns)
            dgamma[column] += sum;
        else
            dbeta[column - columns] += sum;
    }

    /// <summary>What the forward kernels must know besides their tensors.</summary>
    internal struct ForwardOptions
    {
        public int Rows;
        public int Columns;
        public float Epsilon;
        public int HasMean;
        public int HasRstd;
    }

    /// <summary>What the backward kernels must know besides their tensors.</summary>
    internal struct BackwardOptions
    {
        public int Rows;
        public int Columns;
        public int Accumulate;
        public int HasRounded;
    }
}
