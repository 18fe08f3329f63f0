using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Kernels;

internal sealed class LogitScaleTests(DeviceKind kind, int threads) : KernelTest(kind, threads)
{
    [Test]
    public void MultipliesByTheExponential([Values(1, 5)] int rows, [Values(1, 8, 37)] int columns, [Values(0f, 2.6592f, 4.6f)] float s)
    {
        float[] x = Normal(rows * columns);
        Tensor y = Poisoned(rows, columns);
        LogitScale.Forward(Device, y, Tensor(x, rows, columns), Tensor([s], 1));
        AssertClose(y, [.. x.Select(v => Math.Exp(s) * v)], [.. x.Select(v => (double)(MathF.Exp(s) * v))], "y");
    }

    [Test]
    public void GivesTheGradientOfBoth([Values(1, 5, 131)] int rows, [Values(1, 8, 37)] int columns)
    {
        const float s = 2.6592f, old = 3.5f;
        float[] dy = Normal(rows * columns), y = Normal(rows * columns, 14);
        Tensor dx = Poisoned(rows, columns), dlogScale = Tensor([old], 1);
        LogitScale.Backward(Device, dx, dlogScale, Tensor(dy, rows, columns), Tensor(y, rows, columns), Tensor([s], 1), Poisoned(rows));
        AssertClose(dx, [.. dy.Select(v => Math.Exp(s) * v)], [.. dy.Select(v => (double)(MathF.Exp(s) * v))], "dx");
        double exact = old + dy.Zip(y, (a, b) => (double)a * b).Sum();
        float plain = dy.Zip(y, (a, b) => a * b).Aggregate(old, (a, b) => a + b);
        AssertClose(dlogScale, [exact], [plain], "dlogScale");
    }

    [Test]
    public void WritesInPlace()
    {
        float[] dy = Normal(12);
        Tensor tensor = Tensor(dy, 3, 4);
        LogitScale.Backward(Device, tensor, Tensor([0f], 1), tensor, Tensor(Normal(12), 3, 4), Tensor([0f], 1), Poisoned(3));
        Assert.That(Contents(tensor), Is.EqualTo(dy));
    }

    [TestCase(-0.5f, 0f)]
    [TestCase(3f, 3f)]
    [TestCase(9f, 4.6051702f)]
    public void KeepsTheFactorBetweenOneAndAHundred(float before, float after)
    {
        Tensor s = Tensor([before], 1);
        LogitScale.Clamp(Device, s);
        Assert.That(Contents(s)[0], Is.EqualTo(after));
    }
}
