using NUnit.Framework;
using Patching.Model.Evaluation;
using Patching.Tests.Model.Data;

namespace Patching.Tests.Model.Evaluation;

/// <summary>Accuracies and calibration from predictions, by hand and against plain restatements.</summary>
internal sealed class EvaluationScoreTests
{
    [Test]
    public void ByHand()
    {
        // Three classes of 4, 2 and no images; the last image cannot be read.
        LabelledDataset dataset = new([0, 0, 0, 0, 1, 1, 1], classes: 7);
        EvaluationScore score = EvaluationScore.Of(dataset, new([0, 0, 0, 6, 1, 5, -1], [0, 0, 0, 4, 0, 5, 0], [1, 0.9f, 0.5f, 0.4f, 0.3f, 0.2f, 0]), 1);
        Assert.That((score.Correct, score.Count, score.Skipped), Is.EqualTo((4, 6, 1)));
        Assert.That((score.Top1, score.Top5), Is.EqualTo((4 / 6.0, 5 / 6.0)));
        Assert.That(score.MeanPerClass, Is.EqualTo((3 / 4.0 + 1 / 2.0) / 2).Within(1e-15), "classes without images do not count");
        Assert.That(score.CalibrationError, Is.EqualTo((0 + 0.1 + 0.5 + 0.4 + 0.7 + 0.2) / 6).Within(1e-7), "every confidence has a bin of its own");
    }

    [Test]
    public void TopFiveOfFiveSaysNothing([Values(1, 5, 6)] int classes) => Assert.That(
        EvaluationScore.Of(new LabelledDataset([0], classes), new([0], [0], [1]), 0).Top5, classes > 5 ? Is.EqualTo(1) : Is.Null);

    [Test]
    public void NothingSeenScoresNothing()
    {
        EvaluationScore score = EvaluationScore.Of(new LabelledDataset([0, 1], classes: 9), PredictedImages.Unseen(2), 2);
        Assert.That((score.Top1, score.Top5, score.MeanPerClass, score.CalibrationError, score.Count), Is.EqualTo((0.0, (double?)null, 0.0, (double?)null, 0)));
    }

    [Test]
    public void CalibrationMatchesItsDefinition([Values(1, 17, 3000)] int count)
    {
        Random random = new(count);
        (float Confidence, bool IsRight)[] predictions =
            [.. Enumerable.Range(0, count).Select(i => (i % 10 == 0 ? i / 10 % 16 / 15f : random.NextSingle(), random.NextDouble() < 0.6))];
        double expected = 0;
        for (int m = 1; m <= 15; m++)
        {
            var bin = predictions.Where(p => (p.Confidence > (m - 1) / 15.0 || (m == 1 && p.Confidence == 0)) && p.Confidence <= m / 15.0).ToArray();
            if (bin.Length > 0) expected += bin.Length / (double)count * Math.Abs(bin.Average(p => p.IsRight ? 1.0 : 0) - bin.Average(p => (double)p.Confidence));
        }
        Assert.That(CalibrationError.Of(predictions), Is.EqualTo(expected).Within(1e-12));
        Assert.That(CalibrationError.Of(predictions.Reverse()), Is.EqualTo(expected).Within(1e-12));
    }

    [Test]
    public void CertaintyIsCalibratedWhereItIsRight()
    {
        Assert.That(CalibrationError.Of(Enumerable.Repeat((1f, true), 9)), Is.Zero);
        Assert.That(CalibrationError.Of(Enumerable.Repeat((1f, false), 9)), Is.EqualTo(1));
        // Of ten predictions at 0.7 seven are right: calibrated, though each by itself is off.
        Assert.That(CalibrationError.Of(Enumerable.Range(0, 10).Select(i => (0.7f, i < 7))), Is.EqualTo(0).Within(1e-7));
        Assert.That(CalibrationError.Of([(0.5f, true), (float.NaN, true)]), Is.Null);
        Assert.That(CalibrationError.Of([]), Is.Null);
    }

    [Test]
    public void FlipsAreSpreadOverTheClasses()
    {
        // Class 0 flips a hundred times, classes 1 to 9 twice, class 10 never: two rounds of ten and four more of class 0.
        int[] labels = [.. Enumerable.Repeat(0, 100), .. Enumerable.Range(0, 18).Select(i => 1 + i / 2), 10, 10];
        int[] before = [.. labels.Select(label => label == 10 ? 3 : 0)], after = [.. labels.Select(_ => 3)];
        int[] chosen = FlippedImages.Choose(new LabelledDataset(labels, 11), labels, before, after).Indices;
        Assert.That(chosen, Is.EqualTo([0, 1, 2, 3, 4, 5, .. Enumerable.Range(100, 18)]));

        // Of a hundred classes that flip once, 24 at equal distances.
        labels = [.. Enumerable.Range(0, 100)];
        Assert.That(FlippedImages.Spread([.. Enumerable.Range(0, 100)], labels), Is.EqualTo(Enumerable.Range(0, 24).Select(k => k * 100 / 24)));
        Assert.That(FlippedImages.Spread([], labels), Is.Empty);
    }
}
