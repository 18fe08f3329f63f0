using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Kernels;

/// <summary>The reference itself: its gradient must be the derivative of its forward pass.</summary>
internal sealed class AttentionReferenceTests
{
    [Test]
    public void BackwardIsTheDerivativeOfForward([Values] bool causal)
    {
        AttentionShape shape = new(2, 5, 2, 3);
        AttentionReference<double> reference = new(shape, causal);
        Random random = new(7);
        double[] qkv = [.. Enumerable.Range(0, 3 * shape.Rows * shape.Width).Select(_ => 2 * random.NextDouble() - 1)];
        double[] dy = [.. Enumerable.Range(0, shape.Rows * shape.Width).Select(_ => 2 * random.NextDouble() - 1)];
        (double[] y, double[] logSumExp) = reference.Forward(qkv);
        double[] gradient = reference.Backward(dy, y, qkv, logSumExp);
        const double step = 1e-5;
        for (int i = 0; i < qkv.Length; i++)
        {
            double value = qkv[i];
            qkv[i] = value + step;
            double above = Loss();
            qkv[i] = value - step;
            double below = Loss();
            qkv[i] = value;
            Assert.That(gradient[i], Is.EqualTo((above - below) / (2 * step)).Within(1e-9), $"element {i}");
        }

        double Loss() => reference.Forward(qkv).Y.Zip(dy, (a, b) => a * b).Sum();
    }

    [Test]
    public void ForwardIsAWeightedMeanWithKnownWeights()
    {
        // Two tokens of size 1: q = 1 throughout, k = 0 and ln 3, so the weights are 1/4 and 3/4 and v = 4, 8 mix to 7.
        AttentionReference<double> reference = new(new AttentionShape(1, 2, 1, 1), causal: false);
        (double[] y, double[] logSumExp) = reference.Forward([1, 0, 4, 1, Math.Log(3), 8]);
        Assert.That(y, Is.EqualTo(new double[] { 7, 7 }).Within(1e-14));
        Assert.That(logSumExp, Is.EqualTo(new[] { Math.Log(4), Math.Log(4) }).Within(1e-14));
    }
}
