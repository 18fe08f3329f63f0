using NUnit.Framework;
using Patching.Model.Choosing;
using Patching.Model.Evaluation;

namespace Patching.Tests.Model.Choosing;

/// <summary>The rules, the search and the interval, each against what can be worked out otherwise.</summary>
internal sealed class ChoosingTests
{
    [Test]
    public void TheSearchFindsWhatTheWholeLatticeHasWithinItsBudget()
    {
        Random random = new(5);
        foreach (int steps in (int[])[2, 3, 4, 5, 7, 20, 97, 100, 1000])
        {
            for (int trial = 0; trial < 40; trial++)
            {
                // Rises to its largest value and falls behind it, by random amounts.
                int peak = random.Next(steps + 1);
                double[] values = new double[steps + 1];
                for (int i = 0; i <= steps; i++) values[i] = -Math.Pow(Math.Abs(i - peak), i < peak ? 0.5 + random.NextDouble() * 0.001 : 2);
                HashSet<int> asked = [];
                int found = LatticeSearch.Run(steps, places =>
                {
                    foreach (int place in places) Assert.That(asked.Add(place), Is.True, "no place is evaluated twice");
                    return [.. places.Select(place => values[place])];
                });
                Assert.That(found, Is.EqualTo(peak), $"{steps} steps");
                Assert.That(asked, Has.Count.LessThanOrEqualTo(LatticeSearch.Budget(steps)));
            }
        }
        Assert.That((LatticeSearch.Budget(20), LatticeSearch.Budget(100), LatticeSearch.Budget(1000)), Is.EqualTo((11, 15, 21)));
    }

    [Test]
    public void EqualValuesGiveTheLowestPlace()
    {
        Assert.That(LatticeSearch.Run(20, places => [.. places.Select(_ => 1.0)]), Is.Zero);
        Assert.That(LatticeSearch.Best([new(3, 1), new(1, 2), new(2, 2)]), Is.EqualTo(1));
    }

    [Test]
    public void RulesByHand()
    {
        bool[] isPatched = [false, false, true];
        double[] before = [0.8, 0.6, 0.2];
        ChoiceRule mean = new(null), bound = new(0.05);
        Assert.That(mean.Value([0.7, 0.5, 0.9], before, isPatched), Is.EqualTo((0.9 + 0.6) / 2).Within(1e-15));
        Assert.That(bound.Value([0.75, 0.6, 0.9], before, isPatched), Is.EqualTo(0.9), "a drop of just the bound is within it");
        Assert.That(bound.Value([0.9, 0.5, 0.99], before, isPatched), Is.EqualTo(-0.05).Within(1e-12), "one task beyond it is enough, whatever another gains");
        Assert.That(bound.Value([0.9, 0.4, 0.99], before, isPatched), Is.LessThan(bound.Value([0.9, 0.5, 0.3], before, isPatched)), "the further beyond, the worse");
        Assert.That((bound.Holds([0.75, 0.55, 0], before, isPatched), bound.Holds([0.74, 0.6, 1], before, isPatched), mean.Holds([0, 0, 0], before, isPatched)), Is.EqualTo((true, false, true)));
    }

    [Test]
    public void TheIntervalIsThatOfResampledImages()
    {
        const int images = 400;
        Random random = new(3);
        int[] labels = [.. Enumerable.Range(0, images).Select(_ => random.Next(3))];
        int[] before = [.. labels.Select(label => random.NextDouble() < 0.8 ? label : (label + 1) % 3)];
        int[] after = [.. labels.Select((label, i) => random.NextDouble() < 0.9 ? before[i] : random.NextDouble() < 0.3 ? label : (label + 2) % 3)];
        after[7] = before[9] = -1;
        PairedChange change = PairedBootstrap.Compare(labels, before, after, 0.02);
        // The same by drawing images, and other random numbers.
        int[] seen = [.. Enumerable.Range(0, images).Where(i => i is not (7 or 9))];
        int Right(int[] predictions, int i) => predictions[i] == labels[i] ? 1 : 0;
        double[] means =
        [
            .. Enumerable.Range(0, 4000).Select(_ => Enumerable.Range(0, seen.Length).Average(_ =>
            {
                int i = seen[random.Next(seen.Length)];
                return (double)(Right(after, i) - Right(before, i));
            })).Order(),
        ];
        Assert.That(change.Before, Is.EqualTo(seen.Average(i => (double)Right(before, i))).Within(1e-12));
        Assert.That(change.After, Is.EqualTo(seen.Average(i => (double)Right(after, i))).Within(1e-12));
        // Percentiles of a few thousand resamples are known to a few thousandths here.
        Assert.That(change.Low, Is.EqualTo(means[100]).Within(0.006));
        Assert.That(change.High, Is.EqualTo(means[^101]).Within(0.006));
        Assert.That(change.Sure, Is.EqualTo(means.Count(mean => mean >= -0.02 - 1e-12) / 4000.0).Within(0.05));
        Assert.That(PairedBootstrap.Compare(labels, before, before, 0), Is.EqualTo(new PairedChange(change.Before, change.Before, 0, 0, 1) with
        {
            Before = Enumerable.Range(0, images).Where(i => i != 9).Average(i => (double)Right(before, i)),
            After = Enumerable.Range(0, images).Where(i => i != 9).Average(i => (double)Right(before, i)),
        }), "a model does not differ from itself");
    }
}
