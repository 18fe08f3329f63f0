using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.X86;

namespace Patching.Kernels;

/// <content>
/// Forward on the host: every (sequence, head) pair belongs to one thread. K transposed and V are packed once per pair; then blocks of
/// query rows go through scores, softmax and the product with V while their scores stay in the thread's second-level cache.
/// </content>
public static partial class Attention
{
    /// <summary>
    /// Query rows of one block: a multiple of the register tile's rows, so that tiles of queries and of keys have the same boundaries.
    /// </summary>
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
                float* q = pqkv + ProjectionStart(pair, shape), next = pqkv + ProjectionStart(Math.Min(pair + 1, shape.Pairs - 1L), shape);
                ForwardPair(py + TokenStart(pair, shape), saved, q, next, shape, causal, scratch);
            }
        });
    }

    private static unsafe void ForwardPair(
        float* y, float* logSumExp, float* q, float* nextQ, AttentionShape shape, bool causal, in ForwardScratch scratch)
    {
        int tokens = shape.Tokens, size = shape.HeadSize;
        nint projectionRow = 3 * shape.Width, tokenRow = shape.Width;
        scratch.KeysTransposed.PackTransposed(q + shape.Width, projectionRow, tokens);
        scratch.Values.PackRows(q + 2 * shape.Width, projectionRow, size);
        for (int first = 0; first < tokens; first += BlockRows)
        {
            int rows = Math.Min(BlockRows, tokens - first);
            scratch.KeysTransposed.MultiplyRows(
                rows, q + first * projectionRow, projectionRow, scratch.Scores, scratch.ScoreRow, causal ? first : -1);
            for (int row = 0; row < rows; row += RegisterTile.MaxRows)
            {
                int tile = Math.Min(RegisterTile.MaxRows, rows - row);
                int keys = causal ? first + row + tile : tokens;
                PrefetchProjections(nextQ, first + row, tile, shape);
                Prefetch(y + (first + row) * tokenRow, tokenRow, tile, size);
                float* scores = scratch.Scores + row * scratch.ScoreRow;
                Softmax(first + row, tile, keys, shape, causal, scores, scratch, logSumExp == null ? null : logSumExp + first + row);
                scratch.Values.MultiplyTile(tile, 0, keys, scores, scratch.ScoreRow, 1, scratch.Outputs, scratch.OutputRow, size, false);
                for (int i = 0; i < tile; i++)
                    Scale(y + (first + row + i) * tokenRow, scratch.Outputs + i * scratch.OutputRow, scratch.InverseSums[i], size);
            }
        }
    }

    /// <summary>
    /// Asks for the next pair's rows while this one computes: the rows of a head lie 3C floats apart, which no hardware prefetcher
    /// follows, and waiting for them took as long as the arithmetic.
    /// </summary>
    private static unsafe void PrefetchProjections(float* q, int first, int rows, AttentionShape shape)
    {
        long stride = 3 * shape.Width;
        for (int part = 0; part < 3; part++) Prefetch(q + part * shape.Width + first * stride, stride, rows, shape.HeadSize);
    }

    private static unsafe void Prefetch(float* data, long stride, int rows, int columns)
    {
        const int line = 16;
        if (!Sse.IsSupported) return;
        for (int row = 0; row < rows; row++)
            for (int column = 0; column < columns; column += line) Sse.Prefetch1(data + row * stride + column);
    }

    /// <summary>
    /// Turns the raw dot products of a tile of queries into exp((s - max) / sqrt(D)) for the keys they see and zero for the others up to
    /// <paramref name="keys"/>. Subtracting the maximum before scaling is exact where it matters: the largest term is exp(0). All rows go
    /// through one stage before the next begins, so that the reductions of one row overlap with those of the others.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void Softmax(
        int query, int rows, int keys, AttentionShape shape, bool causal, float* scores, in ForwardScratch scratch, float* logSumExp)
    {
        float scale = 1 / MathF.Sqrt(shape.HeadSize);
        for (int i = 0; i < rows; i++)
            scratch.Maxima[i] = MaskAndLargest(scores + i * scratch.ScoreRow, causal ? query + i + 1 : shape.Tokens, keys);
        for (int i = 0; i < rows; i++)
            scratch.Sums[i] = Exponentials(scores + i * scratch.ScoreRow, causal ? query + i + 1 : shape.Tokens, scratch.Maxima[i], scale);
        for (int i = 0; i < rows; i++)
        {
            float sum = Vector.Sum(scratch.Sums[i]);
            scratch.InverseSums[i] = 1 / sum;
            if (logSumExp != null) logSumExp[i] = scratch.Maxima[i] * scale + MathF.Log(sum);
        }
    }

    /// <summary>
    /// The largest of the visible scores; the rest of their last vector becomes minus infinity, what follows up to
    /// <paramref name="keys"/> zero.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static unsafe float MaskAndLargest(float* scores, int visible, int keys)
    {
        Vector<float> nothing = new(float.NegativeInfinity), largest = nothing;
        int j = 0;
        for (; j + Vector<float>.Count <= visible; j += Vector<float>.Count) largest = Vector.MaxNative(largest, Vector.Load(scores + j));
        if (j < visible)
        {
            Vector<float> tail = Vector.ConditionalSelect(FirstLanes(visible - j), Vector.Load(scores + j), nothing);
            tail.Store(scores + j);
            largest = Vector.MaxNative(largest, tail);
            j += Vector<float>.Count;
        }
        for (; j < keys; j++) scores[j] = 0;
        return Largest(largest);
    }

    /// <summary>Replaces the visible scores by their exponentials and returns the sums of the lanes.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static unsafe Vector<float> Exponentials(float* scores, int visible, float max, float scale)
    {
        Vector<float> sum = default;
        for (int j = 0; j < visible; j += Vector<float>.Count)
        {
            Vector<float> p = PowerOfTwo.Of((Vector.Load(scores + j) - new Vector<float>(max)) * (scale * PowerOfTwo.Log2E));
            p.Store(scores + j);
            sum += p;
        }
        return sum;
    }

    /// <summary>A mask of the first <paramref name="count"/> lanes.</summary>
    private static Vector<int> FirstLanes(int count) => Vector.LessThan(Vector<int>.Indices, new Vector<int>(count));

    private static float Largest(Vector<float> values)
    {
        if (Vector<float>.Count == Vector512<float>.Count)
        {
            Vector512<float> all = values.AsVector512();
            return Largest(Vector256.MaxNative(all.GetLower(), all.GetUpper()));
        }
        return Vector<float>.Count == Vector256<float>.Count ? Largest(values.AsVector256()) : Largest(values.AsVector128());
    }

    private static float Largest(Vector256<float> values) => Largest(Vector128.MaxNative(values.GetLower(), values.GetUpper()));

    private static float Largest(Vector128<float> values)
    {
        Vector128<float> pairs = Vector128.MaxNative(values, Vector128.Shuffle(values, Vector128.Create(2, 3, 0, 1)));
        return Vector128.MaxNative(pairs, Vector128.Shuffle(pairs, Vector128.Create(1, 0, 3, 2))).ToScalar();
    }

    private static unsafe void Scale(float* destination, float* source, float factor, int count)
    {
        int j = 0;
        for (; j + Vector<float>.Count <= count; j += Vector<float>.Count) (Vector.Load(source + j) * factor).Store(destination + j);
        for (; j < count; j++) destination[j] = source[j] * factor;
    }

    /// <summary>
    /// The pairs are divided evenly; each is computed in the same way whoever does it, so results do not depend on the number of threads.
    /// </summary>
    private static long FirstPair(AttentionShape shape, HostThreads threads, int member) => (long)shape.Pairs * member / threads.Count;

    /// <summary>Where the first token of a pair starts in y.</summary>
    private static long TokenStart(long pair, AttentionShape shape) =>
        pair / shape.Heads * shape.Tokens * shape.Width + pair % shape.Heads * shape.HeadSize;

    /// <summary>Where the first token's query of a pair starts in qkv.</summary>
    private static long ProjectionStart(long pair, AttentionShape shape) =>
        pair / shape.Heads * shape.Tokens * 3 * shape.Width + pair % shape.Heads * shape.HeadSize;

    /// <summary>
    /// Floats between rows of a block of scores: whole vectors, and an odd number of cache lines so that a column of the block, which
    /// backward walks along, is spread over all sets of the first-level cache.
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
            long floats = keys + values + BlockRows * ScoreRow + RegisterTile.MaxRows * (OutputRow + Vector<float>.Count + 2L);
            float* memory = (float*)threads.ScratchOf(member, floats * sizeof(float));
            KeysTransposed = new PackedMatrix(memory, size, tokens);
            Values = new PackedMatrix(memory += keys, tokens, size);
            Scores = memory += values;
            Outputs = memory += BlockRows * ScoreRow;
            Sums = (Vector<float>*)(memory += RegisterTile.MaxRows * OutputRow);
            Maxima = memory += RegisterTile.MaxRows * Vector<float>.Count;
            InverseSums = memory + RegisterTile.MaxRows;
        }

        public PackedMatrix KeysTransposed { get; }

        public PackedMatrix Values { get; }

        public float* Scores { get; }

        public nint ScoreRow { get; }

        /// <summary>Unscaled outputs of a tile of rows.</summary>
        public float* Outputs { get; }

        public nint OutputRow { get; }

        /// <summary>Of a tile of rows: sums of the exponentials, lane by lane.</summary>
        public Vector<float>* Sums { get; }

        /// <summary>Of a tile of rows.</summary>
        public float* Maxima { get; }

        /// <summary>Of a tile of rows: one over the sum of the exponentials.</summary>
        public float* InverseSums { get; }
    }
}
