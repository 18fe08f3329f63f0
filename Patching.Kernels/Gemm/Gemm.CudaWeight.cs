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
        Tiles(LargeBackwardWeightKernel, SmallBackwardWeightKernel, AnyBackwardWeightKernel);

    private static readonly CudaKernel AddPieces = new(AddPiecesKernel, ReductionThreads);
    private static readonly CudaKernel AddNumbers = new(AddNumbersKernel, ReductionThreads);

    private static void BackwardWeightCuda(Device device, Tensor dw, Tensor dbias, Tensor dy, Tensor x, Tensor workspace)
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
            parts = size.Parts(WeightTile(size));
            if (parts > 1 && workspace.Count < PartialCount(size, parts))
                throw new ArgumentException($"workspace: expected at least {PartialCount(size, parts)} elements, got {workspace}");
        }
        (CudaKernel kernel, int lines) = parts > 1 ? (BackwardWeightTiles[aligned ? 0 : 2], WeightTile(size)) : Choose(BackwardWeightTiles, size, aligned);
        int stages = ProductSize.CountOf(size.K, OperandTile.Depth);
        ProductShape shape = new(size.M, size.N, size.K, ProductSize.CountOf(stages, parts));
        var launch = device.Load<Action<AcceleratorStream, KernelConfig, ArrayView<ushort>, ArrayView<ushort>, ArrayView<ushort>, ArrayView<float>, ArrayView<ushort>,
            ProductShape, int, int>>(kernel);
        launch(
            device.Stream, Configuration(size, lines, parts), dy.BFloats, x.BFloats, dw.Pieces<ushort>(), Either(dbias, dw).Floats,
            Either(workspace, dw).Pieces<ushort>(), shape, Flag(dbias), parts);
        if (parts > 1) AddParts(device, dw, dbias, workspace, size, parts);
    }

    /// <summary>
    /// Single-precision numbers of workspace with which <see cref="BackwardWeight"/> runs fastest for bfloat16 tensors of N rows, O outputs and I inputs; 0 where
    /// none would help.
    /// </summary>
    public static long WorkspaceLength(int rows, int outputs, int inputs)
    {
        ProductSize size = new(outputs, inputs, rows);
        int parts = size.Parts(WeightTile(size));
        return parts == 1 ? 0 : PartialCount(size, parts);
    }

    private static bool WeightIsAligned(ProductSize size) => size.M % 8 == 0 && size.N % 8 == 0;

    private static int WeightTile(ProductSize size) => WeightIsAligned(size) ? LargeTile : SmallTile;

    // Every part has a matrix, then every part a row of bias gradients.
    private static long PartialCount(ProductSize size, int parts) => (long)parts * size.M * (size.N + 1L);

    private static void AddParts(Device device, Tensor dw, Tensor dbias, Tensor workspace, ProductSize size, int parts)
    {
        bool pieces = WeightIsAligned(size);
        long count = (dw.Count + (dbias.Exists ? dbias.Count : 0)) / (pieces ? 4 : 1);
        var launch = device.Load<Action<AcceleratorStream, KernelConfig, ArrayView<float>, ArrayView<float>, ArrayView<float>, int, int, int>>(
            pieces ? AddPieces : AddNumbers);
        launch(
            device.Stream, new KernelConfig(checked((int)((count + ReductionThreads - 1) / ReductionThreads)), ReductionThreads),
            dw.Floats, Either(dbias, dw).Floats, workspace.Floats, checked((int)dw.Count), dbias.Exists ? size.M : 0, parts);
    }

    private static void LargeBackwardWeightKernel(
        ArrayView<ushort> dy, ArrayView<ushort> x, ArrayView<ushort> dw, ArrayView<float> dbias, ArrayView<ushort> workspace,
        ProductShape shape, int hasBias, int parts) =>
        BackwardWeightTile(dy, x, dw, dbias, workspace, shape, hasBias, parts, new(LargeTile, AAlong: false, BAlong: false, Aligned: true));

    private static void SmallBackwardWeightKernel(
        ArrayView<ushort> dy, ArrayView<ushort> x, ArrayView<ushort> dw, ArrayView<float> dbias, ArrayView<ushort> workspace,
        ProductShape shape, int hasBias, int parts) =>
        BackwardWeightTile(dy, x, dw, dbias, workspace, shape, hasBias, parts, new(SmallTile, AAlong: false, BAlong: false, Aligned: true));

    private static void AnyBackwardWeightKernel(
        ArrayView<ushort> dy, ArrayView<ushort> x, ArrayView<ushort> dw, ArrayView<float> dbias, ArrayView<ushort> workspace,
        ProductShape shape, int hasBias, int parts) =>
        BackwardWeightTile(dy, x, dw, dbias, workspace, shape, hasBias, parts, new(SmallTile, AAlong: false, BAlong: false, Aligned: false));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void BackwardWeightTile(
        ArrayView<ushort> dy, ArrayView<ushort> x, ArrayView<ushort> dw, ArrayView<float> dbias, ArrayView<ushort> workspace,
        ProductShape shape, int hasBias, int parts, ProductForm form)
    {
        // Groups side by side read the same rows of dyT: the first adds them up.
        bool wantsSums = hasBias != 0 && Grid.IdxX == 0;
        uint staged = ProductAndSums(dy, x, shape, form, wantsSums, out LineSums sums);
        bool divided = parts > 1;
        if (wantsSums) FinishSums(sums, dbias, workspace, shape, parts, form);
        FinishParts finish = new(NoActivation, HasBias: 0, HasSaved: 0, divided ? NothingAdded : FloatsAdded, Rounded: 0);
        ArrayView<ushort> output = divided ? workspace : dw;
        if (form.Aligned) Finish(staged, output, dbias, dw, dw, shape, finish, form, backward: false);
        else FinishNumbers(staged, output, dbias, dw, dw, shape, finish, form, backward: false);
    }

    // Every fourth lane has two rows of a block: the columns of the accumulators are all the same.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FinishSums(
        LineSums sums, ArrayView<float> dbias, ArrayView<ushort> workspace, ProductShape shape, int parts, ProductForm form)
    {
        int lane = Group.IdxX & 31, line = Grid.IdxY * form.Lines + SumBlock(Group.IdxX >> 5, form) + lane / 4;
        if (lane % 4 != 0) return;
        ArrayView<float> partial = workspace.Cast<float>();
        long first = parts > 1 ? (long)parts * shape.M * shape.N + (long)Grid.IdxZ * shape.M : 0;
        AddSum(sums.S0.X, line, first, dbias, partial, shape, parts);
        AddSum(sums.S0.Z, line + 8, first, dbias, partial, shape, parts);
        if (form.RowBlocks == 1) return;
        AddSum(sums.S1.X, line + 16, first, dbias, partial, shape, parts);
        AddSum(sums.S1.Z, line + 24, first, dbias, partial, shape, parts);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void AddSum(float sum, int line, long first, ArrayView<float> dbias, ArrayView<float> partial, ProductShape shape, int parts)
    {
        if (line >= shape.M) return;
        if (parts > 1) partial[first + line] = sum;
        else dbias[line] += sum;
    }

    private static void AddPiecesKernel(
        ArrayView<float> dw, ArrayView<float> dbias, ArrayView<float> workspace, int weights, int biases, int parts)
    {
        int i = Grid.IdxX * Group.DimX + Group.IdxX, j = i - weights / 4;
        if (j >= biases / 4) return;
        ArrayView<Float4> target = (j < 0 ? dw : dbias).Cast<Float4>(), partial = workspace.Cast<Float4>();
        int place = j < 0 ? i : j, pitch = (j < 0 ? weights : biases) / 4;
        long first = j < 0 ? i : (long)parts * (weights / 4) + j;
        Float4 sum = target[place];
        for (int part = 0; part < parts; part++) sum = Add(sum, partial[first + (long)part * pitch]);
        target[place] = sum;
    }

    private static void AddNumbersKernel(
        ArrayView<float> dw, ArrayView<float> dbias, ArrayView<float> workspace, int weights, int biases, int parts)
    {
        int i = Grid.IdxX * Group.DimX + Group.IdxX, j = i - weights;
        if (j >= biases) return;
        ArrayView<float> target = j < 0 ? dw : dbias;
        int place = j < 0 ? i : j, pitch = j < 0 ? weights : biases;
        long first = j < 0 ? i : (long)parts * weights + j;
        float sum = target[place];
        for (int part = 0; part < parts; part++) sum += workspace[first + (long)part * pitch];
        target[place] = sum;
    }
}
