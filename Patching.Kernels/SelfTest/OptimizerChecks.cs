using static Patching.Kernels.Precision;

namespace Patching.Kernels;

/// <summary>Self-test of what runs over all parameters at once: <see cref="GradientNorm"/>, <see cref="AdamW"/>, <see cref="Interpolation"/>, <see cref="SquaredSum"/>.</summary>
internal static class OptimizerChecks
{
    private static readonly AdamWSettings Settings = new(1e-3, 0.9, 0.98, 1e-6, 0.2);

    /// <summary>All checks; <paramref name="small"/> ones where arithmetic is slow.</summary>
    public static IEnumerable<SelfTestCheck> All(bool small)
    {
        int[] counts = small ? [7, 1031] : [7, 50021, 768 * 3072];
        foreach (int count in counts)
        {
            yield return new SelfTestCheck("GradientNorm.Forward", $"{count}", trial => Norm(trial, count));
            yield return new SelfTestCheck("AdamW.Step", $"{count}", trial => Step(trial, count, clip: false, step: 1));
            yield return new SelfTestCheck("AdamW.Step clip", $"{count}", trial => Step(trial, count, clip: true, step: 1000));
            yield return new SelfTestCheck("SquaredSum.Forward", $"{count}", trial => Squares(trial, count));
            foreach (double alpha in (double[])[0, 0.3, 1])
                yield return new SelfTestCheck(FormattableString.Invariant($"Interpolation.Forward {alpha}"), $"{count}", trial => Interpolate(trial, count, alpha));
        }
    }

    private static void Norm(Trial trial, int count)
    {
        float[] gradient = trial.Normal(count, 0.01);
        Tensor result = trial.Poisoned(2), tgradient = trial.Tensor(gradient, count), scratch = trial.Poisoned(GradientNorm.ScratchLength);
        double norm = Math.Sqrt(gradient.Sum(g => (double)g * g)), limit = (float)(norm / 2);
        trial.Launch(() => GradientNorm.Forward(trial.Device, result, tgradient, scratch, (float)limit));
        // The sum must be as good as double precision: a plain version may only round the two results.
        double[] exact = [norm, Math.Min(1, limit / (norm + 1e-6))];
        float[] values = result.ToArray();
        for (int i = 0; i < 2; i++) trial.Compare(i == GradientNorm.Norm ? "norm" : "coefficient", [values[i]], [exact[i]], [(float)exact[i]]);
    }

    private static void Step(Trial trial, int count, bool clip, int step)
    {
        float[] p = trial.Normal(count), m = trial.Normal(count, 0.1), v = [.. trial.Normal(count, 0.1).Select(x => x * x)], g = trial.Normal(count);
        float coefficient = clip ? 0.37f : 1;
        Tensor tp = trial.Tensor(p, count), tm = trial.Tensor(m, count), tv = trial.Tensor(v, count), tg = trial.Tensor(g, count);
        Tensor tclip = clip ? trial.Tensor([float.NaN, coefficient], 2) : default;
        trial.Launch(() => AdamW.Step(trial.Device, tp, tm, tv, tg, tclip, Settings, step));
        double[][] exact = [Wide(p), Wide(m), Wide(v)], plain = [Wide(p), Wide(m), Wide(v)];
        AdamWReference.Step<double>(exact, Wide(g), coefficient, Settings, step);
        AdamWReference.Step<float>(plain, Wide(g), coefficient, Settings, step);
        trial.Compare("parameter", tp, exact[0], plain[0]);
        trial.Compare("m", tm, exact[1], plain[1]);
        trial.Compare("v", tv, exact[2], plain[2]);
        trial.CompareExactly("gradient, which must stay as it was", tg, g);
    }

    private static void Squares(Trial trial, int count)
    {
        float[] before = trial.Normal(count), x = trial.Normal(count);
        Tensor y = trial.Tensor(before, count), tx = trial.Tensor(x, count);
        trial.Launch(() => SquaredSum.Forward(trial.Device, y, tx));
        trial.CompareExactly("y", y, [.. before.Zip(x, (sum, value) => sum + (float)(value * value))]);
    }

    private static void Interpolate(Trial trial, int count, double alpha)
    {
        float[] a = trial.Normal(count), b = trial.Normal(count);
        float weight0 = (float)(1 - alpha), weight1 = (float)alpha;
        Tensor y = trial.Poisoned(count), inPlace = trial.Tensor(b, count), ta = trial.Tensor(a, count), tb = trial.Tensor(b, count);
        trial.Launch(() => Interpolation.Forward(trial.Device, y, ta, tb, alpha));
        trial.Launch(() => Interpolation.Forward(trial.Device, inPlace, ta, inPlace, alpha));
        // Each product and the sum is rounded once; the casts keep a compiler from fusing them.
        float[] expected = [.. a.Zip(b, (x, z) => (float)((float)(weight0 * x) + (float)(weight1 * z)))];
        trial.CompareExactly("y", y, expected);
        trial.CompareExactly("y in place", inPlace, expected);
    }
}
