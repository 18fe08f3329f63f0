using System.Text.Json;
using NUnit.Framework;
using Patching.Kernels;
using static Patching.Kernels.CrossEntropyReference;
using static Patching.Kernels.Precision;
using static Patching.Tests.Kernels.Reference;

namespace Patching.Tests.Kernels;

internal sealed class CrossEntropyTests(DeviceKind kind, int threads) : KernelTest(kind, threads)
{
    [Test]
    public void MatchesDoublePrecision(
        [Values(1, 5)] int rows, [Values(1, 2, 8, 10, 37, 1000)] int classes, [Values(0f, 0.1f, 1f)] float smoothing,
        [Values(1, 30, 300)] double scale)
    {
        float[] logits = Normal((long)rows * classes, scale, scale);
        int[] labels = Integers(rows, classes);
        Tensor loss = Poisoned(rows), dlogits = Poisoned(rows, classes);
        CrossEntropy.Forward(Device, loss, dlogits, Tensor(logits, rows, classes), Tensor(labels, rows), smoothing, 0.25f);
        (double[] exactLoss, double[] exactGradient) = Forward<double>(Wide(logits), labels, smoothing, 0.25f);
        (double[] plainLoss, double[] plainGradient) = Forward<float>(Wide(logits), labels, smoothing, 0.25f);
        AssertClose(loss, exactLoss, plainLoss, "loss");
        AssertClose(dlogits, exactGradient, plainGradient, "dlogits");
    }

    [Test]
    public void WorksInPlaceAndWithoutGradient()
    {
        float[] logits = Normal(3 * 37);
        Tensor labels = Tensor([0, 36, 11], 3), inPlace = Tensor(logits, 3, 37), separate = Poisoned(3, 37), loss = Poisoned(3);
        Tensor lossInPlace = Poisoned(3), lossOnly = Poisoned(3);
        CrossEntropy.Forward(Device, loss, separate, inPlace, labels, 0.1f, 1);
        CrossEntropy.Forward(Device, lossOnly, default, inPlace, labels, 0.1f, 1);
        CrossEntropy.Forward(Device, lossInPlace, inPlace, inPlace, labels, 0.1f, 1);
        Assert.That(Contents(inPlace), Is.EqualTo(Contents(separate)));
        Assert.That(Contents(lossInPlace), Is.EqualTo(Contents(loss)));
        Assert.That(Contents(lossOnly), Is.EqualTo(Contents(loss)));
    }

    [Test]
    public void LabelsOutOfRangeGiveNaNInTheirRowOnly([Values(-1, 10, int.MinValue, int.MaxValue)] int label)
    {
        Tensor loss = Poisoned(2), dlogits = Tensor(new float[20], 2, 10);
        CrossEntropy.Forward(Device, loss, dlogits, Tensor(Normal(20), 2, 10), Tensor([label, 9], 2), 0.1f, 1);
        Assert.That(Contents(loss).Select(float.IsNaN), Is.EqualTo(new[] { true, false }));
        Assert.That(Contents(dlogits).Take(10), Is.All.NaN);
        Assert.That(Contents(dlogits).Skip(10), Is.All.Not.NaN);
    }

    [Test]
    public void ExtremeLogits()
    {
        float infinity = float.PositiveInfinity;
        float[] logits = [-infinity, 3f, 3f, 1e30f, -1e30f, 0f, float.NaN, 0f, 1f];
        Tensor loss = Poisoned(3), dlogits = Poisoned(3, 3);
        CrossEntropy.Forward(Device, loss, dlogits, Tensor(logits, 3, 3), Tensor([1, 0, 2], 3), 0, 1);
        float[] losses = Contents(loss), gradient = Contents(dlogits);
        Assert.That(losses[0], Is.EqualTo(MathF.Log(2)).Within(1e-6f));
        Assert.That(gradient.Take(3), Is.EqualTo(new[] { 0f, -0.5f, 0.5f }).Within(1e-6f));
        Assert.That(losses[1], Is.Zero);
        Assert.That(losses[2], Is.NaN);
    }

    [Test]
    public void MatchesTheOriginal([Range(0, 8)] int index)
    {
        JsonElement golden = Golden.Section("loss")[index];
        (int rows, int classes) = golden.GetProperty("logits").Extents();
        float[] logits = golden.GetProperty("logits").Floats();
        int[] labels = [.. golden.GetProperty("targets").Numbers().Select(v => (int)v)];
        Tensor loss = Poisoned(rows), dlogits = Poisoned(rows, classes);
        float smoothing = golden.GetProperty("smoothing").GetSingle();
        CrossEntropy.Forward(Device, loss, dlogits, Tensor(logits, rows, classes), Tensor(labels, rows), smoothing, 1f / rows);
        double expected = golden.GetProperty("loss").GetDouble();
        Assert.That(Contents(loss).Average(v => (double)v), Is.EqualTo(expected).Within(1e-6 * expected));
        // The golden logits are doubles: rounding them changes a probability by up to half a unit in the last place of the largest logit.
        double rounding = logits.Max(Math.Abs) * 6e-8 + 1e-7;
        Assert.That(Wide(Contents(dlogits)), Is.EqualTo(golden.GetProperty("grad").Numbers()).Within(rounding));
    }

    [Test]
    public void ReferenceGradientMatchesFiniteDifferences([Values(0f, 0.1f)] float smoothing)
    {
        double[] logits = Wide(Normal(3 * 5));
        int[] labels = [4, 0, 2];
        double Loss() => Forward<double>(logits, labels, smoothing, 1).Loss.Sum();
        Assert.That(Forward<double>(logits, labels, smoothing, 1).Gradient, Is.EqualTo(FiniteDifferences(Loss, logits)).Within(1e-7));
    }

    [Test]
    public void ImpossibleSmoothingIsRefused([Values(-0.1f, 1.1f, float.NaN)] float smoothing) =>
        Assert.That(
            () => CrossEntropy.Forward(Device, Poisoned(1), default, Poisoned(1, 3), Tensor([0], 1), smoothing, 1),
            Throws.InstanceOf<ArgumentOutOfRangeException>());
}
