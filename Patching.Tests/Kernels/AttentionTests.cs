using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Kernels;

internal sealed class AttentionTests(DeviceKind kind, int threads) : KernelTest(kind, threads)
{
    private const long SimulatorLimit = 60_000;

    private static readonly Dictionary<(AttentionShape Shape, bool Causal, double Scale), AttentionCase> Cases = [];

    /// <summary>
    /// Batch, tokens, heads, head size: the sequence lengths of CLIP models, and neighbours of every tile, panel and block boundary.
    /// </summary>
    private static IEnumerable<AttentionShape> Shapes() =>
    [
        new(1, 1, 1, 1), new(2, 1, 3, 64), new(1, 2, 1, 3), new(3, 2, 2, 8), new(2, 6, 2, 5), new(1, 7, 1, 17), new(1, 17, 3, 16),
        new(2, 17, 2, 31), new(1, 13, 5, 1), new(2, 50, 3, 64), new(1, 60, 1, 32), new(1, 61, 2, 33), new(1, 66, 1, 80),
        new(1, 77, 2, 64), new(1, 121, 1, 7), new(1, 197, 1, 64), new(1, 257, 1, 80), new(1, 577, 1, 20),
    ];

    [Test]
    public void ForwardMatchesDoublePrecision(
        [ValueSource(nameof(Shapes))] AttentionShape shape, [Values] bool causal, [Values(1, 30)] double scale)
    {
        SkipWhatTheSimulatorIsTooSlowFor(shape);
        AttentionCase c = Case(shape, causal, scale);
        Tensor y = Poisoned(shape.Rows, shape.Width), saved = Poisoned(shape.Batch, shape.Heads, shape.Tokens);
        Attention.Forward(Device, y, saved, Tensor(c.Qkv, shape.Rows, 3 * shape.Width), shape, causal);
        AssertClose(y, c.Y.Exact, c.Y.Plain, "y");
        AssertClose(saved, c.LogSumExp.Exact, c.LogSumExp.Plain, "logSumExp");
    }

    [Test]
    public void BackwardMatchesDoublePrecision(
        [ValueSource(nameof(Shapes))] AttentionShape shape, [Values] bool causal, [Values(1, 30)] double scale)
    {
        SkipWhatTheSimulatorIsTooSlowFor(shape);
        AttentionCase c = Case(shape, causal, scale);
        float[] dqkv = Contents(Backward(c));
        for (int part = 0; part < 3; part++)
            AssertClose(Part(dqkv, part, shape), Part(c.Gradient.Exact, part, shape), Part(c.Gradient.Plain, part, shape),
                $"d{"qkv"[part]}");
    }

    [Test]
    public void WithoutLogSumExpTheOutputIsTheSame([Values] bool causal)
    {
        AttentionShape shape = new(1, 9, 2, 6);
        Tensor qkv = Tensor(Normal(9 * 36), 9, 36), y = Poisoned(9, 12), saved = Poisoned(1, 2, 9), alone = Poisoned(9, 12);
        Attention.Forward(Device, y, saved, qkv, shape, causal);
        Attention.Forward(Device, alone, default, qkv, shape, causal);
        Assert.That(Contents(alone), Is.EqualTo(Contents(y)));
    }

    [Test]
    public void EqualTokensAttendEvenly([Values] bool causal, [Values(1, 1000)] float size)
    {
        AttentionShape shape = new(1, 19, 1, 4);
        float[] qkv = new float[19 * 12];
        Array.Fill(qkv, size);
        Tensor y = Poisoned(19, 4), saved = Poisoned(1, 1, 19);
        Attention.Forward(Device, y, saved, Tensor(qkv, 19, 12), shape, causal);
        Assert.That(Contents(y), Is.All.EqualTo(size).Within(2).Ulps);
        float[] logs = Contents(saved);
        for (int i = 0; i < 19; i++) Assert.That(logs[i], Is.EqualTo(2 * size * size + MathF.Log(causal ? i + 1 : 19)).Within(2).Ulps);
    }

    [Test]
    public void CausalOutputsDoNotDependOnLaterTokens()
    {
        AttentionShape shape = new(1, 14, 2, 5);
        float[] qkv = Normal(14 * 30), changed = [.. qkv];
        for (int i = 9 * 30; i < changed.Length; i++) changed[i] = 100 - changed[i];
        Tensor y = Poisoned(14, 10), after = Poisoned(14, 10);
        Attention.Forward(Device, y, default, Tensor(qkv, 14, 30), shape, causal: true);
        Attention.Forward(Device, after, default, Tensor(changed, 14, 30), shape, causal: true);
        Assert.That(Contents(after)[..90], Is.EqualTo(Contents(y)[..90]));
        Assert.That(Contents(after)[90..], Is.Not.EqualTo(Contents(y)[90..]));
    }

    [Test]
    public void NaNStaysInItsSequenceAndHead([Values] bool causal, [Values(0, 1, 2)] int part)
    {
        AttentionShape shape = new(2, 8, 2, 3);
        float[] qkv = Normal(16 * 18), dy = Normal(16 * 6);
        AttentionCase healthy = new([.. qkv], dy, shape, causal);
        qkv[10 * 18 + part * 6 + 4] = float.NaN; // token 2 of sequence 1, head 1
        Tensor input = Tensor(qkv, 16, 18), y = Poisoned(16, 6), saved = Poisoned(2, 2, 8), dqkv = Poisoned(16, 18);
        Attention.Forward(Device, y, saved, input, shape, causal);
        Attention.Backward(Device, dqkv, Tensor(dy, 16, 6), y, input, saved, Poisoned(2, 2, 8), shape, causal);
        float[] outputs = Contents(y), gradients = Contents(dqkv);
        Assert.That(outputs[10 * 6 + 4], Is.NaN);
        for (int i = 0; i < outputs.Length; i++)
            if (i / 6 < 8 || i % 6 < 3) Assert.That(outputs[i], Is.EqualTo(healthy.Y.Exact[i]).Within(1e-5), $"y[{i}]");
        for (int i = 0; i < gradients.Length; i++)
            if (i / 18 < 8 || i % 6 < 3) Assert.That(gradients[i], Is.EqualTo(healthy.Gradient.Exact[i]).Within(1e-5), $"dqkv[{i}]");
    }

    [Test]
    public void RepeatsBitForBit([Values] bool causal)
    {
        AttentionShape shape = Device.IsHost ? new(2, 130, 3, 24) : new(2, 8, 2, 5);
        AttentionCase c = Case(shape, causal, 1);
        Assert.That(Contents(Backward(c)), Is.EqualTo(Contents(Backward(c))));
        Tensor qkv = Tensor(c.Qkv, shape.Rows, 3 * shape.Width);
        Tensor once = Poisoned(shape.Rows, shape.Width), twice = Poisoned(shape.Rows, shape.Width);
        Attention.Forward(Device, once, default, qkv, shape, causal);
        Attention.Forward(Device, twice, default, qkv, shape, causal);
        Assert.That(Contents(twice), Is.EqualTo(Contents(once)));
    }

    [Test]
    public void WrongShapesAreRefused()
    {
        AttentionShape shape = new(1, 4, 2, 3);
        Tensor qkv = Tensor(Normal(72), 4, 18), y = Poisoned(4, 6);
        Assert.That(() => Attention.Forward(Device, Poisoned(4, 5), default, qkv, shape, false),
            Throws.ArgumentException.With.Message.Contains("y:"));
        Assert.That(() => Attention.Forward(Device, y, Poisoned(1, 2, 3), qkv, shape, false),
            Throws.ArgumentException.With.Message.Contains("logSumExp"));
        Assert.That(() => Attention.Forward(Device, y, default, y, shape, false), Throws.ArgumentException.With.Message.Contains("qkv"));
        Assert.That(
            () => Attention.Backward(Device, qkv, y, y, qkv, Poisoned(1, 2, 4), default, shape, false),
            Throws.ArgumentException.With.Message.Contains("delta"));
    }

    private Tensor Backward(AttentionCase c)
    {
        AttentionShape shape = c.Shape;
        Tensor dqkv = Poisoned(shape.Rows, 3 * shape.Width), delta = Poisoned(shape.Batch, shape.Heads, shape.Tokens);
        Tensor dy = Tensor(c.Dy, shape.Rows, shape.Width), y = Tensor(Singles(c.Y.Exact), shape.Rows, shape.Width);
        Tensor qkv = Tensor(c.Qkv, shape.Rows, 3 * shape.Width);
        Tensor saved = Tensor(Singles(c.LogSumExp.Exact), shape.Batch, shape.Heads, shape.Tokens);
        Attention.Backward(Device, dqkv, dy, y, qkv, saved, delta, shape, c.Causal);
        return dqkv;
    }

    /// <summary>Inputs and references of a shape; every fixture draws the same inputs, so the references are computed once.</summary>
    private AttentionCase Case(AttentionShape shape, bool causal, double scale)
    {
        if (!Cases.TryGetValue((shape, causal, scale), out AttentionCase? known))
        {
            known = new AttentionCase(Normal(3L * shape.Rows * shape.Width, scale), Normal((long)shape.Rows * shape.Width), shape, causal);
            Cases.Add((shape, causal, scale), known);
        }
        return known;
    }

    private void SkipWhatTheSimulatorIsTooSlowFor(AttentionShape shape)
    {
        long work = (long)shape.Pairs * shape.Tokens * shape.Tokens * shape.HeadSize;
        if (!Device.IsHost && work > SimulatorLimit) Assert.Pass("host only: too slow here");
    }

    /// <summary>The columns of q, k or v; each has its own magnitude and is judged by it.</summary>
    private static T[] Part<T>(T[] qkv, int part, AttentionShape shape) => [.. qkv.Where((_, i) => i / shape.Width % 3 == part)];

    private static float[] Singles(double[] values) => [.. values.Select(v => (float)v)];
}
