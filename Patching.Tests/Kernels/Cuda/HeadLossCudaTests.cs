using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Kernels.Cuda;

/// <summary>The fused head and loss, against double precision computed from the rounded inputs.</summary>
internal sealed class HeadLossCudaTests : CudaKernelTest
{
    /// <summary>
    /// Batch, classes, columns: the smallest; short groups of images; classes in ragged fours, prime, more than a tile; columns in ragged fours and lanes, the
    /// widest.
    /// </summary>
    private static readonly int[][] Shapes = [[1, 1, 1], [1, 2, 3], [4, 10, 16], [5, 37, 13], [6, 331, 132], [3, 10, 512], [2, 5, 1280], [9, 67, 260]];

    [Test]
    public void MatchesDoublePrecision([ValueSource(nameof(Shapes))] int[] shape, [Values(0, 0.1f)] float smoothing, [Values] bool roundedHead, [Values] bool roundedGradient)
    {
        (int batch, int classes, int width) = (shape[0], shape[1], shape[2]);
        // Logits as a CLIP head makes them: cosines times a hundred.
        float[] head = Normal(classes * width, 100 / Math.Sqrt(width));
        HeadLossCase given = new(Normal(batch * width, 0.3), roundedHead ? Rounded(head) : head, Integers(batch, classes), smoothing);
        Tensor losses = Poisoned(batch), dfeatures = roundedGradient ? PoisonedBFloats(batch, width) : Poisoned(batch, width);
        Tensor features = Tensor(given.Features, batch, width), heads = roundedHead ? BFloats(head, classes, width) : Tensor(head, classes, width);
        Tensor scratch = Poisoned(HeadLoss.ScratchLength(batch, classes, width));
        HeadLoss.Forward(Device, losses, dfeatures, features, heads, Tensor(given.Labels, batch), smoothing, scratch);
        (double[] exactLosses, double[] exactGradient) = given.Reference<double>();
        (double[] plainLosses, double[] plainGradient) = given.Reference<float>();
        AssertClose(losses, exactLosses, plainLosses, "losses");
        AssertClose(dfeatures, exactGradient, plainGradient, "dFeatures");
        Assert.That(Contents(features), Is.EqualTo(given.Features), "features must not change");
    }

    [Test]
    public void LabelsOutsideTheClassesGiveNaNInTheirRows([Values(-1, 10, int.MaxValue)] int label)
    {
        Tensor scratch = Poisoned(HeadLoss.ScratchLength(3, 10, 4)), losses = Poisoned(3), gradient = PoisonedBFloats(3, 4);
        HeadLoss.Forward(Device, losses, gradient, Tensor(Normal(12), 3, 4), Tensor(Normal(40), 10, 4), Tensor([0, label, 9], 3), 0.1f, scratch);
        Assert.That(Contents(losses).Select(float.IsNaN), Is.EqualTo(new[] { false, true, false }));
        Assert.That(Contents(gradient).Chunk(4).Select(row => row.All(float.IsNaN)), Is.EqualTo(new[] { false, true, false }));
    }

    [Test]
    public void FeaturesWiderThanTheFusedKernelTakeItsParts()
    {
        const int batch = 2, classes = 3, width = 1300;
        HeadLossCase given = new(Normal(batch * width), Normal(classes * width), [2, 0], 0.1f);
        Tensor losses = Poisoned(batch), dfeatures = Poisoned(batch, width), features = Tensor(given.Features, batch, width);
        Tensor head = Tensor(given.Head, classes, width), labels = Tensor(given.Labels, batch), scratch = Poisoned(HeadLoss.ScratchLength(batch, classes, width));
        HeadLoss.Forward(Device, losses, dfeatures, features, head, labels, 0.1f, scratch);
        AssertClose(losses, given.Reference<double>().Losses, given.Reference<float>().Losses, "losses");
        AssertClose(dfeatures, given.Reference<double>().Gradient, given.Reference<float>().Gradient, "dFeatures");
        Assert.That(
            () => HeadLoss.Forward(Device, losses, PoisonedBFloats(batch, width), features, head, labels, 0.1f, scratch),
            Throws.ArgumentException.With.Message.Contains("1280"));
    }

    [Test]
    public void LargestLogitsDoNotOverflow()
    {
        Tensor losses = Poisoned(1), gradient = Poisoned(1, 4), scratch = Poisoned(HeadLoss.ScratchLength(1, 3, 4));
        Tensor head = Tensor([3e4f, 0, 0, 0, -3e4f, 0, 0, 0, 0, 0, 0, 0], 3, 4);
        HeadLoss.Forward(Device, losses, gradient, Tensor([2f, 0, 0, 0], 1, 4), head, Tensor([2], 1), 0, scratch);
        Assert.That(Contents(losses)[0], Is.EqualTo(3e4f).Within(1e-2));
        Assert.That(Contents(gradient), Has.None.NaN);
    }
}
