using ILGPU;
using ILGPU.Algorithms;

namespace Patching.Kernels;

/// <content>
/// The plain kernels: one thread per (sequence, head, token). A thread accumulates straight into the output row that it alone owns, so
/// nothing of size T is held anywhere and nothing needs an atomic.
/// </content>
public static partial class Attention
{
    /// <summary>
    /// One query. The softmax runs online (Milakov and Gimelshein 2018): whenever a score exceeds the largest so far, what has been
    /// summed is scaled down by exp(old maximum - new maximum), so one pass over the keys suffices and no exponent is positive.
    /// </summary>
    private static void ForwardKernel(
        Index1D index, ArrayView<float> y, ArrayView<float> logSumExp, ArrayView<float> qkv, AttentionShape shape, int causal,
        int saveLogSumExp)
    {
        int query = index % shape.Tokens;
        long q = ProjectionOffset(index, query, shape), output = TokenOffset(index, query, shape);
        int keys = VisibleKeys(query, shape.Tokens, causal);
        float scale = 1 / XMath.Sqrt((float)shape.HeadSize);
        float max = float.NegativeInfinity, sum = 0;
        for (int d = 0; d < shape.HeadSize; d++) y[output + d] = 0;
        for (int key = 0; key < keys; key++)
        {
            long k = ProjectionOffset(index, key, shape) + shape.Width, v = k + shape.Width;
            float score = scale * Dot(qkv, q, qkv, k, shape.HeadSize);
            float newMax = XMath.Max(max, score);
            float correction = XMath.Exp(max - newMax), p = XMath.Exp(score - newMax);
            for (int d = 0; d < shape.HeadSize; d++) y[output + d] = correction * y[output + d] + p * qkv[v + d];
            sum = correction * sum + p;
            max = newMax;
        }
        for (int d = 0; d < shape.HeadSize; d++) y[output + d] /= sum;
        if (saveLogSumExp != 0) logSumExp[index] = max + XMath.Log(sum);
    }

    /// <summary>
    /// One query: <c>delta_i = dy_i . y_i</c>, which equals sum_j p_ij dp_ij, the term that softmax's derivative subtracts.
    /// </summary>
    private static void DeltaKernel(Index1D index, ArrayView<float> delta, ArrayView<float> dy, ArrayView<float> y, AttentionShape shape)
    {
        long row = TokenOffset(index, index % shape.Tokens, shape);
        delta[index] = Dot(dy, row, y, row, shape.HeadSize);
    }

    /// <summary>One query: dq_i, summed over the keys it sees.</summary>
    private static void QueryGradientKernel(
        Index1D index, ArrayView<float> dqkv, ArrayView<float> dy, ArrayView<float> qkv, ArrayView<float> logSumExp, ArrayView<float> delta,
        AttentionShape shape, int causal)
    {
        int query = index % shape.Tokens;
        long q = ProjectionOffset(index, query, shape), output = TokenOffset(index, query, shape);
        int keys = VisibleKeys(query, shape.Tokens, causal);
        float scale = 1 / XMath.Sqrt((float)shape.HeadSize);
        for (int d = 0; d < shape.HeadSize; d++) dqkv[q + d] = 0;
        for (int key = 0; key < keys; key++)
        {
            long k = ProjectionOffset(index, key, shape) + shape.Width, v = k + shape.Width;
            float p = XMath.Exp(scale * Dot(qkv, q, qkv, k, shape.HeadSize) - logSumExp[index]);
            float ds = scale * p * (Dot(dy, output, qkv, v, shape.HeadSize) - delta[index]);
            for (int d = 0; d < shape.HeadSize; d++) dqkv[q + d] += ds * qkv[k + d];
        }
    }

    /// <summary>One key: dk_j and dv_j, summed over the queries that see it.</summary>
    private static void KeyValueGradientKernel(
        Index1D index, ArrayView<float> dqkv, ArrayView<float> dy, ArrayView<float> qkv, ArrayView<float> logSumExp, ArrayView<float> delta,
        AttentionShape shape, int causal)
    {
        int key = index % shape.Tokens;
        int firstOfPair = index - key;
        long k = ProjectionOffset(index, key, shape) + shape.Width, v = k + shape.Width;
        float scale = 1 / XMath.Sqrt((float)shape.HeadSize);
        for (int d = 0; d < shape.HeadSize; d++)
        {
            dqkv[k + d] = 0;
            dqkv[v + d] = 0;
        }
        for (int query = causal * key; query < shape.Tokens; query++)
        {
            long q = ProjectionOffset(index, query, shape), output = TokenOffset(index, query, shape);
            float p = XMath.Exp(scale * Dot(qkv, q, qkv, k, shape.HeadSize) - logSumExp[firstOfPair + query]);
            float ds = scale * p * (Dot(dy, output, qkv, v, shape.HeadSize) - delta[firstOfPair + query]);
            for (int d = 0; d < shape.HeadSize; d++)
            {
                dqkv[k + d] += ds * qkv[q + d];
                dqkv[v + d] += p * dy[output + d];
            }
        }
    }

    /// <summary>
    /// Keys that a query sees: all, or those up to itself. Arithmetic instead of a choice, here and in the first query of a key: for a
    /// value that threads choose alike but from different numbers, ILGPU 1.5.3 marks the branch of the loop as uniform on CUDA, which it
    /// is not.
    /// </summary>
    private static int VisibleKeys(int query, int tokens, int causal) => tokens - causal * (tokens - 1 - query);

    private static float Dot(ArrayView<float> a, long offsetA, ArrayView<float> b, long offsetB, int count)
    {
        float sum = 0;
        for (int d = 0; d < count; d++) sum += a[offsetA + d] * b[offsetB + d];
        return sum;
    }

    /// <summary>Where a token's query of this thread's sequence and head starts in qkv; its key lies C further, its value 2C.</summary>
    private static long ProjectionOffset(int index, int token, AttentionShape shape)
    {
        int pair = index / shape.Tokens;
        long row = (long)(pair / shape.Heads) * shape.Tokens + token;
        return row * 3 * shape.Width + pair % shape.Heads * shape.HeadSize;
    }

    /// <summary>Where the same token's output starts in y and dy.</summary>
    private static long TokenOffset(int index, int token, AttentionShape shape)
    {
        int pair = index / shape.Tokens;
        long row = (long)(pair / shape.Heads) * shape.Tokens + token;
        return row * shape.Width + pair % shape.Heads * shape.HeadSize;
    }
}
