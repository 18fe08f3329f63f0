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
        AssertClose(y, [.. x.Select(v => ActivationReference.Value(v, function))], [.. x.Select(v => (double)ActivationReference.PlainValue(v, function))], "y");
    }

    [Test]
    public void BackwardMatchesDoublePrecision([Values] ActivationKind function, [Values(1, 7, 16, 1031)] int count, [Values(1, 30)] double scale)
    {
        float[] x = Normal(count, scale), dy = Normal(count);
        Tensor dx = Poisoned(count);
        Activation.Backward(Device, dx, Tensor(dy, count), Tensor(x, count), function);
        AssertClose(dx, [.. x.Zip(dy, (v, d) => d * ActivationReference.Derivative(v, function))], [.. x.Zip(dy, (v, d) => (double)(d * ActivationReference.PlainDerivative(v, function)))], "dx");
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
}
