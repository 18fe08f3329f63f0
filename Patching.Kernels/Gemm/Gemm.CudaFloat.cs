using System.Runtime.CompilerServices;
using ILGPU;
using ILGPU.Runtime;

namespace Patching.Kernels;

/// <content>
/// The single-precision implementation for CUDA, for <c>--precision fp32</c>: no tensor cores, the ordinary multiply-adds of 256 threads with an 8 x 8 tile of
/// registers each (<see cref="ThreadTile"/>). It is the third step of docs/tensor-cores.md. Sums run in the order of <c>Gemm.Portable.cs</c>, each term rounded
/// once. Outputs whose rows are not multiples of four numbers stay with the portable kernels: those are small.
/// </content>
public static partial class Gemm
{
    private const int FloatTile = 128, FloatDepth = 16, FloatThreads = 256;

    // Steps lie in rows of 128 lines; four more keep the writes of a matrix that runs along the sum at two per bank instead of sixteen.
    private const int FloatPitch = FloatTile + 4, FloatStage = 2 * FloatDepth * FloatPitch;

    private static readonly CudaKernel FloatForward = new(FloatForwardKernel, FloatThreads);
    private static readonly CudaKernel FloatBackwardInput = new(FloatBackwardInputKernel, FloatThreads);
    private static readonly CudaKernel FloatBackwardWeight = new(FloatBackwardWeightKernel, FloatThreads);

    private static bool UsesFloatTiles(Device device, Tensor output) => device.Kind == DeviceKind.Cuda && output.Columns % 4 == 0;

    private static void ForwardFloat(Device device, Tensor y, Tensor x, Tensor w, in GemmEpilogue epilogue)
    {
        FinishParts parts = new(
            epilogue.Activation is { } kind ? (int)kind : NoActivation,
            Flag(epilogue.Bias), Flag(epilogue.PreActivation), Flag(epilogue.Residual), Rounded: 0);
        LaunchFloat(
            device, FloatForward, new ProductSize(y.Rows, y.Columns, x.Columns), x, w, y, epilogue.Bias, epilogue.PreActivation, epilogue.Residual, parts);
    }

    private static void BackwardInputFloat(
        Device device, Tensor dx, Tensor dy, Tensor w, bool accumulate, Tensor preActivation, ActivationKind kind)
    {
        FinishParts parts = new((int)kind, HasBias: 0, Flag(preActivation), accumulate ? FloatsAdded : NothingAdded, Rounded: 0);
        LaunchFloat(device, FloatBackwardInput, new ProductSize(dx.Rows, dx.Columns, dy.Columns), dy, w, dx, default, preActivation, dx, parts);
    }

    private static void BackwardWeightFloat(Device device, Tensor dw, Tensor dbias, Tensor dy, Tensor x)
    {
        LaunchFloat(device, FloatBackwardWeight, new ProductSize(dw.Rows, dw.Columns, dy.Rows), dy, x, dw, default, default, dw, default);
        BackwardBiasPortable(device, dbias, dy);
    }

    private static void LaunchFloat(
        Device device, CudaKernel kernel, ProductSize size, Tensor a, Tensor b, Tensor output, Tensor bias, Tensor saved, Tensor added, FinishParts parts)
    {
        ProductShape shape = new(size.M, size.N, size.K, ProductSize.CountOf(size.K, FloatDepth));
        var launch = device.Load<Action<AcceleratorStream, KernelConfig, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>,
            ArrayView<float>, ArrayView<float>, ProductShape, FinishParts>>(kernel);
        launch(
            device.Stream,
            new KernelConfig(
                new Index3D(ProductSize.CountOf(size.N, FloatTile), ProductSize.CountOf(size.M, FloatTile), 1), new Index3D(FloatThreads, 1, 1)),
            a.Floats, b.Floats, output.Floats, Or(bias, output), Or(saved, output), Or(added, output), shape, parts);
    }

    private static void FloatForwardKernel(
        ArrayView<float> x, ArrayView<float> w, ArrayView<float> y, ArrayView<float> bias, ArrayView<float> preActivation, ArrayView<float> residual,
        ProductShape shape, FinishParts parts) =>
        FinishTile(FloatProduct(x, w, shape, aAlong: true, bAlong: true), y, bias, preActivation, residual, shape, parts, backward: false);

    private static void FloatBackwardInputKernel(
        ArrayView<float> dy, ArrayView<float> w, ArrayView<float> dx, ArrayView<float> bias, ArrayView<float> preActivation, ArrayView<float> added,
        ProductShape shape, FinishParts parts) =>
        FinishTile(FloatProduct(dy, w, shape, aAlong: true, bAlong: false), dx, bias, preActivation, added, shape, parts, backward: true);

    private static void FloatBackwardWeightKernel(
        ArrayView<float> dy, ArrayView<float> x, ArrayView<float> dw, ArrayView<float> bias, ArrayView<float> preActivation, ArrayView<float> added,
        ProductShape shape, FinishParts parts) =>
        FinishTile(
            FloatProduct(dy, x, shape, aAlong: false, bAlong: false), dw, bias, preActivation, added, shape,
            new(NoActivation, HasBias: 0, HasSaved: 0, FloatsAdded, Rounded: 0), backward: false);

    /// <summary>This thread's part of the tile of its group.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static ThreadTile FloatProduct(ArrayView<float> a, ArrayView<float> b, ProductShape shape, bool aAlong, bool bAlong)
    {
        ArrayView<float> shared = SharedMemory.Allocate<float>(2 * FloatStage);
        ArrayView<Float4> fours = shared.Cast<Float4>();
        int firstA = Grid.IdxY * FloatTile, firstB = Grid.IdxX * FloatTile;
        int column = Group.IdxX & 15, row = Group.IdxX >> 4, stage = 0;
        ThreadTile c = default;
        StoreLines(shared, 0, LoadLines(a, firstA, shape.M, 0, shape.K, aAlong), aAlong);
        StoreLines(shared, FloatStage / 2, LoadLines(b, firstB, shape.N, 0, shape.K, bAlong), bAlong);
        Group.Barrier();
        for (int step = 0; step < shape.K; step += FloatDepth)
        {
            // The next stage is on its way while this one is multiplied; it lands where nobody reads, so that one barrier per stage is enough.
            Floats8 nextA = LoadLines(a, firstA, shape.M, step + FloatDepth, shape.K, aAlong);
            Floats8 nextB = LoadLines(b, firstB, shape.N, step + FloatDepth, shape.K, bAlong);
            for (int k = 0; k < FloatDepth; k++)
            {
                int pieceA = (stage + k * FloatPitch) / 4 + row, pieceB = (stage + FloatStage / 2 + k * FloatPitch) / 4 + column;
                c = ThreadTile.MultiplyAdd(c, fours[pieceA], fours[pieceA + 16], fours[pieceB], fours[pieceB + 16]);
            }
            stage = FloatStage - stage;
            StoreLines(shared, stage, nextA, aAlong);
            StoreLines(shared, stage + FloatStage / 2, nextB, bAlong);
            Group.Barrier();
        }
        return c;
    }

    /// <summary>Eight of the 128 lines x 16 steps of a stage; zero beyond the matrix.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Floats8 LoadLines(ArrayView<float> matrix, int first, int limit, int step, int end, bool along) => new()
    {
        V0 = LoadNumber(matrix, first, limit, step, end, along, 0),
        V1 = LoadNumber(matrix, first, limit, step, end, along, 1),
        V2 = LoadNumber(matrix, first, limit, step, end, along, 2),
        V3 = LoadNumber(matrix, first, limit, step, end, along, 3),
        V4 = LoadNumber(matrix, first, limit, step, end, along, 4),
        V5 = LoadNumber(matrix, first, limit, step, end, along, 5),
        V6 = LoadNumber(matrix, first, limit, step, end, along, 6),
        V7 = LoadNumber(matrix, first, limit, step, end, along, 7),
    };

    // Neighbouring threads read neighbouring numbers: 16 steps of a line, or 128 lines of a step. Outside the matrix the nearest number is read and thrown
    // away,
    // which takes no branch.
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float LoadNumber(ArrayView<float> matrix, int first, int limit, int step, int end, bool along, int turn)
    {
        int line = first + LineOf(along, turn), k = step + StepOf(along, turn);
        int l = Math.Min(line, limit - 1), s = Math.Min(k, end - 1);
        float value = matrix[along ? (long)l * end + s : (long)s * limit + l];
        return line < limit && k < end ? value : 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreLines(ArrayView<float> shared, int stage, Floats8 v, bool along)
    {
        int at = stage + StepOf(along, 0) * FloatPitch + LineOf(along, 0), turn = along ? 16 : 2 * FloatPitch;
        shared[at] = v.V0;
        shared[at + turn] = v.V1;
        shared[at + 2 * turn] = v.V2;
        shared[at + 3 * turn] = v.V3;
        shared[at + 4 * turn] = v.V4;
        shared[at + 5 * turn] = v.V5;
        shared[at + 6 * turn] = v.V6;
        shared[at + 7 * turn] = v.V7;
    }

    private static int LineOf(bool along, int turn) => along ? (Group.IdxX >> 4) + 16 * turn : Group.IdxX & 127;

    private static int StepOf(bool along, int turn) => along ? Group.IdxX & 15 : (Group.IdxX >> 7) + 2 * turn;

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FinishTile(
        ThreadTile c, ArrayView<float> output, ArrayView<float> bias, ArrayView<float> saved, ArrayView<float> added,
        ProductShape shape, FinishParts parts, bool backward)
    {
        int row = Grid.IdxY * FloatTile + 4 * (Group.IdxX >> 4), column = Grid.IdxX * FloatTile + 4 * (Group.IdxX & 15);
        FinishRow(c.R0, row, column, output, bias, saved, added, shape, parts, backward);
        FinishRow(c.R1, row + 1, column, output, bias, saved, added, shape, parts, backward);
        FinishRow(c.R2, row + 2, column, output, bias, saved, added, shape, parts, backward);
        FinishRow(c.R3, row + 3, column, output, bias, saved, added, shape, parts, backward);
        FinishRow(c.R4, row + 64, column, output, bias, saved, added, shape, parts, backward);
        FinishRow(c.R5, row + 65, column, output, bias, saved, added, shape, parts, backward);
        FinishRow(c.R6, row + 66, column, output, bias, saved, added, shape, parts, backward);
        FinishRow(c.R7, row + 67, column, output, bias, saved, added, shape, parts, backward);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FinishRow(
        ThreadRow c, int row, int column, ArrayView<float> output, ArrayView<float> bias, ArrayView<float> saved, ArrayView<float> added,
        ProductShape shape, FinishParts parts, bool backward)
    {
        if (row >= shape.M) return;
        FinishFour(c.Left, row, column, output, bias, saved, added, shape, parts, backward);
        FinishFour(c.Right, row, column + 64, output, bias, saved, added, shape, parts, backward);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FinishFour(
        Float4 v, int row, int column, ArrayView<float> output, ArrayView<float> bias, ArrayView<float> saved, ArrayView<float> added,
        ProductShape shape, FinishParts parts, bool backward)
    {
        if (column >= shape.N) return;
        long at = (long)row * (shape.N >> 2) + (column >> 2);
        if (parts.HasBias != 0) v = Add(v, bias.Cast<Float4>()[column >> 2]);
        if (!backward)
        {
            if (parts.HasSaved != 0) saved.Cast<Float4>()[at] = v;
            if (parts.Activation != NoActivation) v = FastActivation.Value(v, parts.Activation);
        }
        else if (parts.HasSaved != 0)
        {
            v = Multiply(v, FastActivation.Derivative(saved.Cast<Float4>()[at], parts.Activation));
        }
        if (parts.Added != NothingAdded) v = Add(v, added.Cast<Float4>()[at]);
        output.Cast<Float4>()[at] = v;
    }
}
