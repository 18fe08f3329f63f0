namespace Patching.Kernels;

/// <summary>Self-test of <see cref="Attention"/> on bfloat16 tensors: the head sizes and token counts of the models, and awkward ones.</summary>
internal static class RoundedAttentionChecks
{
    /// <summary>All checks; <paramref name="small"/> ones where arithmetic is slow.</summary>
    public static IEnumerable<SelfTestCheck> All(bool small)
    {
        AttentionShape[] shapes = small ? [new(2, 5, 2, 16), new(1, 50, 1, 64)] : [new(2, 5, 2, 16), new(2, 50, 3, 64), new(1, 77, 2, 80), new(1, 257, 2, 64)];
        foreach (AttentionShape shape in shapes)
            foreach (bool causal in (bool[])[false, true])
            {
                string suffix = causal ? " causal" : "", size = $"{shape.Batch}x{shape.Tokens}x{shape.Heads}x{shape.HeadSize}";
                yield return new SelfTestCheck("Attention.Forward bf16" + suffix, size, trial => Check(trial, shape, causal, backward: false));
                yield return new SelfTestCheck("Attention.Backward bf16" + suffix, size, trial => Check(trial, shape, causal, backward: true));
            }
    }

    private static void Check(Trial trial, AttentionShape shape, bool causal, bool backward)
    {
        float[] values = trial.NormalRounded(3L * shape.Rows * shape.Width), gradient = trial.NormalRounded((long)shape.Rows * shape.Width);
        AttentionReference<double> exact = new(shape, causal);
        RoundedAttentionReference plain = new(shape, causal);
        (double[] y, double[] logSumExp) = exact.Forward(Precision.Wide(values));
        Tensor qkv = trial.Rounded(values, shape.Rows, 3 * shape.Width);
        if (!backward)
        {
            (double[] plainY, double[] plainLog) = plain.Forward(values);
            Tensor output = trial.PoisonedRounded(shape.Rows, shape.Width), saved = trial.Poisoned(shape.Batch, shape.Heads, shape.Tokens);
            trial.Launch(() => Attention.Forward(trial.Device, output, saved, qkv, shape, causal));
            trial.Compare("y", output, y, plainY);
            trial.Compare("logSumExp", saved, logSumExp, plainLog);
            return;
        }
        // Both sides start from the same rounded output and the same statistics.
        float[] roundedY = Trial.Round([.. y.Select(v => (float)v)]), log = [.. logSumExp.Select(v => (float)v)];
        double[] reference = exact.Backward(Precision.Wide(gradient), Precision.Wide(roundedY), Precision.Wide(values), Precision.Wide(log));
        double[] plainGradient = plain.Backward(gradient, roundedY, values, log);
        Tensor dqkv = trial.PoisonedRounded(shape.Rows, 3 * shape.Width), delta = trial.Poisoned(shape.Batch, shape.Heads, shape.Tokens);
        Tensor dy = trial.Rounded(gradient, shape.Rows, shape.Width), forward = trial.Rounded(roundedY, shape.Rows, shape.Width);
        Tensor statistics = trial.Tensor(log, shape.Batch, shape.Heads, shape.Tokens);
        trial.Launch(() => Attention.Backward(trial.Device, dqkv, dy, forward, qkv, statistics, delta, shape, causal));
        float[] actual = dqkv.ToArray();
        // q, k and v have their own magnitudes and are judged by them.
        for (int part = 0; part < 3; part++)
        {
            T[] Part<T>(T[] all) => [.. all.Where((_, i) => i / shape.Width % 3 == part)];
            trial.Compare($"d{"qkv"[part]}", Part(actual), Part(reference), Part(plainGradient));
        }
    }
}
