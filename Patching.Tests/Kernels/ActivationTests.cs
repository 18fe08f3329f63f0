using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Kernels;

internal sealed class ActivationTests(DeviceKind kind, int threads) : KernelTest(kind, threads)
{
    [Test]
    public void ForwardMatchesDoublePrecision([Values] ActivationKind function, [Values(1, 7, 16, 1031)] int count, [Values(1, 30)] double scale)
    {
        float[] x = Normal(count, scale);
        Tensor y = Poisoned(count);
        Activation.Forward(Device, y, Tensor(x, count), function);
        AssertClose(y, [.. x.Select(v => Value(v, function))], [.. x.Select(v => (double)PlainValue(v, function))], "y");
    }

    [Test]
    public void BackwardMatchesDoublePrecision([Values] ActivationKind function, [Values(1, 7, 16, 1031)] int count, [Values(1, 30)] double scale)
    {
        float[] x = Normal(count, scale), dy = Normal(count);
        Tensor dx = Poisoned(count);
        Activation.Backward(Device, dx, Tensor(dy, count), Tensor(x, count), function);
        AssertClose(dx, [.. x.Zip(dy, (v, d) => d * Derivative(v, function))], [.. x.Zip(dy, (v, d) => (double)(d * PlainDerivative(v, function)))], "dx");
    }

    [Test]
    public void WorksInPlace([Values] ActivationKind function)
    {
        float[] x = Normal(37);
        Tensor inPlace = Tensor(x, 37), separate = Poisoned(37);
        Activation.Forward(Device, separate, inPlace, function);
        Activation.Forward(Device, inPlace, inPlace, function);
        Assert.That(Contents(inPlace), Is.EqualTo(Contents(separate)));
    }

    [Test]
    public void ExtremeInputsSaturateAndNaNStaysNaN([Values] ActivationKind function)
    {
        Tensor y = Poisoned(4);
        Activation.Forward(Device, y, Tensor([-1e30f, 1e30f, 0f, float.NaN], 4), function);
        float[] values = Contents(y);
        Assert.That(values[0], Is.Zero);
        Assert.That(values[1], Is.EqualTo(1e30f));
        Assert.That(values[2], Is.Zero);
        Assert.That(values[3], Is.NaN);
    }

    internal static double Value(double x, ActivationKind kind) =>
        kind == ActivationKind.QuickGelu ? x / (1 + Math.Exp(-(double)1.702f * x)) : x * Phi(x);

    internal static double Derivative(double x, ActivationKind kind)
    {
        if (kind == ActivationKind.Gelu) return Phi(x) + x * Math.Exp(-x * x / 2) / Math.Sqrt(2 * Math.PI);
        double s = 1 / (1 + Math.Exp(-(double)1.702f * x));
        return s + (double)1.702f * x * s * (1 - s);
    }

    private static float PlainValue(float x, ActivationKind kind) =>
        kind == ActivationKind.QuickGelu ? x / (1 + MathF.Exp(-1.702f * x)) : x * (float)Phi(x);

    private static float PlainDerivative(float x, ActivationKind kind)
    {
        if (kind == ActivationKind.Gelu) return (float)Phi(x) + x * MathF.Exp(-x * x / 2) * 0.39894228f;
        float s = 1 / (1 + MathF.Exp(-1.702f * x));
        return s + 1.702f * x * s * (1 - s);
    }

    /// <summary>Normal distribution function: Taylor series of erf near zero, continued fraction (Lentz) of erfc in the tails.</summary>
    private static double Phi(double x)
    {
        double z = Math.Abs(x) / Math.Sqrt(2);
        if (z < 3)
        {
            double term = z, sum = z;
            for (int n = 1; n < 200 && Math.Abs(term) > 1e-18 * Math.Abs(sum); n++)
            {
                term *= -z * z / n;
                sum += term / (2 * n + 1);
            }
            double erf = 2 / Math.Sqrt(Math.PI) * sum;
            return x > 0 ? 0.5 * (1 + erf) : 0.5 * (1 - erf);
        }
        double fraction = 0;
        for (int n = 120; n >= 1; n--) fraction = n / 2.0 / (z + fraction);
        double erfc = Math.Exp(-z * z) / Math.Sqrt(Math.PI) / (z + fraction);
        return x > 0 ? 1 - 0.5 * erfc : 0.5 * erfc;
    }
}
