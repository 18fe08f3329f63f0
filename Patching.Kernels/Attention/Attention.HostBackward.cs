using System.Numerics;
using System.Runtime.CompilerServices;

namespace Patching.Kernels;

/// <content>
/// Backward on the host, one pass per (sequence, head): for each block of query rows the scores and dp are recomputed, turned into p and
/// ds, and these two blocks feed all three gradients. dk and dv of the pair grow in the thread's scratch and are written once at the end.
/// </content>
public static partial class Attention
{
    private static unsafe void BackwardHost(
        HostThreads threads, Tensor dqkv, Tensor dy, Tensor y, Tensor qkv, Tensor logSumExp, Tensor delta, AttentionShape shape,
        bool causal)
    {
        float* pdqkv = dqkv.HostFloats, pdy = dy.HostFloats, py = y.HostFloats, pqkv = qkv.HostFloats;
        float* psaved = logSumExp.HostFloats, pdelta = delta.HostFloats;
        threads.Run(member =>
        {
            BackwardScratch scratch = new(threads, member, shape);
            for (long pair = FirstPair(shape, threads, member); pair < FirstPair(shape, threads, member + 1); pair++)
            {
                long token = TokenStart(pair, shape), projection = ProjectionStart(pair, shape), query = pair * shape.Tokens;
                Deltas(pdelta + query, pdy + token, py + token, shape);
                long next = Math.Min(pair + 1, shape.Pairs - 1);
                NextPair prefetch = new(pqkv + ProjectionStart(next, shape), pdy + TokenStart(next, shape), py + TokenStart(next, shape));
                BackwardPair(
                    pdqkv + projection, pdy + token, pqkv + projection, psaved + query, pdelta + query, prefetch, shape, causal, scratch);
            }
        });
    }

    private static unsafe void BackwardPair(
        float* dq, float* dy, float* q, float* logSumExp, float* delta, in NextPair next, AttentionShape shape, bool causal,
        in BackwardScratch scratch)
    {
        int tokens = shape.Tokens, size = shape.HeadSize;
        nint projectionRow = 3 * shape.Width, tokenRow = shape.Width;
        scratch.KeysTransposed.PackTransposed(q + shape.Width, projectionRow, tokens);
        scratch.ValuesTransposed.PackTransposed(q + 2 * shape.Width, projectionRow, tokens);
        scratch.Keys.PackRows(q + shape.Width, projectionRow, size);
        for (int first = 0; first < tokens; first += BlockRows)
        {
            int rows = Math.Min(BlockRows, tokens - first), causalFirst = causal ? first : -1;
            float* qBlock = q + first * projectionRow, dyBlock = dy + first * tokenRow;
            scratch.KeysTransposed.MultiplyRows(rows, qBlock, projectionRow, scratch.P, scratch.ScoreRow, causalFirst);
            scratch.ValuesTransposed.MultiplyRows(rows, dyBlock, tokenRow, scratch.Ds, scratch.ScoreRow, causalFirst);
            for (int row = 0; row < rows; row++)
            {
                int visible = causal ? first + row + 1 : tokens, keys = causal ? Math.Min(tokens, first + EndOfTile(row)) : tokens;
                Prefetch(next.Dy + (first + row) * tokenRow, tokenRow, 1, size);
                Prefetch(next.Y + (first + row) * tokenRow, tokenRow, 1, size);
                PrefetchProjections(next.Q, first + row, 1, shape);
                ScoreGradients(
                    scratch.P + row * scratch.ScoreRow, scratch.Ds + row * scratch.ScoreRow, visible, keys, logSumExp[first + row],
                    delta[first + row], size);
            }
            QueryGradients(dq + first * projectionRow, projectionRow, first, rows, shape, causal, scratch);
            PackedMatrix queries = new(scratch.RowBlock, rows, size);
            queries.PackRows(qBlock, projectionRow, size);
            KeyGradients(scratch.DKeys, scratch.Ds, queries, first, rows, shape, causal, scratch);
            queries.PackRows(dyBlock, tokenRow, size);
            KeyGradients(scratch.DValues, scratch.P, queries, first, rows, shape, causal, scratch);
        }
        for (int token = 0; token < tokens; token++)
        {
            Copy(dq + shape.Width + token * projectionRow, scratch.DKeys + token * scratch.OutputRow, size);
            Copy(dq + 2 * shape.Width + token * projectionRow, scratch.DValues + token * scratch.OutputRow, size);
        }
    }

    /// <summary>dq of a block of queries: ds K.</summary>
    private static unsafe void QueryGradients(
        float* dq, nint dqRow, int first, int rows, AttentionShape shape, bool causal, in BackwardScratch scratch)
    {
        for (int row = 0; row < rows; row += RegisterTile.MaxRows)
        {
            int tile = Math.Min(RegisterTile.MaxRows, rows - row), keys = causal ? first + row + tile : shape.Tokens;
            float* output = scratch.RowBlock;
            PrefetchProjections(dq, row, tile, shape);
            scratch.Keys.MultiplyTile(
                tile, 0, keys, scratch.Ds + row * scratch.ScoreRow, scratch.ScoreRow, 1, output, scratch.OutputRow, shape.HeadSize, false);
            for (int i = 0; i < tile; i++) Copy(dq + (row + i) * dqRow, output + i * scratch.OutputRow, shape.HeadSize);
        }
    }

    /// <summary>
    /// What a block of queries contributes to dk (with ds and q) or dv (with p and dy): the transposed block of scores times the block of
    /// rows. The first block that reaches a key writes, later ones accumulate.
    /// </summary>
    private static unsafe void KeyGradients(
        float* gradient, float* scores, PackedMatrix rowBlock, int first, int rows, AttentionShape shape, bool causal,
        in BackwardScratch scratch)
    {
        int keys = causal ? first + rows : shape.Tokens;
        for (int key = 0; key < keys; key += RegisterTile.MaxRows)
        {
            int tile = Math.Min(RegisterTile.MaxRows, keys - key), from = causal ? Math.Max(0, key - first) : 0;
            rowBlock.MultiplyTile(
                tile, from, rows, scores + from * scratch.ScoreRow + key, 1, scratch.ScoreRow, gradient + key * scratch.OutputRow,
                scratch.OutputRow, shape.HeadSize, causal ? key < first : first > 0);
        }
    }

    /// <summary>
    /// One query: raw dot products become p, and dp becomes ds, for the <paramref name="visible"/> keys; both become zero for the others
    /// up to <paramref name="keys"/>.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void ScoreGradients(float* p, float* ds, int visible, int keys, float logSumExp, float delta, int size)
    {
        float scale = 1 / MathF.Sqrt(size);
        int lanes = Vector<float>.Count;
        int j = 0;
        for (; j + lanes <= visible; j += lanes)
        {
            Vector<float> probability = Probability(p + j, scale, logSumExp);
            probability.Store(p + j);
            (probability * scale * (Vector.Load(ds + j) - new Vector<float>(delta))).Store(ds + j);
        }
        if (j < visible)
        {
            Vector<int> inside = FirstLanes(visible - j);
            Vector<float> probability = Vector.ConditionalSelect(inside, Probability(p + j, scale, logSumExp), default);
            probability.Store(p + j);
            Vector<float> gradient = probability * scale * (Vector.Load(ds + j) - new Vector<float>(delta));
            Vector.ConditionalSelect(inside, gradient, default).Store(ds + j);
            j += lanes;
        }
        for (; j < keys; j++) p[j] = ds[j] = 0;
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static unsafe Vector<float> Probability(float* scores, float scale, float logSumExp) =>
        PowerOfTwo.Of(
            Vector.MultiplyAddEstimate(Vector.Load(scores), new Vector<float>(scale), new Vector<float>(-logSumExp)) * PowerOfTwo.Log2E);

    /// <summary>delta_i = dy_i . y_i for every query of a pair.</summary>
    private static unsafe void Deltas(float* delta, float* dy, float* y, AttentionShape shape)
    {
        for (int token = 0; token < shape.Tokens; token++)
        {
            long row = (long)token * shape.Width;
            delta[token] = Dot(dy + row, y + row, shape.HeadSize);
        }
    }

    private static unsafe float Dot(float* a, float* b, int count)
    {
        Vector<float> sum = default;
        int j = 0;
        for (; j + Vector<float>.Count <= count; j += Vector<float>.Count) sum += Vector.Load(a + j) * Vector.Load(b + j);
        if (j < count) sum += HostTail.Load(a + j, count - j) * HostTail.Load(b + j, count - j);
        return Vector.Sum(sum);
    }

    private static unsafe void Copy(float* destination, float* source, int count) =>
        new ReadOnlySpan<float>(source, count).CopyTo(new Span<float>(destination, count));

    private static int EndOfTile(int row) => (row / RegisterTile.MaxRows + 1) * RegisterTile.MaxRows;

    /// <summary>Where the pair after this one starts: what is prefetched.</summary>
    private readonly unsafe struct NextPair(float* q, float* dy, float* y)
    {
        public float* Q { get; } = q;

        public float* Dy { get; } = dy;

        public float* Y { get; } = y;
    }

    /// <summary>What one thread needs for a pair at a time.</summary>
    private readonly unsafe struct BackwardScratch
    {
        public BackwardScratch(HostThreads threads, int member, AttentionShape shape)
        {
            int tokens = shape.Tokens, size = shape.HeadSize;
            ScoreRow = ScoreRowOf(tokens);
            OutputRow = PackedMatrix.PaddedColumns(size);
            long transposed = PackedMatrix.Length(size, tokens), straight = PackedMatrix.Length(tokens, size);
            long floats = 2 * transposed + 3 * straight + BlockRows * (2L * ScoreRow + OutputRow);
            float* memory = (float*)threads.ScratchOf(member, floats * sizeof(float));
            KeysTransposed = new PackedMatrix(memory, size, tokens);
            ValuesTransposed = new PackedMatrix(memory += transposed, size, tokens);
            Keys = new PackedMatrix(memory += transposed, tokens, size);
            DKeys = memory += straight;
            DValues = memory += straight;
            P = memory += straight;
            Ds = memory += BlockRows * ScoreRow;
            RowBlock = memory + BlockRows * ScoreRow;
        }

        public PackedMatrix KeysTransposed { get; }

        public PackedMatrix ValuesTransposed { get; }

        public PackedMatrix Keys { get; }

        /// <summary>dk of the pair, [T, OutputRow].</summary>
        public float* DKeys { get; }

        /// <summary>dv of the pair, [T, OutputRow].</summary>
        public float* DValues { get; }

        /// <summary>Scores, then p of a block, [BlockRows, ScoreRow].</summary>
        public float* P { get; }

        /// <summary>dp, then ds of a block, [BlockRows, ScoreRow].</summary>
        public float* Ds { get; }

        public nint ScoreRow { get; }

        /// <summary>The block's dq, then its q, then its dy, [BlockRows, OutputRow].</summary>
        public float* RowBlock { get; }

        public nint OutputRow { get; }
    }
}
