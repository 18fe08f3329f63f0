using System.Numerics;
using System.Runtime.CompilerServices;

namespace Patching.Kernels;

/// <content>
/// Forward on the host: every (sequence, head) pair belongs to one thread. K transposed and V are packed once per pair; then blocks of query rows go through
/// scores, softmax and the product with V while their scores stay in the thread's second-level cache.
/// </content>
public static partial class Attention
{
    /// <summary>Query rows of one block: a multiple of the register tile's rows, so that tiles of queries and of keys have the same boundaries.</summary>
    private const int BlockRows = 10 * RegisterTile.MaxRows;

    private static unsafe void ForwardHost(HostThreads threads, Tensor y, Tensor logSumExp, Tensor qkv, AttentionShape shape, bool causal)
    {
        float* py = y.HostFloats, pqkv = qkv.HostFloats, psaved = logSumExp.Exists ? logSumExp.HostFloats : null;
        threads.Run(member =>
        {
            ForwardScratch scratch = new(threads, member, shape);
            for (long pair = FirstPair(shape, threads, member); pair < FirstPair(shape, threads, member + 1); pair++)
            {
                float* saved = psaved == null ? null : psaved + pair * shape.Tokens;
                ForwardPair(py + TokenStart(pair, shape), saved, pqkv + ProjectionStart(pair, shape), shape, causal, scratch);
            }
        });
    }

    private static unsafe void ForwardPair(float* y, float* logSumExp, float* q, AttentionShape shape, bool causal, in ForwardScratch scratch)
    {
        int tokens = shape.Tokens, size = shape.HeadSize;
        nint projectionRow = 3 * shape.Width, tokenRow = shape.Width;
        scratch.KeysTransposed.PackTransposed(q + shape.Width, projectionRow, tokens);
        scratch.Values.PackRows(q + 2 * shape.Width, projectionRow, size);
        for (int first = 0; first < tokens; first += BlockRows)
        {
            int rows = Math.Min(BlockRows, tokens - first);
            scratch.KeysTransposed.MultiplyRows(rows, q + first * projectionRow, projectionRow, scratch.Scores, scratch.ScoreRow, causal ? first : -1);
            for (int row = 0; row < rows; row += RegisterTile.MaxRows)
            {
                int tile = Math.Min(RegisterTile.MaxRows, rows - row);
                int keys = causal ? first + row + tile : tokens;
                float* scores = scratch.Scores + row * scratch.ScoreRow;
                float* output = scratch.Outputs + row * scratch.OutputRow;
                for (int i = 0; i < tile; i++)
                {
                    int visible = causal ? first + row + i + 1 : tokens;
                    scratch.InverseSums[row + i] = Softmax(scores + i * scratch.ScoreRow, visible, keys, shape, out float saved);
                    if (logSumExp != null) logSumExp[first + row + i] = saved;
                }
                scratch.Values.MultiplyTile(tile, 0, keys, scores, scratch.ScoreRow, 1, output, scratch.OutputRow, size, false);
                for (int i = 0; i < tile; i++)
                    Scale(y + (first + row + i) * tokenRow, output + i * scratch.OutputRow, scratch.InverseSums[row + i], size);
            }
        }
    }

    /// <summary>
    /// Turns the raw dot products of one query into exp((s - max) / sqrt(D)) for the <paramref name="visible"/> keys and zero for the others up to
    /// <paramref name="keys"/>; returns one over their sum. Subtracting the maximum before scaling is exact where it matters: the largest term is exp(0).
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe float Softmax(float* scores, int visible, int keys, AttentionShape shape, out float logSumExp)
    {
        float scale = 1 / MathF.Sqrt(shape.HeadSize);
        int lanes = Vector<float>.Count, whole = visible - visible % lanes;
        Vector<int> inTail = Vector.LessThan(Vector<int>.Indices, new Vector<int>(visible - whole));
        Vector<float> nothing = new(float.NegativeInfinity), largest = nothing;
        for (int j = 0; j < whole; j += lanes) largest = Vector.MaxNative(largest, Vector.Load(scores + j));
        if (whole < visible)
        {
            Vector<float> tail = Vector.ConditionalSelect(inTail, Vector.Load(scores + whole), nothing);
            tail.Store(scores + whole);
            largest = Vector.MaxNative(largest, tail);
        }
        float max = Largest(largest);
        Vector<float> offset = new(max), sum = default;
        for (int j = 0; j < visible; j += lanes)
        {
            Vector<float> p = VectorMath.Exp((Vector.Load(scores + j) - offset) * scale);
            p.Store(scores + j);
            sum += p;
        }
        for (int j = (visible + lanes - 1) / lanes * lanes; j < keys; j++) scores[j] = 0;
        float total = Vector.Sum(sum);
        logSumExp = max * scale + MathF.Log(total);
        return 1 / total;
    }

    private static float Largest(Vector<float> values)
    {
        float largest = values[0];
        for (int i = 1; i < Vector<float>.Count; i++) largest = MathF.Max(largest, values[i]);
        return largest;
    }

    private static unsafe void Scale(float* destination, float* source, float factor, int count)
    {
        int j = 0;
        for (; j + Vector<float>.Count <= count; j += Vector<float>.Count) (Vector.Load(source + j) * factor).Store(destination + j);
        for (; j < count; j++) destination[j] = source[j] * factor;
    }

    /// <summary>The pairs are divided evenly; each is computed in the same way whoever does it, so results do not depend on the number of threads.</summary>
    private static long FirstPair(AttentionShape shape, HostThreads threads, int member) => (long)shape.Pairs * member / threads.Count;

    /// <summary>Where the first token of a pair starts in y.</summary>
    private static long TokenStart(long pair, AttentionShape shape) =>
        pair / shape.Heads * shape.Tokens * shape.Width + pair % shape.Heads * shape.HeadSize;

    /// <summary>Where the first token's query of a pair starts in qkv.</summary>
    private static long ProjectionStart(long pair, AttentionShape shape) =>
        pair / shape.Heads * shape.Tokens * 3 * shape.Width + pair % shape.Heads * shape.HeadSize;

    /// <summary>
    /// Floats between rows of a block of scores: whole vectors, and an odd number of cache lines so that a column of the block, which backward walks along, is
    /// spread over all sets of the first-level cache.
    /// </summary>
    private static int ScoreRowOf(int tokens)
    {
        int lines = (tokens + 15) / 16;
        return (lines | 1) * 16;
    }

    /// <summary>What one thread needs for a pair at a time.</summary>
    private readonly unsafe struct ForwardScratch
    {
        public ForwardScratch(HostThreads threads, int member, AttentionShape shape)
        {
            int tokens = shape.Tokens, size = shape.HeadSize;
            ScoreRow = ScoreRowOf(tokens);
            OutputRow = PackedMatrix.PaddedColumns(size);
            long keys = PackedMatrix.Length(size, tokens), values = PackedMatrix.Length(tokens, size);
            long floats = keys + values + BlockRows * (ScoreRow + OutputRow + 1L);
            float* memory = (float*)threads.ScratchOf(member, floats * sizeof(float));
            KeysTransposed = new PackedMatrix(memory, size, tokens);
            Values = new PackedMatrix(memory += keys, tokens, size);
            Scores = memory += values;
            Outputs = memory += BlockRows * ScoreRow;
            InverseSums = memory + BlockRows * OutputRow;
        }

        public PackedMatrix KeysTransposed { get; }

        public PackedMatrix Values { get; }

        public float* Scores { get; }

        public nint ScoreRow { get; }

        public float* Outputs { get; }

        public nint OutputRow { get; }

        public float* InverseSums { get; }
    }
}
