using System.Runtime.CompilerServices;
using ILGPU;

namespace Patching.Kernels;

/// <content>The backward pass on tensor cores for at most 64 tokens: everything of a head at once.</content>
public static partial class Attention
{
    private static void OneTileBackward64(
        ArrayView<Word4> dqkv, ArrayView<Word4> dy, ArrayView<Word4> y, ArrayView<Word4> qkv, ArrayView<float> logSumExp,
        AttentionShape shape, int causal) =>
        BackwardOneTile<Fragments64, Accumulator64>(dqkv, dy, y, qkv, logSumExp, shape, causal, 64);

    private static void OneTileBackward80(
        ArrayView<Word4> dqkv, ArrayView<Word4> dy, ArrayView<Word4> y, ArrayView<Word4> qkv, ArrayView<float> logSumExp,
        AttentionShape shape, int causal) =>
        BackwardOneTile<Fragments80, Accumulator80>(dqkv, dy, y, qkv, logSumExp, shape, causal, 80);

    private static void OneTileBackward128(
        ArrayView<Word4> dqkv, ArrayView<Word4> dy, ArrayView<Word4> y, ArrayView<Word4> qkv, ArrayView<float> logSumExp,
        AttentionShape shape, int causal) =>
        BackwardOneTile<Fragments128, Accumulator128>(dqkv, dy, y, qkv, logSumExp, shape, causal, 128);

    /// <summary>
    /// Five products and no recomputation. First every warp has 16 keys: S^T and dP^T give dv, dk and dS^T. A warp leaves its rows of dS^T
    /// where its rows of v were, which nobody else reads; after a barrier it takes 16 columns of all of them, which <c>ldmatrix</c>
    /// transposes, as its 16 rows of dS, and multiplies by k.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void BackwardOneTile<TRows, TColumns>(
        ArrayView<Word4> dqkv, ArrayView<Word4> dy, ArrayView<Word4> y, ArrayView<Word4> qkv, ArrayView<float> logSumExp,
        AttentionShape shape, int causal, int width)
        where TRows : unmanaged
        where TColumns : unmanaged
    {
        Place place = Locate(shape, width);
        uint tileBytes = (uint)(TileRows * 2 * width), q = place.Shared, k = q + tileBytes, v = k + tileBytes, gradients = v + tileBytes;
        uint outputs = gradients + tileBytes, logs = outputs + tileBytes, deltas = logs + TileRows * sizeof(float);
        HeadRows head = Output(place.Pair, shape), queries = Queries(place.Pair, shape);
        CopyRows(q, qkv, queries, 0, TileRows, shape, width);
        CopyRows(k, tileBytes, qkv, Keys(queries, shape), qkv, Values(queries, shape), 0, TileRows, shape, width);
        CopyRows(gradients, tileBytes, dy, head, y, head, 0, TileRows, shape, width);
        CopyNumbers(logs, logSumExp, place.Pair * shape.Tokens, 0, shape);
        for (int i = Group.IdxX; i < TileRows; i += Group.DimX)
            if (i >= Group.DimX / 2) SharedWords.Store(deltas + (uint)(sizeof(float) * i), 0);
        WaitForTile();

        StoreDeltas<TRows>(deltas, gradients + place.OwnRows + place.RowLane, outputs + place.OwnRows + place.RowLane, place);
        Group.Barrier();

        float scale = Scale(shape);
        uint columnNumbers = (uint)(place.Column * sizeof(float));
        Accumulator64 p = WarpMatrix.ProductTransposed<Accumulator64>(k + place.OwnRows + place.RowLane, q + place.ColumnLane, width);
        p = WarpMatrix.ColumnExponentials(HideRows(p, place, shape, causal), scale * Log2OfE, logs + columnNumbers);
        TColumns dv = WarpMatrix.AddProduct(default(TColumns), WarpMatrix.Round<Accumulator64, Fragments64>(p), gradients + place.RowLane);
        Accumulator64 ds = WarpMatrix.ProductTransposed<Accumulator64>(
            v + place.OwnRows + place.RowLane, gradients + place.ColumnLane, width);
        ds = WarpMatrix.ColumnSoftmaxGradient(p, ds, deltas + columnNumbers);
        TColumns dk = WarpMatrix.AddProduct(default(TColumns), WarpMatrix.Round<Accumulator64, Fragments64>(ds), q + place.RowLane);
        Warp.Barrier();
        WarpMatrix.StoreRows(v + place.OwnRows + SwizzledRows.StoreLane(place.Lane, width), ds, width);
        Group.Barrier();

        // From here on nobody reads q, dy or y: the warp's rows of them take the results.
        WriteRows(dqkv, Keys(queries, shape), WarpMatrix.ScaleRows(dk, scale, scale), q + place.OwnRows, place, shape, width);
        WriteRows(dqkv, Values(queries, shape), dv, gradients + place.OwnRows, place, shape, width);
        int lane = place.Lane, chunk = place.First / 8 + ((lane >> 3) & 1);
        Fragments64 rows = WarpMatrix.LoadColumns(v + SwizzledRows.Offset((lane & 7) + ((lane >> 4) << 3), chunk, width), width);
        TColumns dq = WarpMatrix.AddProduct(default(TColumns), rows, k + place.RowLane);
        WriteRows(
            dqkv, queries, WarpMatrix.ScaleRows(dq, scale, scale), outputs + place.OwnRows, place, shape, width);
    }

    /// <summary>
    /// Hides keys that do not exist, all of their row: 2^-L may be infinite, and dq sums over them. When causal, hides queries before the
    /// key too.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Accumulator64 HideRows(Accumulator64 scores, Place place, AttentionShape shape, int causal)
    {
        int upper = place.First + place.Row, lower = upper + 8;
        // Written so that it compiles to selections: lanes must not part ways.
        int hiddenUpper = upper >= shape.Tokens ? TileRows : 0, hiddenLower = lower >= shape.Tokens ? TileRows : 0;
        int fromUpper = IntrinsicMath.Max(hiddenUpper, causal * upper), fromLower = IntrinsicMath.Max(hiddenLower, causal * lower);
        return WarpMatrix.KeepFrom(scores, fromUpper - place.Column, fromLower - place.Column);
    }

    /// <summary>Delta of the warp's 16 queries, from its rows of dy and y, to shared memory.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreDeltas<TRows>(uint deltas, uint gradients, uint outputs, Place place)
        where TRows : unmanaged
    {
        Float2 dots = WarpMatrix.RowDots(WarpMatrix.LoadRows<TRows>(gradients), WarpMatrix.LoadRows<TRows>(outputs));
        float upper = WarpMatrix.QuadSum(dots.X), lower = WarpMatrix.QuadSum(dots.Y);
        if (place.Column != 0) return;
        uint own = deltas + (uint)(sizeof(float) * (place.First + place.Row));
        SharedWords.Store(own, upper);
        SharedWords.Store(own + 8 * sizeof(float), lower);
    }
}
