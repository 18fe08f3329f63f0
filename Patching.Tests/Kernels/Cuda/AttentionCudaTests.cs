using NUnit.Framework;
using Patching.Kernels;
using Patching.Tests.Ptx;

namespace Patching.Tests.Kernels.Cuda;

internal sealed class AttentionCudaTests : CudaKernelTest
{
    private static readonly Dictionary<(AttentionShape Shape, bool Causal, double Scale, double Offset), AttentionCase> Cases = [];

    /// <summary>
    /// Batch, tokens, heads, head size. Tokens: neighbours of the tile of 64 (below it the kernels for one tile), of the last tile of 16 and
    /// of two and three tiles, and models' own. Head sizes: the three widths of the kernels, and what is padded to them.
    /// </summary>
    private static IEnumerable<AttentionShape> Shapes() =>
    [
        new(1, 2, 3, 16), new(2, 7, 1, 32), new(1, 17, 1, 80), new(1, 33, 2, 24), new(2, 50, 2, 64), new(1, 50, 1, 80),
        new(1, 50, 1, 128), new(1, 63, 1, 64), new(1, 64, 1, 64), new(1, 64, 1, 80),
        new(1, 65, 2, 64), new(1, 65, 1, 80), new(1, 77, 1, 64), new(1, 80, 1, 64), new(1, 81, 1, 64), new(1, 129, 1, 16),
        new(1, 129, 1, 80), new(1, 129, 1, 128),
        new(1, 197, 1, 64),
    ];

    [Test]
    public void ForwardMatchesDoublePrecision(
        [ValueSource(nameof(Shapes))] AttentionShape shape, [Values] bool causal, [Values(1, 30)] double scale) =>
        AssertForward(Case(shape, causal, scale, 0));

    [Test]
    public void BackwardMatchesDoublePrecision(
        [ValueSource(nameof(Shapes))] AttentionShape shape, [Values] bool causal, [Values(1, 30)] double scale) =>
        AssertBackward(Case(shape, causal, scale, 0));

    /// <summary>
    /// One token attends to itself: y = v and dv = dy to the bit. Nothing depends on q and k, so dq and dk are what is left of dp - delta,
    /// two sums of the same D products.
    /// </summary>
    [Test]
    public void OneTokenAttendsToItself([Values(64, 80)] int headSize, [Values] bool causal, [Values(1, 30)] double scale)
    {
        AttentionCase c = Case(new AttentionShape(1, 1, 1, headSize), causal, scale, 0);
        Tensor y = PoisonedBFloats(1, headSize);
        Attention.Forward(Device, y, default, BFloats(c.Qkv, 1, 3 * headSize), c.Shape, causal);
        Assert.That(Contents(y), Is.EqualTo(c.Qkv[(2 * headSize)..]));
        float[] dqkv = Contents(Backward(c));
        Assert.That(dqkv[(2 * headSize)..], Is.EqualTo(c.Dy));
        double products = Enumerable.Range(0, headSize).Sum(d => Math.Abs((double)c.Dy[d] * c.Qkv[2 * headSize + d]));
        double left = products * headSize * Math.Pow(2, -24) * c.Qkv.Max(Math.Abs) / Math.Sqrt(headSize);
        Assert.That(dqkv[..(2 * headSize)].Select(Math.Abs), Is.All.LessThanOrEqualTo(left));
    }

    /// <summary>All scores far from zero, in the thousands: only differences of scores may matter.</summary>
    [Test]
    public void OffsetsDoNotHurt([Values(50, 129)] int tokens, [Values] bool causal)
    {
        AttentionCase c = Case(new AttentionShape(1, tokens, 1, 64), causal, 1, 20);
        AssertForward(c);
        AssertBackward(c);
    }

    [Test]
    public void WithoutLogSumExpTheOutputIsTheSame([Values(9, 70)] int tokens)
    {
        AttentionShape shape = new(1, tokens, 2, 16);
        Tensor qkv = BFloats(Normal(3L * shape.Rows * shape.Width), shape.Rows, 3 * shape.Width);
        Tensor y = PoisonedBFloats(shape.Rows, shape.Width), alone = PoisonedBFloats(shape.Rows, shape.Width);
        Tensor saved = Poisoned(1, 2, tokens);
        Attention.Forward(Device, y, saved, qkv, shape, false);
        Attention.Forward(Device, alone, default, qkv, shape, false);
        Assert.That(Contents(alone), Is.EqualTo(Contents(y)));
    }

    [Test]
    public void RepeatsBitForBit([Values(50, 129)] int tokens, [Values] bool causal)
    {
        AttentionCase c = Case(new AttentionShape(1, tokens, 1, 64), causal, 1, 0);
        Assert.That(Contents(Backward(c)), Is.EqualTo(Contents(Backward(c))));
    }

    [Test]
    public void CausalOutputsDoNotDependOnLaterTokens([Values(14, 100)] int tokens)
    {
        AttentionShape shape = new(1, tokens, 2, 8);
        int before = tokens - 5;
        float[] qkv = Normal(3L * shape.Rows * shape.Width), changed = [.. qkv];
        for (int i = before * 3 * shape.Width; i < changed.Length; i++) changed[i] = 100 - changed[i];
        float[] y = Forward(qkv), after = Forward(changed);
        Assert.That(after[..(before * shape.Width)], Is.EqualTo(y[..(before * shape.Width)]));
        Assert.That(after[(before * shape.Width)..], Is.Not.EqualTo(y[(before * shape.Width)..]));

        float[] Forward(float[] input)
        {
            Tensor output = PoisonedBFloats(shape.Rows, shape.Width);
            Attention.Forward(Device, output, default, BFloats(input, shape.Rows, 3 * shape.Width), shape, causal: true);
            return Contents(output);
        }
    }

    [Test]
    public void NaNStaysInItsSequenceAndHead([Values(8, 70)] int tokens, [Values] bool causal, [Values(0, 1, 2)] int part)
    {
        AttentionShape shape = new(2, tokens, 2, 8);
        float[] qkv = Normal(3L * shape.Rows * shape.Width), dy = Normal((long)shape.Rows * shape.Width);
        float[] healthy = Gradients(qkv);
        qkv[(tokens + 2) * 48 + part * 16 + 12] = float.NaN; // token 2 of sequence 1, head 1
        float[] sick = Gradients(qkv);
        Assert.That(sick, Has.Some.NaN);
        for (int i = 0; i < sick.Length; i++)
            if (i / 48 < tokens || i % 16 < 8) Assert.That(sick[i], Is.EqualTo(healthy[i]), $"dqkv[{i}]");

        float[] Gradients(float[] input)
        {
            Tensor x = BFloats(input, shape.Rows, 48), y = PoisonedBFloats(shape.Rows, 16);
            Tensor saved = Poisoned(2, 2, tokens), dqkv = PoisonedBFloats(shape.Rows, 48);
            Attention.Forward(Device, y, saved, x, shape, causal);
            Attention.Backward(Device, dqkv, BFloats(dy, shape.Rows, 16), y, x, saved, Poisoned(2, 2, tokens), shape, causal);
            return Contents(dqkv);
        }
    }

    /// <summary>
    /// What the kernels are built for: no lane waits for a bank of shared memory, and global memory moves whole sectors, except where
    /// numbers per token (L and delta, 4 bytes each) start in the middle of one.
    /// </summary>
    [Test]
    public void SharedMemoryHasNoConflictsAndGlobalMemoryMovesWholeSectors(
        [Values(50, 129)] int tokens, [Values(64, 80, 128)] int headSize, [Values] bool causal)
    {
        AttentionShape shape = new(1, tokens, 2, headSize);
        Tensor qkv = BFloats(Normal(3L * shape.Rows * shape.Width), shape.Rows, 3 * shape.Width);
        Tensor dy = BFloats(Normal((long)shape.Rows * shape.Width), shape.Rows, shape.Width);
        Tensor y = PoisonedBFloats(shape.Rows, shape.Width), dqkv = PoisonedBFloats(shape.Rows, 3 * shape.Width);
        Tensor saved = Poisoned(1, 2, tokens), delta = Poisoned(1, 2, tokens);
        Attention.Forward(Device, y, saved, qkv, shape, causal);
        Attention.Backward(Device, dqkv, dy, y, qkv, saved, delta, shape, causal);
        Device.Synchronize();
        if (StandInDriver.UsesHardware) return;
        Assert.That(Launches, Has.Count.EqualTo(tokens <= 64 ? 2 : 3));
        foreach (LaunchStatistics counted in Launches.Select(launch => launch.Statistics))
        {
            Assert.That(counted.BankConflicts, Is.Zero, counted.Report());
            long ofNumbers = counted.Instructions.Where(i => i.Operation.Bytes == 4).Sum(i => i.Counters.Sectors - i.Counters.IdealSectors);
            Assert.That(counted.ExtraSectors, Is.EqualTo(ofNumbers), counted.Report());
        }
    }

    /// <summary>Products as the design counts them, of 64 columns and, where there are tiles, of 16; everything in registers.</summary>
    [TestCase("OneTileForward", 2, false)]
    [TestCase("OneTileBackward", 5, false)]
    [TestCase("Forward", 2, true)]
    [TestCase("QueryGradient", 3, true)]
    [TestCase("KeyValueGradient", 4, true)]
    public void TheCompiledTextHoldsWhatTheDesignSays(string name, int products, bool tiles)
    {
        foreach (int width in (int[])[64, 80, 128])
        {
            string text = PtxCompiler.Compile(CudaKernel.All.Single(kernel => kernel.Name == $"Attention.{name}{width}"));
            text = text[text.IndexOf(".visible .entry", StringComparison.Ordinal)..];
            Assert.That(Count(text, "mma.sync"), Is.EqualTo(products * (width / 16) * (tiles ? 8 + 2 : 8)));
            int barriers = name switch { "OneTileForward" => 1, "Forward" or "KeyValueGradient" => 2, _ => 3 };
            Assert.That(Count(text, "bar.sync"), Is.EqualTo(barriers));
            Assert.That(Count(text, ".local"), Is.Zero);
            Assert.That(Count(text, "call"), Is.Zero);
            Assert.That(Count(text, "st.global.v4"), Is.EqualTo(name switch { "OneTileBackward" => 3, "KeyValueGradient" => 2, _ => 1 }));
        }
    }

    [TestCase(12)]
    [TestCase(136)]
    public void HeadSizesItCannotTakeAreRefused(int headSize)
    {
        AttentionShape shape = new(1, 4, 1, headSize);
        Tensor qkv = BFloats(Normal(12 * headSize), 4, 3 * headSize), y = PoisonedBFloats(4, headSize);
        Assert.That(() => Attention.Forward(Device, y, default, qkv, shape, false), Throws.ArgumentException.With.Message.EqualTo(
            $"attention in bfloat16: the head size must be a multiple of 8 up to 128, not {headSize}; use single precision"));
    }

    [Test]
    public void MatricesOfTwoTypesAreRefused()
    {
        AttentionShape shape = new(1, 4, 1, 8);
        Tensor qkv = BFloats(Normal(96), 4, 24), y = Poisoned(4, 8);
        Assert.That(() => Attention.Forward(Device, y, default, qkv, shape, false), Throws.ArgumentException.With.Message.EqualTo(
            "attention in bfloat16: all matrices must be BFloat16, not Float32[4, 8]"));
    }

    private static int Count(string text, string part) => text.Split(part).Length - 1;

    private void AssertForward(AttentionCase c)
    {
        AttentionShape shape = c.Shape;
        Tensor y = PoisonedBFloats(shape.Rows, shape.Width), saved = Poisoned(shape.Batch, shape.Heads, shape.Tokens);
        Attention.Forward(Device, y, saved, BFloats(c.Qkv, shape.Rows, 3 * shape.Width), shape, c.Causal);
        AssertClose(y, c.Y.Exact, c.Y.Plain, "y");
        AssertClose(saved, c.LogSumExp.Exact, c.LogSumExp.Plain, "logSumExp");
    }

    private void AssertBackward(AttentionCase c)
    {
        float[] dqkv = Contents(Backward(c));
        for (int part = 0; part < 3; part++)
            AssertClose(
                Part(dqkv, part, c.Shape), Part(c.Gradient.Exact, part, c.Shape), Part(c.Gradient.Plain, part, c.Shape), $"d{"qkv"[part]}");
    }

    private Tensor Backward(AttentionCase c)
    {
        AttentionShape shape = c.Shape;
        Tensor dqkv = PoisonedBFloats(shape.Rows, 3 * shape.Width), delta = Poisoned(shape.Batch, shape.Heads, shape.Tokens);
        Tensor dy = BFloats(c.Dy, shape.Rows, shape.Width), y = BFloats(c.BackwardY, shape.Rows, shape.Width);
        Tensor qkv = BFloats(c.Qkv, shape.Rows, 3 * shape.Width);
        Tensor saved = Tensor([.. c.LogSumExp.Exact.Select(v => (float)v)], shape.Batch, shape.Heads, shape.Tokens);
        Attention.Backward(Device, dqkv, dy, y, qkv, saved, delta, shape, c.Causal);
        return dqkv;
    }

    private AttentionCase Case(AttentionShape shape, bool causal, double scale, double offset)
    {
        if (!Cases.TryGetValue((shape, causal, scale, offset), out AttentionCase? known))
        {
            known = new AttentionCase(
                Normal(3L * shape.Rows * shape.Width, scale, offset), Normal((long)shape.Rows * shape.Width), shape, causal, rounded: true);
            Cases.Add((shape, causal, scale, offset), known);
        }
        return known;
    }

    /// <summary>The columns of q, k or v; each has its own magnitude and is judged by it.</summary>
    private static T[] Part<T>(T[] qkv, int part, AttentionShape shape) => [.. qkv.Where((_, i) => i / shape.Width % 3 == part)];
}
