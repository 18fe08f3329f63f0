namespace Patching.Kernels;

/// <summary>
/// Attention with the roundings of a kernel on tensor cores and no others: probabilities and the gradient of scores become bfloat16 before they are multiplied, the
/// results become bfloat16, everything else is double precision. The yardstick of <see cref="RoundedAttentionChecks"/>.
/// </summary>
internal sealed class RoundedAttentionReference(AttentionShape shape, bool causal)
{
    private readonly double scale = 1 / Math.Sqrt(shape.HeadSize);

    /// <summary>y, rounded, and logSumExp in single precision.</summary>
    public (double[] Y, double[] LogSumExp) Forward(float[] qkv)
    {
        double[] y = new double[shape.Rows * shape.Width], saved = new double[shape.Pairs * shape.Tokens];
        for (int pair = 0; pair < shape.Pairs; pair++)
            for (int i = 0; i < shape.Tokens; i++)
            {
                double[] scores = Scores(qkv, pair, i);
                double max = scores.Max(), sum = scores.Sum(s => Math.Exp(s - max));
                saved[pair * shape.Tokens + i] = (float)(max + Math.Log(sum));
                for (int d = 0; d < shape.HeadSize; d++)
                {
                    // The numerators are rounded, as a kernel that learns the sum last has to do it.
                    double weighted = scores.Select((s, j) => BFloat16.Round((float)Math.Exp(s - max)) * (double)qkv[Value(pair, j) + d]).Sum();
                    y[Token(pair, i) + d] = BFloat16.Round((float)(weighted / sum));
                }
            }
        return (y, saved);
    }

    /// <summary>The gradient of qkv, rounded.</summary>
    public double[] Backward(float[] dy, float[] y, float[] qkv, float[] logSumExp)
    {
        double[] dqkv = new double[qkv.Length];
        for (int pair = 0; pair < shape.Pairs; pair++)
            for (int i = 0; i < shape.Tokens; i++)
            {
                double[] scores = Scores(qkv, pair, i);
                double delta = Dot(dy, Token(pair, i), y, Token(pair, i));
                for (int j = 0; j < scores.Length; j++)
                {
                    double p = Math.Exp(scores[j] - logSumExp[pair * shape.Tokens + i]);
                    double ds = scale * BFloat16.Round((float)(p * (Dot(dy, Token(pair, i), qkv, Value(pair, j)) - delta)));
                    double rounded = BFloat16.Round((float)p);
                    for (int d = 0; d < shape.HeadSize; d++)
                    {
                        dqkv[Query(pair, i) + d] += ds * qkv[Key(pair, j) + d];
                        dqkv[Key(pair, j) + d] += ds * qkv[Query(pair, i) + d];
                        dqkv[Value(pair, j) + d] += rounded * dy[Token(pair, i) + d];
                    }
                }
            }
        return Trial.Round(dqkv);
    }

    private double[] Scores(float[] qkv, int pair, int query) =>
        [.. Enumerable.Range(0, causal ? query + 1 : shape.Tokens).Select(key => scale * Dot(qkv, Query(pair, query), qkv, Key(pair, key)))];

    private double Dot(float[] a, int offsetA, float[] b, int offsetB)
    {
        double sum = 0;
        for (int d = 0; d < shape.HeadSize; d++) sum += (double)a[offsetA + d] * b[offsetB + d];
        return sum;
    }

    private int Row(int pair, int token) => pair / shape.Heads * shape.Tokens + token;

    private int Token(int pair, int token) => Row(pair, token) * shape.Width + pair % shape.Heads * shape.HeadSize;

    private int Query(int pair, int token) => Row(pair, token) * 3 * shape.Width + pair % shape.Heads * shape.HeadSize;

    private int Key(int pair, int token) => Query(pair, token) + shape.Width;

    private int Value(int pair, int token) => Query(pair, token) + 2 * shape.Width;
}
