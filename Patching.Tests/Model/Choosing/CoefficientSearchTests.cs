using NUnit.Framework;
using Patching.Model.Choosing;

namespace Patching.Tests.Model.Choosing;

/// <summary>The search over several coefficients on functions whose best place is known.</summary>
internal sealed class CoefficientSearchTests
{
    [Test]
    public void FindsThePeakOfAHill()
    {
        double[] peak = [0.35, 0.1, 0.9];
        FoundCoefficients found = CoefficientSearch.Run(3, 20, double.PositiveInfinity, 1000, a => -a.Zip(peak, (x, p) => (x - p) * (x - p)).Sum());
        Assert.That(found.Coefficients, Is.EqualTo(peak).Within(1e-12));
    }

    [Test]
    public void KeepsTheSumAndTheBudget()
    {
        int asked = 0;
        FoundCoefficients found = CoefficientSearch.Run(2, 20, 1, 25, a =>
        {
            asked++;
            Assert.That(a.Sum(), Is.LessThanOrEqualTo(1 + 1e-9));
            return 2 * a[0] + a[1];
        });
        Assert.That(found.Evaluations, Is.EqualTo(asked));
        Assert.That(asked, Is.LessThanOrEqualTo(25));
        Assert.That(CoefficientSearch.Run(2, 20, 1, 1000, a => -Math.Abs(a[0] - 0.8) - Math.Abs(a[1] - 0.2)).Coefficients, Is.EqualTo([0.8, 0.2]).Within(1e-12));
        Assert.That(CoefficientSearch.Run(1, 20, 1, 3, a => a[0]).Evaluations, Is.EqualTo(3));
    }
}
