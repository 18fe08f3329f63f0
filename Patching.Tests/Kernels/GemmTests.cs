using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Kernels;

/// <summary>The launchers on every device: values, epilogues, what is written and what is accumulated.</summary>
internal sealed class GemmTests(DeviceKind kind, int threads) : KernelTest(kind, threads)
{
    /// <summary>Rows, inputs, outputs: ones, primes, ragged and whole tiles, few and many rows, sums of more than one part.</summary>
    private static readonly int[][] Shapes =
    [
        [1, 1, 1], [1, 5, 1], [7, 1, 3], [1, 64, 33], [3, 17, 2], [16, 32, 32], [17, 31, 37],
        [29, 64, 61], [50, 96, 40], [14, 800, 5], [43, 1601, 35],
    ];

    private static readonly int[][] LargeShapes = [[131, 257, 191], [50, 768, 768], [100, 588, 130], [12, 1536, 1000]];

    [Test]
    public void ForwardMatchesDoublePrecision([ValueSource(nameof(Shapes))] int[] shape) => Forward(shape, new Parts(), packed: false);

    [Test]
    public void ForwardWithPackedWeightsMatchesDoublePrecision([ValueSource(nameof(Shapes))] int[] shape) =>
        Forward(shape, new Parts(Bias: true), packed: true);

    [Test]
    public void EveryEpilogueMatchesDoublePrecision(
        [Values] bool bias,
        [Values(null, ActivationKind.QuickGelu, ActivationKind.Gelu)] ActivationKind? function,
        [Values] bool save,
        [Values] bool residual,
        [Values(5, 45)] int rows)
        => Forward([rows, 70, 37], new Parts(bias, function, save, residual), packed: false);

    [Test]
    public void EpiloguesWorkOnSumsOfSeveralParts([Values] bool packed) =>
        Forward([45, 1700, 37], new Parts(true, ActivationKind.QuickGelu, true, true), packed);

    [Test]
    public void TheResidualMayBeTheOutput([Values] bool packed, [Values] bool bias, [Values(5, 45)] int rows, [Values(70, 1700)] int inputs)
    {
        const int outputs = 37;
        float[] x = Normal((long)rows * inputs), w = Normal((long)outputs * inputs);
        float[] b = Normal(outputs), old = Normal((long)rows * outputs);
        Tensor y = Tensor(old, rows, outputs);
        GemmEpilogue epilogue = new() { Residual = y, Bias = bias ? Tensor(b, outputs) : default };
        Run(y, Tensor(x, rows, inputs), Tensor(w, outputs, inputs), epilogue, packed);
        (double[] exact, float[] plain) = GemmReference.Forward(x, w, rows, inputs, outputs);
        AssertClose(
            y,
            GemmReference.Finish(exact, outputs, bias ? b : null, null, old, v => v).Output,
            GemmReference.Finish([.. plain.Select(v => (double)v)], outputs, bias ? b : null, null, old, v => (float)v).Output,
            "y");
    }

    [Test]
    public void BackwardInputMatchesDoublePrecision([ValueSource(nameof(Shapes))] int[] shape, [Values] bool accumulate)
    {
        (int rows, int inputs, int outputs) = (shape[0], shape[1], shape[2]);
        float[] dy = Normal((long)rows * outputs), w = Normal((long)outputs * inputs), old = Normal((long)rows * inputs);
        Tensor dx = accumulate ? Tensor(old, rows, inputs) : Poisoned(rows, inputs);
        Gemm.BackwardInput(Device, dx, Tensor(dy, rows, outputs), Tensor(w, outputs, inputs), accumulate);
        (double[] exact, float[] plain) = GemmReference.BackwardInput(dy, w, rows, inputs, outputs);
        if (!accumulate) Array.Clear(old);
        AssertClose(dx, [.. exact.Zip(old, (s, o) => s + o)], [.. plain.Zip(old, (s, o) => (double)(s + o))], "dx");
    }

    [Test]
    public void BackwardInputAppliesTheDerivative(
        [Values] ActivationKind function, [Values(3, 37)] int rows, [Values(29, 1601)] int outputs)
    {
        const int inputs = 53;
        float[] dy = Normal((long)rows * outputs), w = Normal((long)outputs * inputs), saved = Normal((long)rows * inputs, 2);
        Tensor dx = Poisoned(rows, inputs);
        Gemm.BackwardInput(
            Device, dx, Tensor(dy, rows, outputs), Tensor(w, outputs, inputs), preActivation: Tensor(saved, rows, inputs), kind: function);
        (double[] exact, float[] plain) = GemmReference.BackwardInput(dy, w, rows, inputs, outputs);
        AssertClose(
            dx,
            [.. exact.Zip(saved, (s, v) => s * ActivationReference.Derivative(v, function))],
            [.. plain.Zip(saved, (s, v) => (double)(s * (float)ActivationReference.Derivative(v, function)))],
            "dx");
    }

    [Test]
    public void BackwardWeightMatchesDoublePrecision([ValueSource(nameof(Shapes))] int[] shape, [Values] bool bias)
    {
        // The common index is the number of rows here: exchange the roles so that the long sums of the list are long here too.
        (int rows, int inputs, int outputs) = (shape[1], shape[2], shape[0]);
        float[] dy = Normal((long)rows * outputs), x = Normal((long)rows * inputs);
        float[] old = Normal((long)outputs * inputs), oldBias = Normal(outputs);
        Tensor dw = Tensor(old, outputs, inputs), dbias = bias ? Tensor(oldBias, outputs) : default;
        Gemm.BackwardWeight(Device, dw, dbias, Tensor(dy, rows, outputs), Tensor(x, rows, inputs));
        (double[] exact, float[] plain) = GemmReference.BackwardWeight(dy, x, rows, inputs, outputs);
        AssertClose(dw, [.. exact.Zip(old, (s, o) => s + o)], [.. plain.Zip(old, (s, o) => (double)(s + o))], "dw");
        if (!bias) return;
        (exact, plain) = GemmReference.ColumnSums(dy, rows, outputs);
        AssertClose(dbias, [.. exact.Zip(oldBias, (s, o) => s + o)], [.. plain.Zip(oldBias, (s, o) => (double)(s + o))], "dbias");
    }

    [Test]
    public void LargeShapesMatchDoublePrecision([ValueSource(nameof(LargeShapes))] int[] shape)
    {
        if (!Device.IsHost) Assert.Ignore("too slow for the simulator");
        Forward(shape, new Parts(true, ActivationKind.QuickGelu, true), packed: false);
        Forward(shape, new Parts(true), packed: true);
        BackwardInputMatchesDoublePrecision(shape, accumulate: false);
        BackwardWeightMatchesDoublePrecision([shape[1], shape[0], shape[2]], bias: true);
    }

    [Test]
    public void LargeOffsetsLoseNoMoreThanPlainArithmetic([Values(9, 41)] int rows)
    {
        const int inputs = 333, outputs = 35;
        float[] x = Normal((long)rows * inputs, 1, 1000), w = Normal((long)outputs * inputs, 1, -50);
        Tensor y = Poisoned(rows, outputs);
        Gemm.Forward(Device, y, Tensor(x, rows, inputs), Tensor(w, outputs, inputs));
        (double[] exact, float[] plain) = GemmReference.Forward(x, w, rows, inputs, outputs);
        AssertClose(y, exact, [.. plain.Select(v => (double)v)], "y");
    }

    [Test]
    public void NaNAndInfinityArriveWhereTheyBelong([Values(4, 40)] int rows)
    {
        const int inputs = 19, outputs = 34;
        float[] x = Normal((long)rows * inputs), w = Normal((long)outputs * inputs);
        x[2 * inputs + 18] = float.NaN;
        w[33 * inputs + 3] = float.PositiveInfinity;
        Tensor y = Poisoned(rows, outputs);
        Gemm.Forward(Device, y, Tensor(x, rows, inputs), Tensor(w, outputs, inputs));
        float[] values = Contents(y);
        for (int i = 0; i < values.Length; i++)
        {
            bool finite = i / outputs != 2 && i % outputs != 33;
            Assert.That(float.IsFinite(values[i]), Is.EqualTo(finite), $"element {i}");
        }
    }

    [Test]
    public void RepeatedRunsGiveTheSameBits()
    {
        const int rows = 77, inputs = 1000, outputs = 130;
        Tensor x = Tensor(Normal((long)rows * inputs), rows, inputs), w = Tensor(Normal((long)outputs * inputs), outputs, inputs);
        float[]? first = null;
        for (int run = 0; run < 5; run++)
        {
            Tensor y = Poisoned(rows, outputs);
            Gemm.Forward(Device, y, x, w);
            float[] values = Contents(y);
            Assert.That(values, Is.EqualTo(first ??= values));
        }
    }

    [Test]
    public void WrongShapesAreRefused()
    {
        Tensor y = Poisoned(3, 5), x = Poisoned(3, 4), w = Poisoned(5, 4), wrong = Poisoned(4, 4);
        GemmEpilogue inPlace = new() { Residual = y, Activation = ActivationKind.Gelu };
        Assert.That(() => Gemm.Forward(Device, y, x, wrong), Throws.ArgumentException);
        Assert.That(() => Gemm.Forward(Device, y, wrong, w), Throws.ArgumentException);
        Assert.That(() => Gemm.Forward(Device, y, x, w, new GemmEpilogue { Bias = wrong }), Throws.ArgumentException);
        Assert.That(() => Gemm.Forward(Device, y, x, w, new GemmEpilogue { PreActivation = x }), Throws.ArgumentException);
        Assert.That(() => Gemm.Forward(Device, y, x, w, inPlace), Throws.ArgumentException);
        Assert.That(() => Gemm.BackwardInput(Device, x, y, wrong), Throws.ArgumentException);
        Assert.That(() => Gemm.BackwardInput(Device, x, y, w, accumulate: true, preActivation: x), Throws.ArgumentException);
        Assert.That(() => Gemm.BackwardWeight(Device, w, wrong, y, x), Throws.ArgumentException);
        Assert.That(() => Gemm.BackwardWeight(Device, w, default, y, wrong), Throws.ArgumentException);
        Assert.That(() => Gemm.Pack(Device, new PackedWeight(w, 5, 4), w), Throws.ArgumentException);
    }

    private void Forward(int[] shape, Parts parts, bool packed)
    {
        (int rows, int inputs, int outputs) = (shape[0], shape[1], shape[2]);
        float[] x = Normal((long)rows * inputs), w = Normal((long)outputs * inputs), b = Normal(outputs), r = Normal((long)rows * outputs);
        Tensor y = Poisoned(rows, outputs);
        GemmEpilogue epilogue = new()
        {
            Bias = parts.Bias ? Tensor(b, outputs) : default,
            Activation = parts.Activation,
            PreActivation = parts.Save ? Poisoned(rows, outputs) : default,
            Residual = parts.Residual ? Tensor(r, rows, outputs) : default,
        };
        Run(y, Tensor(x, rows, inputs), Tensor(w, outputs, inputs), epilogue, packed);
        (double[] exact, float[] plain) = GemmReference.Forward(x, w, rows, inputs, outputs);
        float[]? bias = parts.Bias ? b : null, residual = parts.Residual ? r : null;
        (double[] exactBefore, double[] exactY) = GemmReference.Finish(exact, outputs, bias, parts.Activation, residual, v => v);
        (double[] plainBefore, double[] plainY) =
            GemmReference.Finish([.. plain.Select(v => (double)v)], outputs, bias, parts.Activation, residual, v => (float)v);
        AssertClose(y, exactY, plainY, "y");
        if (parts.Save) AssertClose(epilogue.PreActivation, exactBefore, plainBefore, "pre-activation");
    }

    private void Run(Tensor y, Tensor x, Tensor w, in GemmEpilogue epilogue, bool packed)
    {
        if (!packed)
        {
            Gemm.Forward(Device, y, x, w, epilogue);
            return;
        }
        PackedWeight copy = new(Poisoned((int)(Gemm.PackedBytes(w.Rows, w.Columns) / 4)), w.Rows, w.Columns);
        Gemm.Pack(Device, copy, w);
        Gemm.Forward(Device, y, x, copy, epilogue);
    }

    /// <summary>Which parts an epilogue has.</summary>
    private readonly record struct Parts(bool Bias = false, ActivationKind? Activation = null, bool Save = false, bool Residual = false);
}
