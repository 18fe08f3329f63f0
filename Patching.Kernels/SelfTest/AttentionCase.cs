namespace Patching.Kernels;

/// <summary>Inputs of an attention with what the references make of them.</summary>
internal sealed class AttentionCase
{
    private const int Orders = 8;

    /// <param name="qkv">[B*T, 3C].</param>
    /// <param name="dy">[B*T, C].</param>
    /// <param name="shape">B, T, H, D.</param>
    /// <param name="causal">Whether a token sees only itself and earlier tokens.</param>
    /// <param name="rounded">
    /// Whether the matrices are bfloat16: the inputs are rounded first, y on its way into the backward pass too, and the plain version also rounds its results and
    /// what it multiplies.
    /// </param>
    public AttentionCase(float[] qkv, float[] dy, AttentionShape shape, bool causal, bool rounded = false)
    {
        float[] Rounded(float[] values) => rounded ? [.. values.Select(BFloat16.Round)] : values;
        (qkv, dy) = (Rounded(qkv), Rounded(dy));
        (Qkv, Dy, Shape, Causal) = (qkv, dy, shape, causal);
        AttentionReference<double> reference = new(shape, causal);
        (double[] y, double[] saved) = reference.Forward(Doubles(qkv));
        BackwardY = Rounded(Singles(y));
        double[] gradient = reference.Backward(Doubles(dy), rounded ? Doubles(BackwardY) : y, Doubles(qkv), saved);
        Y = new Judged(y);
        LogSumExp = new Judged(saved);
        Gradient = new Judged(gradient);
        for (int seed = 0; seed < Orders; seed++)
        {
            AttentionReference<float> plain = new(shape, causal, new Random(seed), rounded ? BFloat16.Round : null);
            (float[] plainY, float[] plainSaved) = plain.Forward(qkv);
            Y.Add(Rounded(plainY));
            LogSumExp.Add(plainSaved);
            Gradient.Add(Rounded(plain.Backward(dy, BackwardY, qkv, Singles(saved))));
        }
    }

    public float[] Qkv { get; }

    public float[] Dy { get; }

    public AttentionShape Shape { get; }

    public bool Causal { get; }

    /// <summary>The y that the backward pass is given.</summary>
    public float[] BackwardY { get; }

    public Judged Y { get; }

    public Judged LogSumExp { get; }

    public Judged Gradient { get; }

    private static double[] Doubles(float[] values) => [.. values.Select(v => (double)v)];

    private static float[] Singles(double[] values) => [.. values.Select(v => (float)v)];

    /// <summary>An exact result and, element by element, the worst that single precision made of it.</summary>
    internal sealed class Judged(double[] exact)
    {
        public double[] Exact { get; } = exact;

        public double[] Plain { get; } = [.. exact];

        public void Add(float[] plain)
        {
            for (int i = 0; i < plain.Length; i++)
                if (Math.Abs(plain[i] - Exact[i]) > Math.Abs(Plain[i] - Exact[i])) Plain[i] = plain[i];
        }
    }
}
