using System.Text.Json;
using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Kernels;

internal sealed class GradientNormTests(DeviceKind kind, int threads) : KernelTest(kind, threads)
{
    [Test]
    public void IsCorrectToTheLastBits([Values(1, 7, 1031, 50021)] int count, [Values(1e-6, 0.01, 1e25)] double scale)
    {
        float[] gradient = Normal(count, scale);
        double norm = Math.Sqrt(gradient.Sum(g => (double)g * g));
        float[] result = Run(gradient, 1);
        Assert.That(result[GradientNorm.Norm], Is.EqualTo(norm).Within(1e-7 * norm));
        double coefficient = Math.Min(1, 1 / (norm + 1e-6));
        Assert.That(result[GradientNorm.Coefficient], Is.EqualTo(coefficient).Within(1e-7 * coefficient));
    }

    [TestCase(5f, 1f)]
    [TestCase(1f, 0.2f)]
    [TestCase(float.PositiveInfinity, 1f)]
    public void ClipsOnlyAboveTheLimit(float maxNorm, float coefficient)
    {
        // 3-4-5 in every hundredth element.
        float[] gradient = new float[200];
        gradient[3] = 3;
        gradient[199] = -4;
        float[] result = Run(gradient, maxNorm);
        Assert.That(result[GradientNorm.Norm], Is.EqualTo(5f));
        Assert.That(result[GradientNorm.Coefficient], Is.EqualTo(coefficient).Within(1e-6f).And.LessThanOrEqualTo(coefficient));
    }

    [Test]
    public void ZeroGradientIsNotScaled() => Assert.That(Run(new float[33], 1), Is.EqualTo(new[] { 0f, 1f }));

    [Test]
    public void UnusableNormGivesNaN(
        [Values(float.NaN, float.PositiveInfinity, float.NegativeInfinity)] float poison, [Values(0, 500, 1030)] int at)
    {
        float[] gradient = Normal(1031);
        gradient[at] = poison;
        float[] result = Run(gradient, 1);
        Assert.That(float.IsFinite(result[GradientNorm.Norm]), Is.False);
        Assert.That(result[GradientNorm.Coefficient], Is.NaN);
    }

    [Test]
    public void NormBeyondSinglePrecisionGivesNaN() =>
        Assert.That(Run([3e38f, 3e38f], 1), Is.EqualTo(new[] { float.PositiveInfinity, float.NaN }));

    [Test]
    public void MatchesTheOriginal([Range(0, 2)] int index)
    {
        JsonElement golden = Golden.Section("clip_grad_norm")[index];
        float[] gradient = [.. golden.GetProperty("a").Floats(), .. golden.GetProperty("b").Floats()];
        double[] clipped = [.. golden.GetProperty("a_clipped").Numbers(), .. golden.GetProperty("b_clipped").Numbers()];
        float[] result = Run(gradient, golden.GetProperty("max_norm").GetSingle());
        double norm = golden.GetProperty("total_norm").GetDouble();
        Assert.That(result[GradientNorm.Norm], Is.EqualTo(norm).Within(2e-7 * norm));
        Assert.That(gradient.Select(g => (double)(g * result[GradientNorm.Coefficient])),
            Is.EqualTo(clipped).Within(3e-7 * clipped.Max(Math.Abs)));
    }

    [Test]
    public void DoesNotDependOnTheNumberOfThreads()
    {
        if (!Device.IsHost) Assert.Ignore("a property of the host");
        float[] gradient = Normal(100003);
        using Device other = Device.Open(DeviceKind.Host, 2);
        Assert.That(Reference.Bits(Run(gradient, 1)), Is.EqualTo(Reference.Bits(Run(other, gradient))));
    }

    [Test]
    public void ImpossibleLimitsAreRefused([Values(0f, -1f, float.NaN)] float maxNorm) =>
        Assert.That(() => Run([1f], maxNorm), Throws.InstanceOf<ArgumentOutOfRangeException>());

    private float[] Run(float[] gradient, float maxNorm)
    {
        Tensor result = Poisoned(2);
        GradientNorm.Forward(Device, result, Tensor(gradient, gradient.Length), Poisoned(GradientNorm.ScratchLength), maxNorm);
        return Contents(result);
    }

    private static float[] Run(Device device, float[] gradient)
    {
        Tensor result = default, input = default, scratch = default;
        using Arena arena = Arena.Allocate(device, "test", layout =>
        {
            result = layout.Take("result", 2);
            input = layout.Take("gradient", gradient.Length);
            scratch = layout.Take("scratch", GradientNorm.ScratchLength);
        });
        input.CopyFrom(gradient);
        GradientNorm.Forward(device, result, input, scratch, 1);
        return result.ToArray();
    }
}
