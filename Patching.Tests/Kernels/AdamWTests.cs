using System.Text.Json;
using NUnit.Framework;
using Patching.Kernels;
using static Patching.Kernels.AdamWReference;
using static Patching.Kernels.Precision;

namespace Patching.Tests.Kernels;

internal sealed class AdamWTests(DeviceKind kind, int threads) : KernelTest(kind, threads)
{
    private static readonly AdamWSettings Settings = new(1e-3, 0.9, 0.98, 1e-6, 0.2);

    [Test]
    public void MatchesDoublePrecision([Values(1, 7, 8, 1031)] int count, [Values(1, 2, 1000)] int step, [Values] bool clip)
    {
        float[] p = Normal(count), m = Normal(count, 0.1), v = [.. Normal(count, 0.1).Select(x => x * x)], g = Normal(count);
        float coefficient = clip ? 0.37f : 1;
        Tensor tp = Tensor(p, count), tm = Tensor(m, count), tv = Tensor(v, count), tg = Tensor(g, count);
        AdamW.Step(Device, tp, tm, tv, tg, clip ? Tensor([float.NaN, coefficient], 2) : default, Settings, step);

        double[][] exact = [Wide(p), Wide(m), Wide(v)], plain = [Wide(p), Wide(m), Wide(v)];
        Step<double>(exact, Wide(g), coefficient, Settings, step);
        Step<float>(plain, Wide(g), coefficient, Settings, step);
        AssertClose(tm, exact[1], plain[1], "m");
        AssertClose(tv, exact[2], plain[2], "v");
        AssertClose(tp, exact[0], plain[0], "parameter");
        Assert.That(Contents(tg), Is.EqualTo(g));
    }

    [Test]
    public void FollowsTheOriginalOverSteps([Range(0, 2)] int index)
    {
        JsonElement golden = Golden.Section("adamw")[index];
        double[] betas = golden.GetProperty("betas").Numbers();
        AdamWSettings settings = new(
            golden.GetProperty("lr").GetDouble(), betas[0], betas[1], golden.GetProperty("eps").GetDouble(),
            golden.GetProperty("wd").GetDouble());
        float[] start = golden.GetProperty("p0").Floats();
        JsonElement gradients = golden.GetProperty("grads"), expected = golden.GetProperty("params");
        Tensor p = Tensor(start, start.Length), m = Tensor(new float[start.Length], start.Length),
            v = Tensor(new float[start.Length], start.Length);
        for (int step = 1; step <= gradients.GetArrayLength(); step++)
        {
            AdamW.Step(Device, p, m, v, Tensor(gradients[step - 1].Floats(), start.Length), default, settings, step);
            // Each step rounds the parameter once: half a unit in the last place of numbers below 2.
            Assert.That(Wide(Contents(p)), Is.EqualTo(expected[step - 1].Numbers()).Within(step * 1.3e-7), $"step {step}");
        }
    }

    [Test]
    public void ZeroGradientOnlyDecays()
    {
        Tensor p = Tensor([2f, 0f], 2), m = Tensor(new float[2], 2), v = Tensor(new float[2], 2);
        AdamW.Step(Device, p, m, v, Tensor(new float[2], 2), default, new AdamWSettings(0.5, WeightDecay: 0.5), 1);
        Assert.That(Contents(p), Is.EqualTo(new[] { 1.5f, 0f }));
    }

    [Test]
    public void NaNCoefficientIsNotHidden()
    {
        Tensor p = Tensor([2f], 1), m = Tensor([0f], 1), v = Tensor([0f], 1);
        AdamW.Step(Device, p, m, v, Tensor([1f], 1), Tensor([1f, float.NaN], 2), Settings, 1);
        Assert.That(Contents(p)[0], Is.NaN);
    }

    [Test]
    public void StepsCountFromOne() =>
        Assert.That(
            () => AdamW.Step(Device, Poisoned(1), Poisoned(1), Poisoned(1), Poisoned(1), default, Settings, 0),
            Throws.InstanceOf<ArgumentOutOfRangeException>());
}
