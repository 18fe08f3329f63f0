using System.Runtime.CompilerServices;
using ILGPU;
using ILGPU.Runtime;

namespace Patching.Kernels;

/// <content>
/// <c>dw += dyT x</c> and <c>dbias += column sums of dy</c> in bfloat16. The product is small and its sum is long, thousands of rows: without dividing the sum
/// most multiprocessors would have nothing to do. Each part writes its sums to a workspace, and a second kernel adds the parts up in order, so that the result
/// is the same every time.
/// </content>
public static partial class Gemm
{
    private const int ReductionThreads = 256;

    private static readonly CudaKernel[] BackwardWeightTiles =
        Tiles(
            WideBackwardWeightKernel, LargeBackwardWeightKernel, SmallBackwardWeightKernel, AnyBackwardWeightKernel,
            WgmmaWideBackwardWeightKernel, WgmmaAlternatingBackwardWeightKernel);

    private static readonly CudaKernel AddPieces = new(AddPiecesKernel, ReductionThreads);
    private static readonly CudaKernel AddNumbers = new(AddNumbersKernel, ReductionThreads);

    /// <summary>See <see cref="BackwardWeight"/>.</summary>
    internal static void BackwardWeightCuda(
        Device device, Tensor dw, Tensor dbias, Tensor dy, Tensor x, Tensor workspace, TileSize? tile = null)
    {
        RequireType(dy, "dy", ElementType.BFloat16);
        RequireType(x, "x", ElementType.BFloat16);
        RequireType(dw, "dw", ElementType.Float32);
        RequireType(dbias, "dbias", ElementType.Float32);
        RequireType(workspace, "workspace", ElementType.Float32);
        ProductSize size = new(dw.Rows, dw.Columns, dy.Rows);
        bool aligned = WeightIsAligned(size);
        int parts = 1;
        if (workspace.Exists)
        {
            TileSize divided = WeightTile(size, device.UsableTensorCores);
            parts = size.Parts(divided);
            if (parts > 1) tile = divided;
            if (parts > 1 && workspace.Count < PartialCount(size, parts))
                throw new ArgumentException($"workspace: expected at least {PartialCount(size, parts)} elements, got {workspace}");
        }
        (CudaKernel kernel, tile) = Choose(device, BackwardWeightTiles, size, aligned, tile);
        ProductShape shape = new(size.M, size.N, size.K, ProductSize.CountOf(ProductSize.CountOf(size.K, tile.Depth), parts));
        Tensor weights = parts > 1 ? workspace.Prefix(parts * size.M, size.N) : dw;
        Tensor biases = parts > 1 ? BiasParts(workspace, size, parts) : Either(dbias, dw);
        if (tile.UsesWgmma)
        {
            WgmmaForm form = tile.WgmmaForm with { TransposeA = 1, TransposeB = 1 };
            LaunchWgmmaWeight(device, kernel, form, shape, dy, x, weights, biases, Flag(dbias), parts > 1 ? 1 : 0);
        }
        else
        {
            var launch = device.Load<Action<AcceleratorStream, KernelConfig, ArrayView<ushort>, ArrayView<ushort>, ArrayView<ushort>, ArrayView<float>,
                ProductShape, int, int>>(kernel);
            launch(
                device.Stream, Configuration(size, tile, parts), dy.BFloats, x.BFloats, weights.Pieces<ushort>(), biases.Floats, shape, Flag(dbias),
                parts > 1 ? 1 : 0);
        }
        if (parts == 1) return;
        AddParts(device, dw, weights, parts, aligned);
        if (dbias.Exists) AddParts(device, dbias, biases, parts, aligned);
    }

    /// <summary>
    /// Single-precision numbers of workspace with which <see cref="BackwardWeight"/> runs fastest for bfloat16 tensors of N rows, O outputs and I inputs; 0
    /// where
    /// none would help. Enough for any GPU.
    /// </summary>
    public static long WorkspaceLength(int rows, int outputs, int inputs)
    {
        ProductSize size = new(outputs, inputs, rows);
        int parts = Enum.GetValues<TensorCores>().Max(kind => size.Parts(WeightTile(size, kind)));
        return parts == 1 ? 0 : PartialCount(size, parts);
    }

    private static bool WeightIsAligned(ProductSize size) => size.M % 8 == 0 && size.N % 8 == 0;

    private static TileSize WeightTile(ProductSize size, TensorCores kind) => WeightIsAligned(size) ? size.BestDividedTile(kind) : TileSize.Small;

    // Every part has a matrix, then every part a row of bias gradients.
    private static long PartialCount(ProductSize size, int parts) => (long)parts * size.M * (size.N + 1L);

    private static Tensor BiasParts(Tensor workspace, ProductSize size, int parts)
    {
        int rows = checked((int)(workspace.Count / size.M));
        return workspace.Prefix(rows, size.M).SliceRows(parts * size.N, parts);
    }

    private static void AddParts(Device device, Tensor sum, Tensor partial, int parts, bool aligned)
    {
        long count = sum.Count / (aligned ? 4 : 1);
        device.Load<Action<AcceleratorStream, KernelConfig, ArrayView<float>, ArrayView<float>, int, int>>(aligned ? AddPieces : AddNumbers)(
            device.Stream, new KernelConfig(checked((int)((count + ReductionThreads - 1) / ReductionThreads)), ReductionThreads),
            sum.Floats, partial.Floats, checked((int)count), parts);
    }

    private static void WideBackwardWeightKernel(
        ArrayView<ushort> dy, ArrayView<ushort> x, ArrayView<ushort> dw, ArrayView<float> dbias, ProductShape shape, int hasBias, int isDivided) =>
        BackwardWeightTile(dy, x, dw, dbias, shape, hasBias, isDivided, new(128, 256, AAlong: false, BAlong: false, Aligned: true));

    private static void LargeBackwardWeightKernel(
        ArrayView<ushort> dy, ArrayView<ushort> x, ArrayView<ushort> dw, ArrayView<float> dbias, ProductShape shape, int hasBias, int isDivided) =>
        BackwardWeightTile(dy, x, dw, dbias, shape, hasBias, isDivided, new(128, 128, AAlong: false, BAlong: false, Aligned: true));

    private static void SmallBackwardWeightKernel(
        ArrayView<ushort> dy, ArrayView<ushort> x, ArrayView<ushort> dw, ArrayView<float> dbias, ProductShape shape, int hasBias, int isDivided) =>
        BackwardWeightTile(dy, x, dw, dbias, shape, hasBias, isDivided, new(64, 64, AAlong: false, BAlong: false, Aligned: true));

    private static void AnyBackwardWeightKernel(
        ArrayView<ushort> dy, ArrayView<ushort> x, ArrayView<ushort> dw, ArrayView<float> dbias, ProductShape shape, int hasBias, int isDivided) =>
        BackwardWeightTile(dy, x, dw, dbias, shape, hasBias, isDivided, new(64, 64, AAlong: false, BAlong: false, Aligned: false));

    /// <summary>
    /// A tile of the weight's gradient. Where the sum is divided, <paramref name="dw"/> and <paramref name="dbias"/> are the workspace, a matrix and a row per
    /// part, and written; otherwise they are added to.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void BackwardWeightTile(
        ArrayView<ushort> dy, ArrayView<ushort> x, ArrayView<ushort> dw, ArrayView<float> dbias,
        ProductShape shape, int hasBias, int isDivided, ProductForm form)
    {
        // Groups side by side read the same rows of dyT: the first adds them up.
        bool wantsSums = hasBias != 0 && Grid.IdxX == 0;
        WarpTile c = ProductAndSums(dy, x, shape, form, wantsSums, out LineSums sums);
        FinishParts finish = new(NoActivation, HasBias: 0, HasSaved: 0, isDivided != 0 ? NothingAdded : FloatsAdded, Rounded: 0);
        Finish(c, dw, dbias, dw, dw, shape, finish, form, backward: true);
        if (wantsSums) FinishSums(sums, dbias, shape, isDivided, form);
    }

    // Every fourth lane has two rows of a block: the columns of the accumulators are all the same.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FinishSums(LineSums sums, ArrayView<float> dbias, ProductShape shape, int isDivided, ProductForm form)
    {
        int lane = Group.IdxX & 31, line = Grid.IdxY * form.Rows + SumBlock(Group.IdxX >> 5, form) + lane / 4;
        if ((lane & 3) != 0) return;
        AddSum(sums.S0.X, line, Grid.IdxZ, dbias, shape, isDivided);
        AddSum(sums.S0.Z, line + 8, Grid.IdxZ, dbias, shape, isDivided);
        if (form.WarpColumns != 2) return;
        AddSum(sums.S1.X, line + 16, Grid.IdxZ, dbias, shape, isDivided);
        AddSum(sums.S1.Z, line + 24, Grid.IdxZ, dbias, shape, isDivided);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddSum(float sum, int line, int part, ArrayView<float> dbias, ProductShape shape, int isDivided)
    {
        if (line >= shape.M) return;
        int at = part * shape.M + line;
        dbias[at] = isDivided != 0 ? sum : dbias[at] + sum;
    }

    private static void AddPiecesKernel(ArrayView<float> sum, ArrayView<float> partial, int count, int parts)
    {
        int i = Grid.IdxX * Group.DimX + Group.IdxX;
        if (i >= count) return;
        Float4 s = sum.Cast<Float4>()[i];
        for (int part = 0; part < parts; part++) s = Add(s, partial.Cast<Float4>()[(long)part * count + i]);
        sum.Cast<Float4>()[i] = s;
    }

    private static void AddNumbersKernel(ArrayView<float> sum, ArrayView<float> partial, int count, int parts)
    {
        int i = Grid.IdxX * Group.DimX + Group.IdxX;
        if (i >= count) return;
        float s = sum[i];
        for (int part = 0; part < parts; part++) s += partial[(long)part * count + i];
        sum[i] = s;
    }
}
