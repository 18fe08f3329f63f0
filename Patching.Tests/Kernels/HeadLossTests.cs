using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Kernels;

internal sealed class HeadLossTests(DeviceKind kind, int threads) : KernelTest(kind, threads)
{
    /// <summary>Batch, classes, columns.</summary>
    private static readonly int[][] Shapes = [[1, 1, 1], [1, 2, 3], [5, 10, 16], [3, 37, 13], [9, 101, 64]];

    [Test]
    public void MatchesDoublePrecision([ValueSource(nameof(Shapes))] int[] shape, [Values(0, 0.1f)] float smoothing)
    {
        (int batch, int classes, int width) = (shape[0], shape[1], shape[2]);
        HeadLossCase given = new(Normal(batch * width, 0.3), Normal(classes * width, 10), Integers(batch, classes), smoothing);
        Tensor losses = Poisoned(batch), dfeatures = Poisoned(batch, width), features = Tensor(given.Features, batch, width);
        Tensor scratch = Poisoned(HeadLoss.ScratchLength(batch, classes, width));
        HeadLoss.Forward(Device, losses, dfeatures, features, Tensor(given.Head, classes, width), Tensor(given.Labels, batch), smoothing, scratch);
        (double[] exactLosses, double[] exactGradient) = given.Reference<double>();
        (double[] plainLosses, double[] plainGradient) = given.Reference<float>();
        AssertClose(losses, exactLosses, plainLosses, "losses");
        AssertClose(dfeatures, exactGradient, plainGradient, "dFeatures");
        Assert.That(Contents(features), Is.EqualTo(given.Features), "features must not change");
    }

    [Test]
    public void ScratchOfAFullBatchServesAShortOne()
    {
        Tensor scratch = Poisoned(HeadLoss.ScratchLength(7, 10, 16)), losses = Poisoned(2), gradient = Poisoned(2, 16), head = Tensor(Normal(160), 10, 16);
        Tensor features = Tensor(Normal(32), 2, 16), labels = Tensor([3, 9], 2);
        HeadLoss.Forward(Device, losses, gradient, features, head, labels, 0, scratch);
        Assert.That(Contents(losses), Has.None.NaN);
        Assert.That(Contents(gradient), Has.None.NaN);
    }

    [Test]
    public void LabelsOutsideTheClassesGiveNaNInTheirRows([Values(-1, 10, int.MaxValue)] int label)
    {
        Tensor scratch = Poisoned(HeadLoss.ScratchLength(3, 10, 4)), losses = Poisoned(3), gradient = Poisoned(3, 4);
        HeadLoss.Forward(Device, losses, gradient, Tensor(Normal(12), 3, 4), Tensor(Normal(40), 10, 4), Tensor([0, label, 9], 3), 0.1f, scratch);
        Assert.That(Contents(losses).Select(float.IsNaN), Is.EqualTo(new[] { false, true, false }));
        Assert.That(Contents(gradient).Chunk(4).Select(row => row.All(float.IsNaN)), Is.EqualTo(new[] { false, true, false }));
        Assert.That(Contents(gradient).Count(float.IsNaN), Is.EqualTo(4));
    }

    [Test]
    public void WrongArgumentsAreRefused()
    {
        Tensor f = Poisoned(2, 4), head = Poisoned(3, 4), labels = Tensor([0, 1], 2), losses = Poisoned(2), scratch = Poisoned(HeadLoss.ScratchLength(2, 3, 4));
        Assert.That(() => HeadLoss.Forward(Device, losses, f, f, Poisoned(3, 5), labels, 0, scratch), Throws.ArgumentException);
        Assert.That(() => HeadLoss.Forward(Device, losses, f, f, head, labels, 0, Poisoned(8)), Throws.ArgumentException.With.Message.Contains("scratch"));
        Assert.That(() => HeadLoss.Forward(Device, losses, f, f, head, labels, 1.5f, scratch), Throws.InstanceOf<ArgumentOutOfRangeException>());
        Assert.That(
            () => HeadLoss.Forward(Device, losses, PoisonedBFloats(2, 4), f, head, labels, 0, scratch), Throws.ArgumentException.With.Message.Contains("CUDA"));
    }
}
