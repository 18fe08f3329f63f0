using System.Runtime.CompilerServices;
using ILGPU;

namespace Patching.Kernels;

/// <content>
/// The backward pass on tensor cores for more than 64 tokens: one kernel whose rows are queries (dq, and delta on the way), one whose rows
/// are keys (dk, dv). Each recomputes P from L, so nothing is added up by two groups.
/// </content>
public static partial class Attention
{
    private static void QueryGradient64(
        ArrayView<Word4> dqkv, ArrayView<float> delta, ArrayView<Word4> dy, ArrayView<Word4> y, ArrayView<Word4> qkv,
        ArrayView<float> logSumExp,
        AttentionShape shape, int causal) =>
        QueryGradientTiles<Fragments64, Accumulator64>(dqkv, delta, dy, y, qkv, logSumExp, shape, causal, 64);

    private static void QueryGradient80(
        ArrayView<Word4> dqkv, ArrayView<float> delta, ArrayView<Word4> dy, ArrayView<Word4> y, ArrayView<Word4> qkv,
        ArrayView<float> logSumExp,
        AttentionShape shape, int causal) =>
        QueryGradientTiles<Fragments80, Accumulator80>(dqkv, delta, dy, y, qkv, logSumExp, shape, causal, 80);

    private static void QueryGradient128(
        ArrayView<Word4> dqkv, ArrayView<float> delta, ArrayView<Word4> dy, ArrayView<Word4> y, ArrayView<Word4> qkv,
        ArrayView<float> logSumExp,
        AttentionShape shape, int causal) =>
        QueryGradientTiles<Fragments128, Accumulator128>(dqkv, delta, dy, y, qkv, logSumExp, shape, causal, 128);

    private static void KeyValueGradient64(
        ArrayView<Word4> dqkv, ArrayView<Word4> dy, ArrayView<Word4> qkv, ArrayView<float> logSumExp, ArrayView<float> delta,
        AttentionShape shape, int causal) =>
        KeyValueGradientTiles<Accumulator64>(dqkv, dy, qkv, logSumExp, delta, shape, causal, 64);

    private static void KeyValueGradient80(
        ArrayView<Word4> dqkv, ArrayView<Word4> dy, ArrayView<Word4> qkv, ArrayView<float> logSumExp, ArrayView<float> delta,
        AttentionShape shape, int causal) =>
        KeyValueGradientTiles<Accumulator80>(dqkv, dy, qkv, logSumExp, delta, shape, causal, 80);

    private static void KeyValueGradient128(
        ArrayView<Word4> dqkv, ArrayView<Word4> dy, ArrayView<Word4> qkv, ArrayView<float> logSumExp, ArrayView<float> delta,
        AttentionShape shape, int causal) =>
        KeyValueGradientTiles<Accumulator128>(dqkv, dy, qkv, logSumExp, delta, shape, causal, 128);

    /// <summary>
    /// A group's queries against all keys: <c>S = Q K^T</c>, <c>dP = dY V^T</c>, <c>dS = P (dP - delta)</c>, <c>dQ += dS K</c>. Rows of q
    /// and dy stay in registers; y comes once, where the second stage will be, for <c>delta = dy . y</c>.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void QueryGradientTiles<TRows, TColumns>(
        ArrayView<Word4> dqkv, ArrayView<float> delta, ArrayView<Word4> dy, ArrayView<Word4> y, ArrayView<Word4> qkv,
        ArrayView<float> logSumExp,
        AttentionShape shape, int causal, int width)
        where TRows : unmanaged
        where TColumns : unmanaged
    {
        Place place = Locate(shape, width);
        int groupRows = Group.DimX / 2;
        uint tileBytes = (uint)(TileRows * 2 * width), groupBytes = (uint)(groupRows * 2 * width);
        uint queryRows = place.Shared, outputRows = queryRows + groupBytes;
        uint current = outputRows + groupBytes, other = current + 2 * tileBytes;
        HeadRows q = Queries(place.Pair, shape), k = Keys(q, shape), v = Values(q, shape);
        HeadRows head = Output(place.Pair, shape);
        int keys = causal != 0 ? IntrinsicMath.Min(shape.Tokens, place.FirstOfGroup + groupRows) : shape.Tokens;
        CopyRows(queryRows, groupBytes, qkv, q, dy, head, place.FirstOfGroup, groupRows, shape, width);
        CopyRows(other, y, head, place.FirstOfGroup, groupRows, shape, width);
        CopyRows(current, tileBytes, qkv, k, qkv, v, 0, TileRows, shape, width);
        WaitForTile();

        TRows queries = WarpMatrix.LoadRows<TRows>(queryRows + place.OwnRows + place.RowLane);
        TRows gradients = WarpMatrix.LoadRows<TRows>(outputRows + place.OwnRows + place.RowLane);
        Float2 dots = WarpMatrix.RowDots(gradients, WarpMatrix.LoadRows<TRows>(other + place.OwnRows + place.RowLane));
        float deltaUpper = WarpMatrix.QuadSum(dots.X), deltaLower = WarpMatrix.QuadSum(dots.Y);
        int upper = place.First + place.Row, lower = upper + 8, firstOfPair = place.Pair * shape.Tokens;
        float logUpper = 0, logLower = 0;
        if (upper < shape.Tokens) logUpper = -Log2OfE * logSumExp[firstOfPair + upper];
        if (lower < shape.Tokens) logLower = -Log2OfE * logSumExp[firstOfPair + lower];
        if (place.Column == 0 && upper < shape.Tokens) delta[firstOfPair + upper] = deltaUpper;
        if (place.Column == 0 && lower < shape.Tokens) delta[firstOfPair + lower] = deltaLower;
        // The rows of y have been read; the second stage may overwrite them.
        Group.Barrier();

        QueryRows<TRows> rows = new(queries, gradients, logUpper, logLower, deltaUpper, deltaLower);
        TColumns dq = default;
        float scale = Scale(shape);
        for (int key = 0; key < keys; key += TileRows)
        {
            int next = key + TileRows;
            if (next < keys) CopyRows(other, tileBytes, qkv, k, qkv, v, next, RowsOfTile(keys - next), shape, width);
            if (place.First < shape.Tokens && (causal == 0 || key < place.First + WarpRows))
            {
                uint values = current + tileBytes;
                dq = keys - key > WarpRows
                    ? AddKeyGradients<TRows, TColumns, Accumulator64, Fragments64>(
                        dq, rows, current, values, key, TileRows, scale, place, shape, causal)
                    : AddKeyGradients<TRows, TColumns, Accumulator16, Fragments16>(
                        dq, rows, current, values, key, WarpRows, scale, place, shape, causal);
            }
            WaitForTile();
            uint used = current;
            current = other;
            other = used;
        }
        if (place.First < shape.Tokens)
            WriteRows(dqkv, q, WarpMatrix.ScaleRows(dq, scale, scale), queryRows + place.OwnRows, place, shape, width);
    }

    /// <summary>What a warp holds of its 16 queries.</summary>
    /// <param name="Queries">q.</param>
    /// <param name="Gradients">dy.</param>
    /// <param name="LogUpper">-log2(e) L of row g.</param>
    /// <param name="LogLower">The same of row g + 8.</param>
    /// <param name="DeltaUpper">Delta of row g.</param>
    /// <param name="DeltaLower">The same of row g + 8.</param>
    private readonly record struct QueryRows<TRows>(
        TRows Queries, TRows Gradients, float LogUpper, float LogLower, float DeltaUpper, float DeltaLower)
        where TRows : unmanaged;

    /// <summary>What a tile of <paramref name="count"/> keys adds to dq of a warp's queries, before the scale.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static TColumns AddKeyGradients<TRows, TColumns, TScores, TWeights>(
        TColumns dq, QueryRows<TRows> rows, uint keys, uint values, int firstKey, int count, float scale, Place place,
        AttentionShape shape, int causal)
        where TRows : unmanaged
        where TColumns : unmanaged
        where TScores : unmanaged
        where TWeights : unmanaged
    {
        TScores s = WarpMatrix.ProductTransposed<TRows, TScores>(rows.Queries, keys + place.ColumnLane);
        TScores p = WarpMatrix.Exponentials(
            HideKeys(s, firstKey, count, place, shape, causal), scale * Log2OfE, rows.LogUpper, rows.LogLower);
        TScores dp = WarpMatrix.ProductTransposed<TRows, TScores>(rows.Gradients, values + place.ColumnLane);
        TScores ds = WarpMatrix.SoftmaxGradient(p, dp, rows.DeltaUpper, rows.DeltaLower);
        return WarpMatrix.AddProduct(dq, WarpMatrix.Round<TScores, TWeights>(ds), keys + place.RowLane);
    }

    /// <summary>
    /// A group's keys against all queries, transposed, so that what the products need on the left is already in the right registers: <c>S^T
    /// = K Q^T</c>, <c>dV += P^T dY</c>, <c>dP^T = V dY^T</c>, <c>dK += dS^T Q</c>. L and delta now belong to columns and come with the
    /// tile. Queries past the end have L = 0, q = 0 and dy = 0, so their P = 1 adds nothing.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void KeyValueGradientTiles<TColumns>(
        ArrayView<Word4> dqkv, ArrayView<Word4> dy, ArrayView<Word4> qkv, ArrayView<float> logSumExp, ArrayView<float> delta,
        AttentionShape shape, int causal,
        int width)
        where TColumns : unmanaged
    {
        Place place = Locate(shape, width);
        int groupRows = Group.DimX / 2;
        const uint numberBytes = TileRows * sizeof(float);
        uint tileBytes = (uint)(TileRows * 2 * width), groupBytes = (uint)(groupRows * 2 * width);
        uint keyRows = place.Shared, valueRows = keyRows + groupBytes, current = valueRows + groupBytes,
        other = current + 2 * tileBytes + 2 * numberBytes;
        HeadRows q = Queries(place.Pair, shape), k = Keys(q, shape), v = Values(q, shape);
        HeadRows head = Output(place.Pair, shape);
        int firstOfPair = place.Pair * shape.Tokens;
        uint numberLane = (uint)(place.Column * sizeof(float));
        int first = causal != 0 ? place.FirstOfGroup / TileRows * TileRows : 0;
        CopyRows(keyRows, groupBytes, qkv, k, qkv, v, place.FirstOfGroup, groupRows, shape, width);
        CopyQueries(current, qkv, q, dy, head, logSumExp, delta, firstOfPair, first, TileRows, shape, width);
        WaitForTile();

        KeyRows<TColumns> rows = default;
        float scale = Scale(shape);
        for (int query = first; query < shape.Tokens; query += TileRows)
        {
            int next = query + TileRows;
            if (next < shape.Tokens)
            {
                int count = RowsOfTile(shape.Tokens - next);
                CopyQueries(other, qkv, q, dy, head, logSumExp, delta, firstOfPair, next, count, shape, width);
            }
            if (place.First < shape.Tokens && (causal == 0 || query + TileRows > place.First))
            {
                rows = shape.Tokens - query > WarpRows
                    ? AddQueries<TColumns, Accumulator64, Fragments64>(
                        rows, keyRows, valueRows, current, numberLane, query, scale, place, causal, width)
                    : AddQueries<TColumns, Accumulator16, Fragments16>(
                        rows, keyRows, valueRows, current, numberLane, query, scale, place, causal, width);
            }
            WaitForTile();
            uint used = current;
            current = other;
            other = used;
        }
        if (place.First >= shape.Tokens) return;
        // Found anew: kept through the loop they would be registers that the sums need.
        k = Keys(q, shape);
        v = Values(q, shape);
        WriteRows(dqkv, k, WarpMatrix.ScaleRows(rows.Keys, scale, scale), keyRows + place.OwnRows, place, shape, width);
        WriteRows(dqkv, v, rows.Values, valueRows + place.OwnRows, place, shape, width);
    }

    /// <summary>What a warp adds up for its 16 keys.</summary>
    /// <param name="Keys">dk, before the scale.</param>
    /// <param name="Values">dv.</param>
    private readonly record struct KeyRows<TColumns>(TColumns Keys, TColumns Values)
        where TColumns : unmanaged;

    /// <summary>What a tile of queries adds to dk and dv of a warp's keys.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static KeyRows<TColumns> AddQueries<TColumns, TScores, TWeights>(
        KeyRows<TColumns> rows, uint keyRows, uint valueRows, uint queries, uint numberLane, int firstQuery, float scale, Place place, int causal, int width)
        where TColumns : unmanaged
        where TScores : unmanaged
        where TWeights : unmanaged
    {
        uint tileBytes = (uint)(
            TileRows * 2 * width), gradients = queries + tileBytes, numbers = gradients + tileBytes + numberLane;
        TScores s = WarpMatrix.ProductTransposed<TScores>(keyRows + place.OwnRows + place.RowLane, queries + place.ColumnLane, width);
        TScores p = WarpMatrix.ColumnExponentials(HideQueries(s, firstQuery, place, causal), scale * Log2OfE, numbers);
        TColumns dv = WarpMatrix.AddProduct(rows.Values, WarpMatrix.Round<TScores, TWeights>(p), gradients + place.RowLane);
        TScores dp = WarpMatrix.ProductTransposed<TScores>(valueRows + place.OwnRows + place.RowLane, gradients + place.ColumnLane, width);
        TScores ds = WarpMatrix.ColumnSoftmaxGradient(p, dp, numbers + TileRows * sizeof(float));
        return new(WarpMatrix.AddProduct(rows.Keys, WarpMatrix.Round<TScores, TWeights>(ds), queries + place.RowLane), dv);
    }

    /// <summary>Starts to copy a tile of queries: rows of q, rows of dy, L and delta.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void CopyQueries(
        uint stage, ArrayView<Word4> qkv, HeadRows q, ArrayView<Word4> dy, HeadRows head, ArrayView<float> logSumExp,
        ArrayView<float> delta, int firstOfPair, int first,
        int count, AttentionShape shape, int width)
    {
        uint tileBytes = (uint)(TileRows * 2 * width), numbers = stage + 2 * tileBytes;
        CopyRows(stage, tileBytes, qkv, q, dy, head, first, count, shape, width);
        CopyNumbers(numbers, logSumExp, firstOfPair, first, shape);
        CopyNumbers(numbers + TileRows * sizeof(float), delta, firstOfPair, first, shape);
    }
}
