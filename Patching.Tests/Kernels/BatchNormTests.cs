using NUnit.Framework;
using Patching.Kernels;
using static Patching.Kernels.Precision;
using static Patching.Tests.Kernels.Reference;

namespace Patching.Tests.Kernels;

internal sealed class BatchNormTests(DeviceKind kind, int threads) : KernelTest(kind, threads)
{
    private const float Epsilon = 1e-5f;
    private const float Momentum = 0.1f;

    [Test]
    public void MeasureMatchesDoublePrecision([Values(1, 2, 5, 257, 1031)] int rows, [Values(1, 8, 13)] int columns, [Values(0, 1e4)] double offset)
    {
        float[] x = Normal((long)rows * columns, 1, offset), runningMean = Normal(columns), runningVariance = Normal(columns, 0.1, 1);
        Tensor mean = Poisoned(columns), rstd = Poisoned(columns), tMean = Tensor(runningMean, columns), tVariance = Tensor(runningVariance, columns);
        BatchNorm.Measure(Device, mean, rstd, tMean, tVariance, Tensor(x, rows, columns), Epsilon, Momentum, Poisoned(BatchNorm.ScratchLength(rows, columns)));
        BatchNormReference.Statistics exact = BatchNormReference.Measure<double>(Wide(x), Wide(runningMean), Wide(runningVariance), Epsilon, Momentum);
        BatchNormReference.Statistics plain = BatchNormReference.Measure<float>(Wide(x), Wide(runningMean), Wide(runningVariance), Epsilon, Momentum);
        AssertClose(mean, exact.Mean, plain.Mean, "mean");
        AssertClose(rstd, exact.Rstd, plain.Rstd, "rstd");
        AssertClose(tMean, exact.RunningMean, plain.RunningMean, "running mean");
        AssertClose(tVariance, exact.RunningVariance, plain.RunningVariance, "running variance");
    }

    [Test]
    public void ForwardMatchesDoublePrecision([Values(1, 5, 67)] int rows, [Values(1, 8, 13)] int columns, [Values] bool hasResidual, [Values] bool relu)
    {
        float[] x = Normal((long)rows * columns, 1, 3), residual = Normal((long)rows * columns), mean = Normal(columns, 1, 3), rstd = Normal(columns, 0.1, 1);
        float[] gamma = Normal(columns, 0.2, 1), beta = Normal(columns);
        Tensor y = Poisoned(rows, columns), tx = Tensor(x, rows, columns), tMean = Tensor(mean, columns), tRstd = Tensor(rstd, columns);
        Tensor tGamma = Tensor(gamma, columns), tBeta = Tensor(beta, columns), tResidual = hasResidual ? Tensor(residual, rows, columns) : default;
        BatchNorm.Forward(Device, y, tx, tMean, tRstd, tGamma, tBeta, tResidual, relu);
        AssertClose(y, Expect<double>(), Expect<float>(), "y");
        BatchNorm.Forward(Device, tx, tx, tMean, tRstd, tGamma, tBeta, tResidual, relu);
        Assert.That(Contents(tx), Is.EqualTo(Contents(y)), "in place");

        double[] Expect<T>()
            where T : System.Numerics.IFloatingPointIeee754<T> =>
            BatchNormReference.Forward<T>(Wide(x), Wide(mean), Wide(rstd), Wide(gamma), Wide(beta), hasResidual ? Wide(residual) : null, relu);
    }

    [Test]
    public void RecallTakesTheRunningStatistics()
    {
        Tensor mean = Poisoned(3), rstd = Poisoned(3);
        BatchNorm.Recall(Device, mean, rstd, Tensor([1f, -2f, 3f], 3), Tensor([0f, 0.75f, 3.75f], 3), 0.25f);
        Assert.That(Contents(mean), Is.EqualTo(new[] { 1f, -2f, 3f }));
        Assert.That(Contents(rstd), Is.EqualTo(new[] { 2f, 1f, 0.5f }));
    }

    [Test]
    public void BackwardMatchesDoublePrecision(
        [Values(1, 5, 259)] int rows, [Values(1, 8, 13)] int columns, [Values] bool measured, [Values] bool masked)
    {
        float[] x = Normal((long)rows * columns, 1, 3), y = Normal((long)rows * columns), dy = Normal((long)rows * columns, 1, 0.5);
        // What the rectifier made zero has no gradient.
        for (int i = 0; i < y.Length; i += 3) y[i] = 0;
        float[] mean = Normal(columns, 0.1, 3), rstd = Normal(columns, 0.1, 1), gamma = Normal(columns, 0.2, 1), dgamma0 = Normal(columns), dbeta0 = Normal(columns);
        Tensor dx = Poisoned(rows, columns), dresidual = Poisoned(rows, columns), dgamma = Tensor(dgamma0, columns), dbeta = Tensor(dbeta0, columns);
        Tensor tdy = Tensor(dy, rows, columns), ty = masked ? Tensor(y, rows, columns) : default, tx = Tensor(x, rows, columns), scratch = Poisoned(BatchNorm.ScratchLength(rows, columns));
        Tensor tGamma = Tensor(gamma, columns), tMean = Tensor(mean, columns), tRstd = Tensor(rstd, columns);
        BatchNorm.Backward(Device, dx, dresidual, dgamma, dbeta, tdy, ty, tx, tGamma, tMean, tRstd, measured, scratch);
        BatchNormReference.Gradients exact = Expect<double>(), plain = Expect<float>();
        AssertClose(dx, exact.X, plain.X, "dx");
        AssertClose(dresidual, exact.Residual, plain.Residual, "dresidual");
        AssertClose(dgamma, exact.Gamma, plain.Gamma, "dgamma");
        AssertClose(dbeta, exact.Beta, plain.Beta, "dbeta");
        float[] separate = Contents(dx);
        BatchNorm.Backward(Device, dx, tdy, dgamma, dbeta, tdy, ty, tx, tGamma, tMean, tRstd, measured, scratch);
        Assert.That(Contents(dx), Is.EqualTo(separate), "dresidual in the place of dy");
        tdy.CopyFrom(dy);
        BatchNorm.Backward(Device, tdy, default, dgamma, dbeta, tdy, ty, tx, tGamma, tMean, tRstd, measured, scratch);
        Assert.That(Contents(tdy), Is.EqualTo(separate), "in place");

        BatchNormReference.Gradients Expect<T>()
            where T : System.Numerics.IFloatingPointIeee754<T> =>
            BatchNormReference.Backward<T>(Wide(dy), masked ? y : null, Wide(x), Wide(gamma), Wide(mean), Wide(rstd), measured, Wide(dgamma0), Wide(dbeta0));
    }

    [Test]
    public void ReferenceGradientMatchesFiniteDifferences([Values] bool measured)
    {
        const int rows = 4, columns = 3;
        double[] x = Wide(Normal(rows * columns, 1, 1)), gamma = Wide(Normal(columns)), beta = Wide(Normal(columns)), dy = Wide(Normal(rows * columns));
        double[] residual = Wide(Normal(rows * columns)), runningMean = Wide(Normal(columns)), runningVariance = [0.5, 1, 2];
        double[] runningRstd = [.. runningVariance.Select(v => 1 / Math.Sqrt(v + Epsilon))];
        double[] Output()
        {
            BatchNormReference.Statistics at = BatchNormReference.Measure<double>(x, runningMean, runningVariance, Epsilon, Momentum);
            return BatchNormReference.Forward<double>(x, measured ? at.Mean : runningMean, measured ? at.Rstd : runningRstd, gamma, beta, residual, relu: true);
        }
        double Loss() => Output().Zip(dy, (y, d) => y * d).Sum();
        BatchNormReference.Statistics batch = BatchNormReference.Measure<double>(x, runningMean, runningVariance, Epsilon, Momentum);
        BatchNormReference.Gradients gradients = BatchNormReference.Backward<double>(
            dy, [.. Output().Select(v => (float)v)], x, gamma, measured ? batch.Mean : runningMean, measured ? batch.Rstd : runningRstd, measured,
            new double[columns], new double[columns]);
        Assert.That(gradients.X, Is.EqualTo(FiniteDifferences(Loss, x)).Within(1e-7));
        Assert.That(gradients.Residual, Is.EqualTo(FiniteDifferences(Loss, residual)).Within(1e-7));
        Assert.That(gradients.Gamma, Is.EqualTo(FiniteDifferences(Loss, gamma)).Within(1e-7));
        Assert.That(gradients.Beta, Is.EqualTo(FiniteDifferences(Loss, beta)).Within(1e-7));
    }

    [Test]
    public void WrongShapesAreRefused()
    {
        Tensor x = Poisoned(3, 8), row = Poisoned(8), shorter = Poisoned(7), scratch = Poisoned(BatchNorm.ScratchLength(3, 8));
        Assert.That(() => BatchNorm.Forward(Device, x, x, row, shorter, row, row, default, false), Throws.ArgumentException);
        Assert.That(() => BatchNorm.Forward(Device, x, x, row, row, row, row, Poisoned(2, 8), false), Throws.ArgumentException);
        Assert.That(() => BatchNorm.Measure(Device, row, row, row, row, x, Epsilon, Momentum, shorter), Throws.ArgumentException);
        Assert.That(() => BatchNorm.Backward(Device, x, default, row, row, x, Poisoned(3, 7), x, row, row, row, false, scratch), Throws.ArgumentException);
    }
}
