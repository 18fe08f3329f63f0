namespace Patching.Kernels;

/// <summary>Inputs of an attention with what the references make of them.</summary>
internal sealed class AttentionCase
{
    private const int Orders = 8;

    public AttentionCase(float[] qkv, float[] dy, AttentionShape shape, bool causal)
    {
        (Qkv, Dy, Shape, Causal) = (qkv, dy, shape, causal);
        AttentionReference<double> reference = new(shape, causal);
        (double[] y, double[] saved) = reference.Forward(Doubles(qkv));
        double[] gradient = reference.Backward(Doubles(dy), y, Doubles(qkv), saved);
        Y = new Judged(y);
        LogSumExp = new Judged(saved);
        Gradient = new Judged(gradient);
        for (int seed = 0; seed < Orders; seed++)
        {
            AttentionReference<float> plain = new(shape, causal, new Random(seed));
            (float[] plainY, float[] plainSaved) = plain.Forward(qkv);
            Y.Add(plainY);
            LogSumExp.Add(plainSaved);
            Gradient.Add(plain.Backward(dy, Singles(y), qkv, Singles(saved)));
        }
    }

    public float[] Qkv { get; }

    public float[] Dy { get; }

    public AttentionShape Shape { get; }

    public bool Causal { get; }

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
