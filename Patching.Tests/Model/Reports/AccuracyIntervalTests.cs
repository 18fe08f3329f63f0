using NUnit.Framework;
using Patching.Model.Reports;

namespace Patching.Tests.Model.Reports;

internal sealed class AccuracyIntervalTests
{
    // Newcombe 1998, "Two-sided confidence intervals for the single proportion", table I, method 3.
    [TestCase(81, 263, 0.2553, 0.3662)]
    [TestCase(15, 148, 0.0624, 0.1605)]
    [TestCase(0, 20, 0, 0.1611)]
    [TestCase(1, 29, 0.0061, 0.1718)]
    public void WilsonIsThatOfTheLiterature(int correct, int count, double low, double high)
    {
        AccuracyInterval interval = AccuracyInterval.Wilson(correct, count), mirrored = AccuracyInterval.Wilson(count - correct, count);
        Assert.That(interval.Value, Is.EqualTo((double)correct / count));
        Assert.That((interval.Low, interval.High), Is.EqualTo((low, high)).Using<(double, double)>(Near));
        Assert.That((mirrored.Low, mirrored.High), Is.EqualTo((1 - high, 1 - low)).Using<(double, double)>(Near));
    }

    // Newcombe 1998, "Interval estimation for the difference between independent proportions", table II, method 10.
    [TestCase(56, 70, 48, 80, 0.0524, 0.3339)]
    [TestCase(9, 10, 3, 10, 0.1705, 0.8090)]
    [TestCase(5, 56, 0, 29, -0.0381, 0.1926)]
    [TestCase(10, 10, 0, 20, 0.6791, 1)]
    public void DifferenceIsThatOfTheLiterature(int a, int m, int b, int n, double low, double high)
    {
        AccuracyInterval difference = AccuracyInterval.Difference(AccuracyInterval.Wilson(a, m), AccuracyInterval.Wilson(b, n));
        Assert.That(difference.Value, Is.EqualTo((double)a / m - (double)b / n).Within(1e-15));
        Assert.That((difference.Low, difference.High), Is.EqualTo((low, high)).Using<(double, double)>(Near));
    }

    [Test]
    public void MeanOfOneIsItselfAndOfFourEqualOnesHalfAsWide()
    {
        AccuracyInterval one = AccuracyInterval.Wilson(30, 100), four = AccuracyInterval.Mean([one, one, one, one]);
        Assert.That(AccuracyInterval.Mean([one]), Is.EqualTo(one));
        Assert.That(four.Value, Is.EqualTo(0.3).Within(1e-15));
        Assert.That(four.Low, Is.EqualTo(0.3 - (0.3 - one.Low) / 2).Within(1e-15));
        Assert.That(four.High, Is.EqualTo(0.3 + (one.High - 0.3) / 2).Within(1e-15));
    }

    private static bool Near((double Low, double High) a, (double Low, double High) b) => Math.Abs(a.Low - b.Low) < 6e-5 && Math.Abs(a.High - b.High) < 6e-5;
}
