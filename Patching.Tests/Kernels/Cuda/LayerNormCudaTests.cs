using NUnit.Framework;
using Patching.Kernels;
using static Patching.Kernels.LayerNormReference;
using static Patching.Kernels.Precision;
using static Patching.Tests.Kernels.Reference;

namespace Patching.Tests.Kernels.Cuda;

/// <summary>LayerNorm in every combination of types, against double precision computed from the rounded inputs.</summary>
internal sealed class LayerNormCudaTests : CudaKernelTest
{
    private const float Epsilon = 1e-5f;

    /// <summary>Columns: whole rows of a warp's registers, ragged ones, the widest, wider, and not in fours.</summary>
    private static readonly int[] Widths = [4, 128, 132, 768, 1280, 1, 7, 97, 1284];

    [Test]
    public void ForwardMatchesDoublePrecision(
        [ValueSource(nameof(Widths))] int columns, [Values] bool roundedInput, [Values] bool roundedOutput, [Values(0, 1e3)] double offset)
    {
        const int rows = 9;
        float[] x = Normal(rows * columns, 1, offset), gamma = Normal(columns, 0.2, 1), beta = Normal(columns);
        if (roundedInput) x = Rounded(x);
        Tensor y = roundedOutput ? PoisonedBFloats(rows, columns) : Poisoned(rows, columns), mean = Poisoned(rows), rstd = Poisoned(rows);
        Tensor tx = roundedInput ? BFloats(x, rows, columns) : Tensor(x, rows, columns);
        LayerNorm.Forward(Device, y, mean, rstd, tx, Tensor(gamma, columns), Tensor(beta, columns), Epsilon);
        Statistics exact = Forward<double>(Wide(x), Wide(gamma), Wide(beta), columns, Epsilon);
        Statistics plain = Forward<float>(Wide(x), Wide(gamma), Wide(beta), columns, Epsilon);
        AssertClose(y, exact.Y, plain.Y, "y");
        AssertClose(mean, exact.Mean, plain.Mean, "mean");
        AssertClose(rstd, exact.Rstd, plain.Rstd, "rstd");
        Tensor alone = roundedOutput ? PoisonedBFloats(rows, columns) : Poisoned(rows, columns);
        LayerNorm.Forward(Device, alone, default, default, tx, Tensor(gamma, columns), Tensor(beta, columns), Epsilon);
        Assert.That(Bits(Contents(alone)), Is.EqualTo(Bits(Contents(y))), "without statistics");
    }

    [Test]
    public void BackwardIntoTheStreamMatchesDoublePrecision(
        [ValueSource(nameof(Widths))] int columns, [Values(1, 13)] int rows, [Values] bool accumulate, [Values] bool roundedCopy) =>
        Backward(rows, columns, accumulate, roundedInput: false, roundedGradient: false, roundedCopy);

    [Test]
    public void BackwardOfRoundedTensorsMatchesDoublePrecision([Values(8, 13, 768)] int columns, [Values] bool roundedInput, [Values] bool accumulate) =>
        Backward(5, columns, accumulate, roundedInput, roundedGradient: true, roundedCopy: false);

    [Test]
    public void MoreRowsThanPartialSumsAddUp([Values(8, 6)] int columns) =>
        Backward(1091, columns, accumulate: true, roundedInput: false, roundedGradient: false, roundedCopy: true);

    [Test]
    public void BackwardWorksInPlace([Values(768, 37)] int columns)
    {
        float[] x = Normal(5 * columns), dy = Normal(5 * columns);
        Tensor separate = PoisonedBFloats(5, columns), inPlace = BFloats(dy, 5, columns), tx = Tensor(x, 5, columns), gamma = Tensor(Normal(columns, 0.2, 1), columns);
        Tensor mean = Tensor(Normal(5), 5), rstd = Tensor(Normal(5, 0.1, 1), 5), scratch = Poisoned(LayerNorm.ScratchLength(5, columns));
        Tensor first = Tensor(new float[columns], columns), second = Tensor(new float[columns], columns), other = Tensor(new float[columns], columns);
        LayerNorm.Backward(Device, separate, first, other, inPlace, tx, gamma, mean, rstd, false, scratch: scratch);
        LayerNorm.Backward(Device, inPlace, second, other, inPlace, tx, gamma, mean, rstd, false, scratch: scratch);
        Assert.That(Contents(inPlace), Is.EqualTo(Contents(separate)));
        Assert.That(Contents(second), Is.EqualTo(Contents(first)));
    }

    [Test]
    public void ScratchThatIsTooSmallIsRefused()
    {
        Tensor x = Poisoned(3, 8), dy = PoisonedBFloats(3, 8), row = Poisoned(8), stat = Poisoned(3);
        Assert.That(
            () => LayerNorm.Backward(Device, x, row, row, dy, x, row, stat, stat, false), Throws.ArgumentException.With.Message.Contains("scratch"));
    }

    [Test]
    public void EveryAccessIsOneRunOfMemory([Values(768, 1280)] int columns)
    {
        const int rows = 8;
        Tensor y = PoisonedBFloats(rows, columns), x = Tensor(Normal(rows * columns), rows, columns), vector = Tensor(Normal(columns), columns);
        LayerNorm.Forward(Device, y, default, default, x, vector, vector, Epsilon);
        Backward(rows, columns, accumulate: true, roundedInput: false, roundedGradient: false, roundedCopy: true);
        if (Launches.Count == 0) Assert.Ignore("nothing is counted on hardware");
        Assert.That(Launches.Select(launch => launch.Statistics.ExtraSectors), Is.All.Zero);
        Assert.That(Launches.Select(launch => launch.Statistics.BankConflicts), Is.All.Zero);
    }

    private void Backward(int rows, int columns, bool accumulate, bool roundedInput, bool roundedGradient, bool roundedCopy)
    {
        float[] x = Normal(rows * columns, 1, 3), gamma = Normal(columns, 0.2, 1), dy = Rounded(Normal(rows * columns));
        float[] dx0 = Normal(rows * columns), dgamma0 = Normal(columns), dbeta0 = Normal(columns);
        if (roundedInput) x = Rounded(x);
        if (roundedGradient) dx0 = Rounded(dx0);
        Statistics statistics = Forward<double>(Wide(x), Wide(gamma), Wide(gamma), columns, Epsilon);
        float[] mean = [.. statistics.Mean.Select(v => (float)v)], rstd = [.. statistics.Rstd.Select(v => (float)v)];
        float[] start = accumulate ? dx0 : [.. dx0.Select(_ => float.NaN)];
        Tensor dx = roundedGradient ? BFloats(start, rows, columns) : Tensor(start, rows, columns);
        Tensor copy = roundedCopy ? PoisonedBFloats(rows, columns) : default;
        Tensor dgamma = Tensor(dgamma0, columns), dbeta = Tensor(dbeta0, columns), scratch = Poisoned(LayerNorm.ScratchLength(rows, columns));
        LayerNorm.Backward(
            Device, dx, dgamma, dbeta, BFloats(dy, rows, columns), roundedInput ? BFloats(x, rows, columns) : Tensor(x, rows, columns), Tensor(gamma, columns),
            Tensor(mean, rows), Tensor(rstd, rows), accumulate, copy, scratch);

        double[] old = accumulate ? Wide(dx0) : new double[dx0.Length];
        Gradients exact = Backward<double>(Wide(dy), Wide(x), Wide(gamma), Wide(mean), Wide(rstd), old, Wide(dgamma0), Wide(dbeta0));
        Gradients plain = Backward<float>(Wide(dy), Wide(x), Wide(gamma), Wide(mean), Wide(rstd), old, Wide(dgamma0), Wide(dbeta0));
        AssertClose(dx, exact.X, plain.X, "dx");
        AssertClose(dgamma, exact.Gamma, plain.Gamma, "dgamma");
        AssertClose(dbeta, exact.Beta, plain.Beta, "dbeta");
        if (roundedCopy) Assert.That(Contents(copy), Is.EqualTo(Rounded(Contents(dx))), "rounded copy");
    }
}
