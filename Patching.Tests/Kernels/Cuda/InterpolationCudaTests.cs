using NUnit.Framework;
using Patching.Kernels;
using static Patching.Tests.Kernels.Reference;

namespace Patching.Tests.Kernels.Cuda;

/// <summary>Interpolation and rounding: right to the bit.</summary>
internal sealed class InterpolationCudaTests : CudaKernelTest
{
    private static readonly float[] Special =
    [
        0f, -0f, 1f, -1f, float.Epsilon, -float.Epsilon, 1.1754944e-38f, 3e-39f, float.MaxValue, -float.MaxValue, float.PositiveInfinity,
        float.NegativeInfinity, 16777217f, 1e-20f, -1e20f, 0.1f,
    ];

    [Test]
    public void RoundsEachProductAndTheSum(
        [Values(1, 3, 4, 1031, 9001)] int count, [Values(0.1, 0.3, 0.333, -0.25)] double alpha, [Values] bool rounded, [Values] bool inPlace)
    {
        float[] a = Normal(count), b = Normal(count);
        Tensor first = Tensor(a, count), y = inPlace ? first : Poisoned(count), copy = rounded ? PoisonedBFloats(count) : default;
        Interpolation.Forward(Device, y, first, Tensor(b, count), alpha, copy);
        float weight0 = (float)(1 - alpha), weight1 = (float)alpha;
        float[] expected = [.. a.Zip(b, (x, z) => (float)((float)(weight0 * x) + (float)(weight1 * z)))];
        Assert.That(Bits(Contents(y)), Is.EqualTo(Bits(expected)));
        if (rounded) Assert.That(Bits(Contents(copy)), Is.EqualTo(Bits(Rounded(expected))));
    }

    [Test]
    public void SpecialValuesAreThoseOfSinglePrecision([Values(0.1, 0.5)] double alpha)
    {
        float[] a = [.. Special.SelectMany(_ => Special)], b = [.. Special.SelectMany(v => Enumerable.Repeat(v, Special.Length))];
        Tensor y = Poisoned(a.Length);
        Interpolation.Forward(Device, y, Tensor(a, a.Length), Tensor(b, b.Length), alpha);
        float weight0 = (float)(1 - alpha), weight1 = (float)alpha;
        Assert.That(Contents(y), Is.EqualTo(a.Zip(b, (x, z) => (float)((float)(weight0 * x) + (float)(weight1 * z)))));
    }

    [Test]
    public void EndsAreCopiesWithTheirRoundedCopies([Values(0, 1)] double alpha)
    {
        float[] a = [.. Special, 5f], b = [.. Special.Reverse(), 7f];
        Tensor y = Poisoned(a.Length), copy = PoisonedBFloats(a.Length);
        Interpolation.Forward(Device, y, Tensor(a, a.Length), Tensor(b, b.Length), alpha, copy);
        Assert.That(Bits(Contents(y)), Is.EqualTo(Bits(alpha == 0 ? a : b)));
        Assert.That(Bits(Contents(copy)), Is.EqualTo(Bits(Rounded(alpha == 0 ? a : b))));
    }

    [Test]
    public void TensorsAtOddAddressesWork()
    {
        float[] a = Normal(40), b = Normal(40);
        Tensor y = Tensor(new float[40], 40, 1), copy = BFloats(new float[40], 40, 1);
        Interpolation.Forward(
            Device, y.SliceRows(1, 36), Tensor(a, 40, 1).SliceRows(3, 36), Tensor(b, 40, 1).SliceRows(2, 36), 0.5, copy.SliceRows(1, 36));
        float[] expected = [0, .. a[3..39].Zip(b[2..38], (x, z) => (0.5f * x) + (0.5f * z)), 0, 0, 0];
        Assert.That(Contents(y), Is.EqualTo(expected));
        Assert.That(Contents(copy), Is.EqualTo(Rounded(expected)));
    }

    [Test]
    public void RoundingIsToNearestWithTiesToEven([Values(1, 4, 5003)] int count)
    {
        float[] x = [.. Special.Concat([float.NaN, 1.00390625f, 1.01171875f, -1.00390625f, 3.4e38f]).Concat(Normal(count)).Take(count)];
        Tensor rounded = PoisonedBFloats(count);
        Rounding.Forward(Device, rounded, Tensor(x, count));
        Assert.That(Bits(Contents(rounded)), Is.EqualTo(Bits(Rounded(x))));
    }
}
