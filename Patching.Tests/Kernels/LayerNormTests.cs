using System.Text.Json;
using NUnit.Framework;
using Patching.Kernels;
using static Patching.Kernels.LayerNormReference;
using static Patching.Kernels.Precision;
using static Patching.Tests.Kernels.Reference;

namespace Patching.Tests.Kernels;

internal sealed class LayerNormTests(DeviceKind kind, int threads) : KernelTest(kind, threads)
{
    private const float Epsilon = 1e-5f;

    [Test]
    public void ForwardMatchesDoublePrecision(
        [Values(1, 2, 5)] int rows, [Values(1, 2, 7, 8, 64, 97, 192)] int columns, [Values(0, 100, 1e4)] double offset)
    {
        float[] x = Normal((long)rows * columns, 1, offset), gamma = Normal(columns, 0.2, 1), beta = Normal(columns);
        Tensor y = Poisoned(rows, columns), mean = Poisoned(rows), rstd = Poisoned(rows);
        LayerNorm.Forward(Device, y, mean, rstd, Tensor(x, rows, columns), Tensor(gamma, columns), Tensor(beta, columns), Epsilon);
        Statistics exact = Forward<double>(Wide(x), Wide(gamma), Wide(beta), columns, Epsilon);
        Statistics plain = Forward<float>(Wide(x), Wide(gamma), Wide(beta), columns, Epsilon);
        AssertClose(y, exact.Y, plain.Y, "y");
        AssertClose(mean, exact.Mean, plain.Mean, "mean");
        AssertClose(rstd, exact.Rstd, plain.Rstd, "rstd");
    }

    [Test]
    public void ForwardIsMoreAccurateThanTwoPlainPassesFarFromZero()
    {
        float[] x = Normal(768, 1, 1e4), gamma = Normal(768, 0.2, 1), beta = Normal(768);
        Tensor y = Poisoned(1, 768);
        LayerNorm.Forward(Device, y, default, default, Tensor(x, 1, 768), Tensor(gamma, 768), Tensor(beta, 768), Epsilon);
        double[] exact = Forward<double>(Wide(x), Wide(gamma), Wide(beta), 768, Epsilon).Y;
        Assert.That(Contents(y).Zip(exact, (a, b) => Math.Abs(a - b)).Max(), Is.LessThan(2e-6));
    }

    [Test]
    public void ForwardWorksInPlaceAndWithoutStatistics()
    {
        float[] x = Normal(3 * 37), gamma = Normal(37, 0.2, 1), beta = Normal(37);
        Tensor inPlace = Tensor(x, 3, 37), separate = Poisoned(3, 37), g = Tensor(gamma, 37), b = Tensor(beta, 37);
        LayerNorm.Forward(Device, separate, Poisoned(3), Poisoned(3), inPlace, g, b, Epsilon);
        LayerNorm.Forward(Device, inPlace, default, default, inPlace, g, b, Epsilon);
        Assert.That(Contents(inPlace), Is.EqualTo(Contents(separate)));
    }

    [Test]
    public void EpsilonIsInsideTheRoot()
    {
        Tensor y = Poisoned(1, 2), rstd = Poisoned(1);
        LayerNorm.Forward(Device, y, default, rstd, Tensor([5f, 5f], 1, 2), Tensor([2f, 2f], 2), Tensor([1f, -1f], 2), 0.25f);
        Assert.That(Contents(rstd)[0], Is.EqualTo(2f));
        Assert.That(Contents(y), Is.EqualTo(new[] { 1f, -1f }));
    }

    [Test]
    public void ForwardMatchesTheOriginal()
    {
        JsonElement golden = Golden.Section("layernorm_eps1e-5");
        (int rows, int columns) = golden.GetProperty("x").Extents();
        float[] ones = [.. Enumerable.Repeat(1f, columns)];
        Tensor y = Poisoned(rows, columns);
        LayerNorm.Forward(
            Device, y, default, default, Tensor(golden.GetProperty("x").Floats(), rows, columns), Tensor(ones, columns),
            Tensor(new float[columns], columns), 1e-5f);
        Assert.That(Contents(y).Select(v => (double)v), Is.EqualTo(golden.GetProperty("y").Numbers()).Within(1e-6));
    }

    [Test]
    public void BackwardMatchesDoublePrecision(
        [Values(1, 2, 5, 67)] int rows, [Values(1, 7, 8, 97, 192)] int columns, [Values(0, 1e4)] double offset, [Values] bool accumulate)
    {
        float[] x = Normal((long)rows * columns, 1, offset), gamma = Normal(columns, 0.2, 1), dy = Normal((long)rows * columns);
        float[] dx0 = Normal((long)rows * columns), dgamma0 = Normal(columns), dbeta0 = Normal(columns);
        Statistics statistics = Forward<double>(Wide(x), Wide(gamma), Wide(gamma), columns, Epsilon);
        float[] mean = [.. statistics.Mean.Select(v => (float)v)], rstd = [.. statistics.Rstd.Select(v => (float)v)];
        Tensor dx = accumulate ? Tensor(dx0, rows, columns) : Poisoned(rows, columns), dgamma = Tensor(dgamma0, columns),
            dbeta = Tensor(dbeta0, columns);
        LayerNorm.Backward(
            Device, dx, dgamma, dbeta, Tensor(dy, rows, columns), Tensor(x, rows, columns), Tensor(gamma, columns), Tensor(mean, rows),
            Tensor(rstd, rows), accumulate);

        double[] start = accumulate ? Wide(dx0) : new double[dx0.Length];
        Gradients exact = Backward<double>(Wide(dy), Wide(x), Wide(gamma), Wide(mean), Wide(rstd), start, Wide(dgamma0), Wide(dbeta0));
        Gradients plain = Backward<float>(Wide(dy), Wide(x), Wide(gamma), Wide(mean), Wide(rstd), start, Wide(dgamma0), Wide(dbeta0));
        AssertClose(dx, exact.X, plain.X, "dx");
        AssertClose(dgamma, exact.Gamma, plain.Gamma, "dgamma");
        AssertClose(dbeta, exact.Beta, plain.Beta, "dbeta");
    }

    [Test]
    public void BackwardWorksInPlace()
    {
        float[] x = Normal(5 * 37), dy = Normal(5 * 37);
        Tensor separate = Poisoned(5, 37), inPlace = Tensor(dy, 5, 37), tx = Tensor(x, 5, 37), gamma = Tensor(Normal(37, 0.2, 1), 37);
        Tensor mean = Tensor(Normal(5), 5), rstd = Tensor(Normal(5, 0.1, 1), 5);
        Tensor dgamma = Tensor(new float[37], 37), dbeta = Tensor(new float[37], 37), dgamma2 = Tensor(new float[37], 37),
            dbeta2 = Tensor(new float[37], 37);
        LayerNorm.Backward(Device, separate, dgamma, dbeta, inPlace, tx, gamma, mean, rstd, false);
        LayerNorm.Backward(Device, inPlace, dgamma2, dbeta2, inPlace, tx, gamma, mean, rstd, false);
        Assert.That(Contents(inPlace), Is.EqualTo(Contents(separate)));
        Assert.That(Contents(dgamma2), Is.EqualTo(Contents(dgamma)));
        Assert.That(Contents(dbeta2), Is.EqualTo(Contents(dbeta)));
    }

    [Test]
    public void ReferenceGradientMatchesFiniteDifferences()
    {
        const int rows = 2, columns = 5;
        double[] x = Wide(Normal(rows * columns, 1, 3)), gamma = Wide(Normal(columns)), beta = Wide(Normal(columns)),
            dy = Wide(Normal(rows * columns));
        Statistics at = Forward<double>(x, gamma, beta, columns, Epsilon);
        Gradients gradients = Backward<double>(dy, x, gamma, at.Mean, at.Rstd, new double[x.Length], new double[columns],
            new double[columns]);
        double Loss() => Forward<double>(x, gamma, beta, columns, Epsilon).Y.Zip(dy, (y, d) => y * d).Sum();
        Assert.That(gradients.X, Is.EqualTo(FiniteDifferences(Loss, x)).Within(1e-7));
        Assert.That(gradients.Gamma, Is.EqualTo(FiniteDifferences(Loss, gamma)).Within(1e-7));
        Assert.That(gradients.Beta, Is.EqualTo(FiniteDifferences(Loss, beta)).Within(1e-7));
    }

    [Test]
    public void WrongShapesAreRefused()
    {
        Tensor x = Poisoned(3, 8), y = Poisoned(3, 8), row = Poisoned(8), shorter = Poisoned(7);
        Assert.That(() => LayerNorm.Forward(Device, y, default, default, x, shorter, row, Epsilon), Throws.ArgumentException);
        Assert.That(() => LayerNorm.Forward(Device, y, row, default, x, row, row, Epsilon), Throws.ArgumentException);
        Assert.That(() => LayerNorm.Backward(Device, y, row, row, x, x, row, shorter, Poisoned(3), false), Throws.ArgumentException);
    }
}
