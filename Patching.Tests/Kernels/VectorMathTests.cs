using System.Numerics;
using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Kernels;

internal sealed class VectorMathTests
{
    [Test]
    public void ExpIsWithinTwoUnitsInTheLastPlace()
    {
        for (float x = -86.29f; x < 88.7f; x += 0.0137f)
        {
            double exact = Math.Exp(x), unit = MathF.BitIncrement((float)exact) - (float)exact;
            Assert.That(VectorMath.Exp(Vector.Create(x))[0], Is.EqualTo(exact).Within(2 * unit), $"exp({x})");
        }
    }

    [TestCase(float.NegativeInfinity, 0f)]
    [TestCase(-1e30f, 0f)]
    [TestCase(-86.5f, 0f)]
    [TestCase(-88f, 0f)]
    [TestCase(0f, 1f)]
    [TestCase(-0f, 1f)]
    [TestCase(89f, float.PositiveInfinity)]
    [TestCase(float.PositiveInfinity, float.PositiveInfinity)]
    [TestCase(float.NaN, float.NaN)]
    public void ExpOfSpecialNumbers(float x, float expected) =>
        Assert.That(VectorMath.Exp(Vector.Create(x))[Vector<float>.Count - 1], Is.EqualTo(expected));

    [Test]
    public void NaNPassesThroughWhatIsMadeOfExp()
    {
        Assert.That(VectorMath.Sigmoid(Vector.Create(float.NaN))[0], Is.NaN);
        Assert.That(VectorMath.NormalCdf(Vector.Create(float.NaN))[0], Is.NaN);
    }
}
