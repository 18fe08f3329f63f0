using NUnit.Framework;
using Patching.Kernels;
using static Patching.Kernels.Precision;
using static Patching.Kernels.PredictionReference;

namespace Patching.Tests.Kernels;

internal sealed class PredictionTests(DeviceKind kind, int threads) : KernelTest(kind, threads)
{
    private const float Nan = float.NaN;
    private const float Low = float.NegativeInfinity;
    private const float High = float.PositiveInfinity;

    [Test]
    public void MatchesDoublePrecision([Values(1, 5, 13)] int rows, [Values(1, 2, 7, 8, 37, 1000)] int classes, [Values(0.01, 1, 30, 300)] double scale)
    {
        float[] logits = Normal((long)rows * classes, scale, scale);
        int[] labels = Integers(rows, classes);
        (int[] predicted, int[] ranks, float[] confidences) = Run(logits, labels);
        (int[] exactClasses, int[] exactRanks, double[] exact) = Forward<double>(Wide(logits), labels);
        Assert.That(predicted, Is.EqualTo(exactClasses));
        Assert.That(ranks, Is.EqualTo(exactRanks));
        AssertClose(confidences, exact, Forward<float>(Wide(logits), labels).Confidences, "confidences");
        Assert.That(confidences, Has.All.GreaterThan(0).And.All.LessThanOrEqualTo(1));
    }

    [Test]
    public void RanksCountEveryClassOnceWhereManyTie([Values(3, 11, 64)] int classes)
    {
        // Few values, so that nearly everything ties; every class in turn is the right one.
        float[] row = [.. Integers(classes, 3).Select(v => (float)v)];
        (int[] predicted, int[] ranks, _) = Run([.. Enumerable.Repeat(row, classes).SelectMany(values => values)], [.. Enumerable.Range(0, classes)]);
        Assert.That(ranks.Order(), Is.EqualTo(Enumerable.Range(0, classes)), "a class for every rank");
        Assert.That(predicted, Has.All.EqualTo(Array.IndexOf(ranks, 0)), "the predicted class is the one of rank 0");
        for (int k = 1; k < classes; k++)
            Assert.That(ranks[k] > ranks[k - 1], Is.EqualTo(row[k] <= row[k - 1]), "among equals the first comes first");
    }

    [TestCase(1, 3f, 7f, 7f)]
    [TestCase(0, 7f, 7f, 7f)]
    [TestCase(1, Nan, 2f, 1f)]
    [TestCase(2, 1f, Nan, 2f)]
    [TestCase(0, 1f, Nan, Nan)]
    [TestCase(0, Nan, Nan, Nan)]
    [TestCase(1, Nan, Low, Low)]
    [TestCase(2, Low, Nan, High)]
    [TestCase(0, -0f, 0f, -1f)]
    public void TiesAndNaN(int expected, params float[] row)
    {
        (int[] predicted, int[] ranks, float[] confidences) = Run([.. row, .. row, .. row], [0, 1, 2]);
        Assert.That(predicted, Has.All.EqualTo(expected));
        Assert.That(ranks, Is.EqualTo(Forward<double>(Wide([.. row, .. row, .. row]), [0, 1, 2]).Ranks).And.EquivalentTo(new[] { 0, 1, 2 }));
        Assert.That(ranks[expected], Is.Zero);
        Assert.That(confidences, row.Any(float.IsNaN) ? Is.All.NaN : Is.All.GreaterThan(1f / 3 - 1e-6f));
    }

    [Test]
    public void ExtremeLogits()
    {
        float[] logits = [Low, 3f, 3f, 1e30f, -1e30f, 0f, High, 0f, 1f, Low, Low, Low];
        (int[] predicted, int[] ranks, float[] confidences) = Run(logits, [2, 1, 0, 2]);
        Assert.That(predicted, Is.EqualTo([1, 0, 0, 0]));
        Assert.That(ranks, Is.EqualTo([1, 2, 0, 2]));
        Assert.That(confidences[..2], Is.EqualTo([0.5f, 1f]).Within(1e-6f));
        Assert.That(confidences[2..], Is.All.NaN, "softmax is not defined");
    }

    [Test]
    public void LabelsOutOfRangeRankLast([Values(-1, 10, int.MinValue, int.MaxValue)] int label)
    {
        (int[] predicted, int[] ranks, float[] confidences) = Run(Normal(20), [label, 9]);
        Assert.That(ranks[0], Is.EqualTo(10));
        Assert.That(ranks[1], Is.LessThan(10));
        Assert.That(predicted, Is.All.InRange(0, 9));
        Assert.That(confidences, Is.All.Not.NaN);
    }

    private (int[] Predicted, int[] Ranks, float[] Confidences) Run(float[] logits, int[] labels)
    {
        int rows = labels.Length;
        Tensor predicted = Tensor([.. Enumerable.Repeat(-7, rows)], rows), ranks = Tensor([.. Enumerable.Repeat(-7, rows)], rows), confidences = Poisoned(rows);
        Prediction.Forward(Device, predicted, ranks, confidences, Tensor(logits, rows, logits.Length / rows), Tensor(labels, rows));
        Device.Synchronize();
        int[] classes = new int[rows], places = new int[rows];
        predicted.CopyTo(classes);
        ranks.CopyTo(places);
        return (classes, places, Contents(confidences));
    }
}
