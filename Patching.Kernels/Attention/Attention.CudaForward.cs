using System.Runtime.CompilerServices;
using ILGPU;

namespace Patching.Kernels;

/// <content>The forward pass on tensor cores.</content>
public static partial class Attention
{
    private static void Forward64(ArrayView<Word4> y, ArrayView<float> logSumExp, ArrayView<Word4> qkv, AttentionShape shape, int causal, int save) =>
        ForwardTiles<Fragments64, Accumulator64>(y, logSumExp, qkv, shape, causal, save, 64);

    private static void Forward80(ArrayView<Word4> y, ArrayView<float> logSumExp, ArrayView<Word4> qkv, AttentionShape shape, int causal, int save) =>
        ForwardTiles<Fragments80, Accumulator80>(y, logSumExp, qkv, shape, causal, save, 80);

    private static void Forward128(ArrayView<Word4> y, ArrayView<float> logSumExp, ArrayView<Word4> qkv, AttentionShape shape, int causal, int save) =>
        ForwardTiles<Fragments128, Accumulator128>(y, logSumExp, qkv, shape, causal, save, 128);

    private static void OneTileForward64(ArrayView<Word4> y, ArrayView<float> logSumExp, ArrayView<Word4> qkv, AttentionShape shape, int causal, int save) =>
        ForwardOneTile<Fragments64, Accumulator64>(y, logSumExp, qkv, shape, causal, save, 64);

    private static void OneTileForward80(ArrayView<Word4> y, ArrayView<float> logSumExp, ArrayView<Word4> qkv, AttentionShape shape, int causal, int save) =>
        ForwardOneTile<Fragments80, Accumulator80>(y, logSumExp, qkv, shape, causal, save, 80);

    private static void OneTileForward128(ArrayView<Word4> y, ArrayView<float> logSumExp, ArrayView<Word4> qkv, AttentionShape shape, int causal, int save) =>
        ForwardOneTile<Fragments128, Accumulator128>(y, logSumExp, qkv, shape, causal, save, 128);

    /// <summary>
    /// A group's queries against all keys, tile by tile. Two stages of (K, V): while one is multiplied, the next is copied. The softmax runs online: a row keeps its
    /// maximum m (of q . k, before the scale) and its sum; when a tile raises m, sum and output shrink by 2^(scale (m - m')). Everything of a row stays in the four
    /// lanes that hold it.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void ForwardTiles<TRows, TColumns>(
        ArrayView<Word4> y, ArrayView<float> logSumExp, ArrayView<Word4> qkv, AttentionShape shape, int causal, int save, int width)
        where TRows : unmanaged
        where TColumns : unmanaged
    {
        Place place = Locate(shape, width);
        uint tileBytes = (uint)(TileRows * 2 * width), own = place.Shared + place.OwnRows, tiles = place.Shared + (uint)(Group.DimX * width);
        HeadRows k = Projection(place.Pair, 1, shape), v = Projection(place.Pair, 2, shape);
        int keys = causal != 0 ? IntrinsicMath.Min(shape.Tokens, place.FirstOfGroup + Group.DimX / 2) : shape.Tokens;
        CopyRows(place.Shared, qkv, Projection(place.Pair, 0, shape), place.FirstOfGroup, Group.DimX / 2, shape, width);
        CopyRows(tiles, tileBytes, qkv, k, qkv, v, 0, TileRows, shape, width);
        WaitForTile();

        TRows queries = WarpMatrix.LoadRows<TRows>(own + SwizzledRows.RowLane(place.Lane, width));
        TColumns output = default;
        float scale = Scale(shape) * Log2OfE;
        float maxUpper = float.NegativeInfinity, maxLower = float.NegativeInfinity, sumUpper = 0, sumLower = 0;
        uint current = tiles, other = tiles + 2 * tileBytes;
        for (int key = 0; key < keys; key += TileRows)
        {
            if (key + TileRows < keys) CopyRows(other, tileBytes, qkv, k, qkv, v, key + TileRows, TileRows, shape, width);
            // A warp without queries only copies; when causal, one whose queries all come before the tile has nothing to see in it.
            if (place.First < shape.Tokens && (causal == 0 || key < place.First + WarpRows))
            {
                Accumulator64 s = WarpMatrix.ProductTransposed(queries, current + SwizzledRows.ColumnLane(place.Lane, width));
                s = HideKeys(s, key, place, shape, causal);
                Float2 tileMax = WarpMatrix.RowMaximum(s);
                float newUpper = IntrinsicMath.Max(maxUpper, tileMax.X), newLower = IntrinsicMath.Max(maxLower, tileMax.Y);
                float shrinkUpper = PtxMath.Exp2(scale * (maxUpper - newUpper)), shrinkLower = PtxMath.Exp2(scale * (maxLower - newLower));
                Accumulator64 p = WarpMatrix.Exponentials(s, scale, -scale * newUpper, -scale * newLower);
                Float2 tileSum = WarpMatrix.RowSums(p);
                sumUpper = shrinkUpper * sumUpper + tileSum.X;
                sumLower = shrinkLower * sumLower + tileSum.Y;
                output = WarpMatrix.ScaleRows(output, shrinkUpper, shrinkLower);
                output = WarpMatrix.AddProduct(output, WarpMatrix.Round(p), current + tileBytes + SwizzledRows.RowLane(place.Lane, width));
                maxUpper = newUpper;
                maxLower = newLower;
            }
            WaitForTile();
            uint used = current;
            current = other;
            other = used;
        }
        FinishRows(y, logSumExp, output, maxUpper, maxLower, sumUpper, sumLower, scale, own, place, shape, save, width);
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
        CopyRows(place.Shared, qkv, Projection(place.Pair, 0, shape), 0, TileRows, shape, width);
        CopyRows(k, tileBytes, qkv, Projection(place.Pair, 1, shape), qkv, Projection(place.Pair, 2, shape), 0, TileRows, shape, width);
        WaitForTile();

        float scale = Scale(shape) * Log2OfE;
        TRows queries = WarpMatrix.LoadRows<TRows>(own + SwizzledRows.RowLane(place.Lane, width));
        Accumulator64 s = WarpMatrix.ProductTransposed(queries, k + SwizzledRows.ColumnLane(place.Lane, width));
        s = HideKeys(s, 0, place, shape, causal);
        Float2 max = WarpMatrix.RowMaximum(s);
        Accumulator64 p = WarpMatrix.Exponentials(s, scale, -scale * max.X, -scale * max.Y);
        Float2 sum = WarpMatrix.RowSums(p);
        TColumns output = WarpMatrix.AddProduct(default(TColumns), WarpMatrix.Round(p), v + SwizzledRows.RowLane(place.Lane, width));
        FinishRows(y, logSumExp, output, max.X, max.Y, sum.X, sum.Y, scale, own, place, shape, save, width);
    }

    /// <summary>Divides by the sums and writes y; writes <c>L = ln2 (scale m + log2 sum)</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void FinishRows<TColumns>(
        ArrayView<Word4> y, ArrayView<float> logSumExp, TColumns output, float maxUpper, float maxLower, float sumUpper, float sumLower, float scale, uint own,
        Place place, AttentionShape shape, int save, int width)
        where TColumns : unmanaged
    {
        if (place.First >= shape.Tokens) return;
        sumUpper = WarpMatrix.QuadSum(sumUpper);
        sumLower = WarpMatrix.QuadSum(sumLower);
        output = WarpMatrix.ScaleRows(output, PtxMath.Reciprocal(sumUpper), PtxMath.Reciprocal(sumLower));
        WriteRows(y, Output(place.Pair, shape), output, own, place, shape, width);
        int upper = place.First + place.Row, lower = upper + 8, firstOfPair = place.Pair * shape.Tokens;
        if (save == 0 || place.Column != 0) return;
        if (upper < shape.Tokens) logSumExp[firstOfPair + upper] = LogOf2 * (scale * maxUpper + PtxMath.Log2(sumUpper));
        if (lower < shape.Tokens) logSumExp[firstOfPair + lower] = LogOf2 * (scale * maxLower + PtxMath.Log2(sumLower));
    }
}
