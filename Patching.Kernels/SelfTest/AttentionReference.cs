using System.Numerics;

namespace Patching.Kernels;

/// <summary>
/// Attention written down from its definition, with the whole matrix of probabilities in memory, in the precision of <typeparamref
/// name="T"/>: with double it is the reference, with float the yardstick for how much error the formula itself makes.
/// </summary>
/// <param name="shape">B, T, H, D.</param>
/// <param name="causal">Whether a token sees only itself and earlier tokens.</param>
/// <param name="order">
/// Where each dot product starts before it wraps around, the first element when null: same formula, other rounding. Where softmax
/// saturates, gradients are differences of two nearly equal dot products, and one order of summation may happen to make no error at all;
/// the worst of several orders is a fair yardstick.
/// </param>
/// <param name="operand">
/// What becomes of p and ds before they are multiplied, nothing when null: tensor cores want them rounded to bfloat16.
/// </param>
internal sealed class AttentionReference<T>(AttentionShape shape, bool causal, Random? order = null, Func<T, T>? operand = null)
    where T : IFloatingPointIeee754<T>
{
    private readonly T scale = T.One / T.Sqrt(T.CreateChecked(shape.HeadSize));

    /// <summary>y and logSumExp.</summary>
    public (T[] Y, T[] LogSumExp) Forward(T[] qkv)
    {
        T[] y = new T[shape.Rows * shape.Width], saved = new T[shape.Pairs * shape.Tokens];
        for (int pair = 0; pair < shape.Pairs; pair++)
            for (int i = 0; i < shape.Tokens; i++)
            {
                T[] scores = Scores(qkv, pair, i);
                T max = scores.Max()!, sum = T.Zero;
                foreach (T s in scores) sum += T.Exp(s - max);
                saved[pair * shape.Tokens + i] = max + T.Log(sum);
                for (int j = 0; j < scores.Length; j++)
                {
                    T p = Operand(T.Exp(scores[j] - max)) / sum;
                    for (int d = 0; d < shape.HeadSize; d++) y[Token(pair, i) + d] += p * qkv[Value(pair, j) + d];
                }
            }
        return (y, saved);
    }

    /// <summary>The gradient of qkv.</summary>
    public T[] Backward(T[] dy, T[] y, T[] qkv, T[] logSumExp)
    {
        T[] dqkv = new T[qkv.Length];
        for (int pair = 0; pair < shape.Pairs; pair++)
            for (int i = 0; i < shape.Tokens; i++)
            {
                T[] scores = Scores(qkv, pair, i);
                T delta = Dot(dy, Token(pair, i), y, Token(pair, i));
                for (int j = 0; j < scores.Length; j++)
                {
                    T p = T.Exp(scores[j] - logSumExp[pair * shape.Tokens + i]);
                    T ds = scale * Operand(p * (Dot(dy, Token(pair, i), qkv, Value(pair, j)) - delta));
                    p = Operand(p);
                    for (int d = 0; d < shape.HeadSize; d++)
                    {
                        dqkv[Query(pair, i) + d] += ds * qkv[Key(pair, j) + d];
                        dqkv[Key(pair, j) + d] += ds * qkv[Query(pair, i) + d];
                        dqkv[Value(pair, j) + d] += p * dy[Token(pair, i) + d];
                    }
                }
            }
        return dqkv;
    }

    private T[] Scores(T[] qkv, int pair, int query) =>
        [.. Enumerable.Range(0, causal ? query + 1 : shape.Tokens)
            .Select(key => scale * Dot(qkv, Query(pair, query), qkv, Key(pair, key)))];

    private T Dot(T[] a, int offsetA, T[] b, int offsetB)
    {
        int start = order?.Next(shape.HeadSize) ?? 0;
        T sum = T.Zero;
        for (int d = start; d < shape.HeadSize; d++) sum += a[offsetA + d] * b[offsetB + d];
        for (int d = 0; d < start; d++) sum += a[offsetA + d] * b[offsetB + d];
        return sum;
    }

    private T Operand(T value) => operand is null ? value : operand(value);

    private int Row(int pair, int token) => pair / shape.Heads * shape.Tokens + token;

    private int Token(int pair, int token) => Row(pair, token) * shape.Width + pair % shape.Heads * shape.HeadSize;

    private int Query(int pair, int token) => Row(pair, token) * 3 * shape.Width + pair % shape.Heads * shape.HeadSize;

    private int Key(int pair, int token) => Query(pair, token) + shape.Width;

    private int Value(int pair, int token) => Query(pair, token) + 2 * shape.Width;
}
