namespace Patching.Kernels;

/// <summary>Self-test of <see cref="Attention"/>, causal and not.</summary>
internal static class AttentionChecks
{
    /// <summary>All checks; <paramref name="small"/> ones where arithmetic is slow.</summary>
    public static IEnumerable<SelfTestCheck> All(bool small)
    {
        AttentionShape[] shapes = small
            ? [new(2, 3, 1, 2), new(2, 7, 3, 5), new(1, 17, 2, 16)]
            : [new(2, 3, 1, 2), new(2, 61, 3, 33), new(1, 77, 4, 64)];
        foreach (AttentionShape shape in shapes)
            foreach (bool causal in (bool[])[false, true])
            {
                string suffix = causal ? " causal" : "", size = $"{shape.Batch}x{shape.Tokens}x{shape.Heads}x{shape.HeadSize}";
                yield return new SelfTestCheck("Attention.Forward" + suffix, size, trial => Forward(trial, Case(trial, shape, causal)));
                yield return new SelfTestCheck("Attention.Backward" + suffix, size, trial => Backward(trial, Case(trial, shape, causal)));
            }
    }

    private static AttentionCase Case(Trial trial, AttentionShape shape, bool causal) =>
        new(trial.Normal(3L * shape.Rows * shape.Width), trial.Normal((long)shape.Rows * shape.Width), shape, causal);

    private static void Forward(Trial trial, AttentionCase c)
    {
        AttentionShape shape = c.Shape;
        Tensor y = trial.Poisoned(shape.Rows, shape.Width), saved = trial.Poisoned(shape.Batch, shape.Heads, shape.Tokens);
        Tensor alone = trial.Poisoned(shape.Rows, shape.Width), qkv = trial.Tensor(c.Qkv, shape.Rows, 3 * shape.Width);
        trial.Launch(() => Attention.Forward(trial.Device, y, saved, qkv, shape, c.Causal));
        trial.Launch(() => Attention.Forward(trial.Device, alone, default, qkv, shape, c.Causal));
        trial.Compare("y", y, c.Y.Exact, c.Y.Plain);
        trial.Compare("logSumExp", saved, c.LogSumExp.Exact, c.LogSumExp.Plain);
        trial.Compare("y without logSumExp", alone, c.Y.Exact, c.Y.Plain);
    }

    private static void Backward(Trial trial, AttentionCase c)
    {
        AttentionShape shape = c.Shape;
        float[] Singles(double[] values) => [.. values.Select(v => (float)v)];
        Tensor dqkv = trial.Poisoned(shape.Rows, 3 * shape.Width), delta = trial.Poisoned(shape.Batch, shape.Heads, shape.Tokens);
        Tensor dy = trial.Tensor(c.Dy, shape.Rows, shape.Width), y = trial.Tensor(Singles(c.Y.Exact), shape.Rows, shape.Width);
        Tensor qkv = trial.Tensor(c.Qkv, shape.Rows, 3 * shape.Width);
        Tensor saved = trial.Tensor(Singles(c.LogSumExp.Exact), shape.Batch, shape.Heads, shape.Tokens);
        trial.Launch(() => Attention.Backward(trial.Device, dqkv, dy, y, qkv, saved, delta, shape, c.Causal));
        float[] gradient = dqkv.ToArray();
        // q, k and v have their own magnitudes and are judged by them.
        for (int part = 0; part < 3; part++)
        {
            T[] Part<T>(T[] all) => [.. all.Where((_, i) => i / shape.Width % 3 == part)];
            trial.Compare($"d{"qkv"[part]}", Part(gradient), Part(c.Gradient.Exact), Part(c.Gradient.Plain));
        }
    }
}
