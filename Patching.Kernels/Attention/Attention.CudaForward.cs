using System.Runtime.CompilerServices;
using ILGPU;

namespace Patching.Kernels;

/// <content>The forward pass on tensor cores.</content>
public static partial class Attention
{
    private static void Forward64(
        ArrayView<Word4> y, ArrayView<float> logSumExp, ArrayView<Word4> qkv, AttentionShape shape, int causal, int save) =>
        ForwardTiles<Fragments64, Accumulator64>(y, logSumExp, qkv, shape, causal, save, 64);

    private static void Forward80(
        ArrayView<Word4> y, ArrayView<float> logSumExp, ArrayView<Word4> qkv, AttentionShape shape, int causal, int save) =>
        ForwardTiles<Fragments80, Accumulator80>(y, logSumExp, qkv, shape, causal, save, 80);

    private static void Forward128(
        ArrayView<Word4> y, ArrayView<float> logSumExp, ArrayView<Word4> qkv, AttentionShape shape, int causal, int save) =>
        ForwardTiles<Fragments128, Accumulator128>(y, logSumExp, qkv, shape, causal, save, 128);

    private static void OneTileForward64(
        ArrayView<Word4> y, ArrayView<float> logSumExp, ArrayView<Word4> qkv, AttentionShape shape, int causal, int save) =>
        ForwardOneTile<Fragments64, Accumulator64>(y, logSumExp, qkv, shape, causal, save, 64);

    private static void OneTileForward80(
        ArrayView<Word4> y, ArrayView<float> logSumExp, ArrayView<Word4> qkv, AttentionShape shape, int causal, int save) =>
        ForwardOneTile<Fragments80, Accumulator80>(y, logSumExp, qkv, shape, causal, save, 80);

    private static void OneTileForward128(
        ArrayView<Word4> y, ArrayView<float> logSumExp, ArrayView<Word4> qkv, AttentionShape shape, int causal, int save) =>
        ForwardOneTile<Fragments128, Accumulator128>(y, logSumExp, qkv, shape, causal, save, 128);

    /// <summary>
    /// A group's queries against all keys, tile by tile. Two stages of (K, V): while one is multiplied, the next is copied. The softmax
    /// runs online: a row keeps its maximum m (of q . k, before the scale) and its sum; when a tile raises m, sum and output shrink by
    /// 2^(scale (m - m')). Everything of a row stays in the four lanes that hold it.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void ForwardTiles<TRows, TColumns>(
        ArrayView<Word4> y, ArrayView<float> logSumExp, ArrayView<Word4> qkv, AttentionShape shape, int causal, int save, int width)
        where TRows : unmanaged
        where TColumns : unmanaged
    {
        Place place = Locate(shape, width);
        uint tileBytes = (uint)(TileRows * 2 * width);
        uint own = place.Shared + place.OwnRows, tiles = place.Shared + (uint)(Group.DimX * width);
        HeadRows q = Queries(place.Pair, shape), k = Keys(q, shape), v = Values(q, shape);
        int keys = causal != 0 ? IntrinsicMath.Min(shape.Tokens, place.FirstOfGroup + Group.DimX / 2) : shape.Tokens;
        CopyRows(place.Shared, qkv, q, place.FirstOfGroup, Group.DimX / 2, shape, width);
        CopyRows(tiles, tileBytes, qkv, k, qkv, v, 0, TileRows, shape, width);
        WaitForTile();

        TRows queries = WarpMatrix.LoadRows<TRows>(own + place.RowLane);
        float scale = Scale(shape) * Log2OfE;
        OnlineSoftmax<TColumns> rows = new(default, float.NegativeInfinity, float.NegativeInfinity, 0, 0);
        uint current = tiles, other = tiles + 2 * tileBytes;
        for (int key = 0; key < keys; key += TileRows)
        {
            int next = key + TileRows;
            if (next < keys) CopyRows(other, tileBytes, qkv, k, qkv, v, next, RowsOfTile(keys - next), shape, width);
            // A warp without queries only copies; when causal, one whose queries all come before the tile has nothing to see in it.
            if (place.First < shape.Tokens && (causal == 0 || key < place.First + WarpRows))
            {
                uint values = current + tileBytes;
                rows = keys - key > WarpRows
                    ? AddKeys<TRows, TColumns, Accumulator64, Fragments64>(
                        rows, queries, current, values, key, TileRows, scale, place, shape, causal)
                    : AddKeys<TRows, TColumns, Accumulator16, Fragments16>(
                        rows, queries, current, values, key, WarpRows, scale, place, shape, causal);
            }
            WaitForTile();
            uint used = current;
            current = other;
            other = used;
        }
        FinishRows(y, logSumExp, rows, scale, own, place, shape, save, width);
    }

    /// <summary>What a lane holds of rows g and g + 8 after some of the keys.</summary>
    /// <param name="Output">Sum of <c>2^(scale (s - max)) v</c>.</param>
    /// <param name="MaxUpper">Largest score so far, of row g.</param>
    /// <param name="MaxLower">The same of row g + 8.</param>
    /// <param name="SumUpper">Sum of <c>2^(scale (s - max))</c> over the lane's own columns, row g.</param>
    /// <param name="SumLower">The same of row g + 8.</param>
    private readonly record struct OnlineSoftmax<TColumns>(TColumns Output, float MaxUpper, float MaxLower, float SumUpper, float SumLower)
        where TColumns : unmanaged;

    /// <summary>One step of the online softmax: a warp's queries and the <paramref name="count"/> keys of a tile.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static OnlineSoftmax<TColumns> AddKeys<TRows, TColumns, TScores, TWeights>(
        OnlineSoftmax<TColumns> rows, TRows queries, uint keys, uint values, int firstKey, int count, float scale, Place place,
        AttentionShape shape, int causal)
        where TRows : unmanaged
        where TColumns : unmanaged
        where TScores : unmanaged
        where TWeights : unmanaged
    {
        TScores s = WarpMatrix.ProductTransposed<TRows, TScores>(queries, keys + place.ColumnLane);
        s = HideKeys(s, firstKey, count, place, shape, causal);
        Float2 tileMax = WarpMatrix.RowMaximum(s);
        float maxUpper = IntrinsicMath.Max(rows.MaxUpper, tileMax.X), maxLower = IntrinsicMath.Max(rows.MaxLower, tileMax.Y);
        float shrinkUpper = PtxMath.Exp2(scale * (rows.MaxUpper - maxUpper));
        float shrinkLower = PtxMath.Exp2(scale * (rows.MaxLower - maxLower));
        TScores p = WarpMatrix.Exponentials(s, scale, -scale * maxUpper, -scale * maxLower);
        Float2 sums = WarpMatrix.RowSums(p);
        TColumns output = WarpMatrix.ScaleRows(rows.Output, shrinkUpper, shrinkLower);
        output = WarpMatrix.AddProduct(output, WarpMatrix.Round<TScores, TWeights>(p), values + place.RowLane);
        return new(output, maxUpper, maxLower, shrinkUpper * rows.SumUpper + sums.X, shrinkLower * rows.SumLower + sums.Y);
    }

    /// <summary>At most 64 tokens, such as ViT-B/32's 50: one tile is everything, so there is no loop and nothing to rescale.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void ForwardOneTile<TRows, TColumns>(
        ArrayView<Word4> y, ArrayView<float> logSumExp, ArrayView<Word4> qkv, AttentionShape shape, int causal, int save, int width)
        where TRows : unmanaged
        where TColumns : unmanaged
    {
        Place place = Locate(shape, width);
        uint tileBytes = (uint)(TileRows * 2 * width), own = place.Shared + place.OwnRows, k = place.Shared + tileBytes, v = k + tileBytes;
        HeadRows q = Queries(place.Pair, shape);
        CopyRows(place.Shared, qkv, q, 0, TileRows, shape, width);
        CopyRows(k, tileBytes, qkv, Keys(q, shape), qkv, Values(q, shape), 0, TileRows, shape, width);
        WaitForTile();

        float scale = Scale(shape) * Log2OfE;
        TRows queries = WarpMatrix.LoadRows<TRows>(own + place.RowLane);
        Accumulator64 s = WarpMatrix.ProductTransposed<TRows, Accumulator64>(queries, k + place.ColumnLane);
        s = HideKeys(s, 0, TileRows, place, shape, causal);
        Float2 max = WarpMatrix.RowMaximum(s);
        Accumulator64 p = WarpMatrix.Exponentials(s, scale, -scale * max.X, -scale * max.Y);
        Float2 sum = WarpMatrix.RowSums(p);
        Fragments64 weights = WarpMatrix.Round<Accumulator64, Fragments64>(p);
        TColumns output = WarpMatrix.AddProduct(default(TColumns), weights, v + place.RowLane);
        FinishRows(y, logSumExp, new OnlineSoftmax<TColumns>(output, max.X, max.Y, sum.X, sum.Y), scale, own, place, shape, save, width);
    }

    /// <summary>Divides by the sums and writes y; writes <c>L = ln2 (scale m + log2 sum)</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FinishRows<TColumns>(
        ArrayView<Word4> y, ArrayView<float> logSumExp, OnlineSoftmax<TColumns> rows, float scale, uint own, Place place,
        AttentionShape shape, int save, int width)
        where TColumns : unmanaged
    {
        if (place.First >= shape.Tokens) return;
        float sumUpper = WarpMatrix.QuadSum(rows.SumUpper), sumLower = WarpMatrix.QuadSum(rows.SumLower);
        TColumns output = WarpMatrix.ScaleRows(rows.Output, PtxMath.Reciprocal(sumUpper), PtxMath.Reciprocal(sumLower));
        WriteRows(y, Output(place.Pair, shape), output, own, place, shape, width);
        int upper = place.First + place.Row, lower = upper + 8, firstOfPair = place.Pair * shape.Tokens;
        if (save == 0 || place.Column != 0) return;
        if (upper < shape.Tokens) logSumExp[firstOfPair + upper] = LogOf2 * (scale * rows.MaxUpper + PtxMath.Log2(sumUpper));
        if (lower < shape.Tokens) logSumExp[firstOfPair + lower] = LogOf2 * (scale * rows.MaxLower + PtxMath.Log2(sumLower));
    }
}
