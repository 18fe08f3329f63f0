using NUnit.Framework;
using Patching.Kernels;
using static Patching.Tests.Kernels.Reference;

namespace Patching.Tests.Kernels.Cuda;

/// <summary>AdamW, whose results are the host's to the bit, and the gradient norm.</summary>
internal sealed class OptimizerCudaTests : CudaKernelTest
{
    private static readonly AdamWSettings Settings = new(1e-3, 0.9, 0.98, 1e-6, 0.2);

    [Test]
    public void StepsAreThoseOfTheHostBitForBit([Values(1, 3, 4, 1031, 2600)] int count, [Values] bool clip, [Values] bool rounded, [Values] bool stored)
    {
        float[][] state = [Normal(count), Normal(count, 0.1), [.. Normal(count, 0.01).Select(Math.Abs)], Normal(count)];
        float[] clipping = [3, 0.37f];
        Tensor[] tensors = [.. state.Select(values => Tensor(values, count))];
        Tensor copy = rounded ? PoisonedBFloats(count) : default, clips = clip ? Tensor(clipping, 2) : default, coefficients = Poisoned(AdamW.CoefficientCount);
        using Device host = Device.Open(DeviceKind.Host, 1);
        Tensor[] expected = [];
        using Arena arena = Arena.Allocate(host, "expected", a => expected = [.. Enumerable.Range(0, 5).Select(i => a.Take($"{i}", i < 4 ? count : 2))]);
        for (int i = 0; i < 4; i++) expected[i].CopyFrom(state[i]);
        expected[4].CopyFrom(clipping);
        for (int step = 1; step <= 3; step++)
        {
            AdamWSettings settings = Settings with { LearningRate = 1e-3 / step };
            AdamW.Step(host, expected[0], expected[1], expected[2], expected[3], clip ? expected[4] : default, settings, step);
            if (stored)
            {
                AdamW.WriteCoefficients(coefficients, settings, step);
                AdamW.Step(Device, tensors[0], tensors[1], tensors[2], tensors[3], clips, coefficients, copy);
            }
            else
            {
                AdamW.Step(Device, tensors[0], tensors[1], tensors[2], tensors[3], clips, settings, step, copy);
            }
        }
        for (int i = 0; i < 4; i++) Assert.That(Bits(Contents(tensors[i])), Is.EqualTo(Bits(expected[i].ToArray())), $"tensor {i}");
        if (rounded) Assert.That(Bits(Contents(copy)), Is.EqualTo(Bits(Rounded(expected[0].ToArray()))), "rounded");
    }

    [Test]
    public void TensorsAtOddAddressesWork()
    {
        Tensor p = Tensor(Normal(40), 40, 1), m = Tensor(new float[40], 40, 1), v = Tensor(new float[40], 40, 1), g = Tensor(Normal(40), 40, 1);
        float[] before = Contents(p);
        AdamW.Step(Device, p.SliceRows(1, 37), m.SliceRows(1, 37), v.SliceRows(1, 37), g.SliceRows(1, 37), default, Settings, 1);
        float[] after = Contents(p);
        Assert.That(after[0] == before[0] && after[38] == before[38] && after[39] == before[39], Is.True);
        Assert.That(after[1..38].Zip(before[1..38]).Count(pair => pair.First != pair.Second), Is.EqualTo(37));
    }

    [Test]
    public void NormAndCoefficientMatchDoublePrecision([Values(1, 3, 4096, 4099, 70001)] int count, [Values(0.5f, 1e9f)] float limit)
    {
        float[] g = Normal(count, 0.01);
        Tensor result = Poisoned(2);
        GradientNorm.Forward(Device, result, Tensor(g, count), Poisoned(GradientNorm.ScratchLength), limit);
        double norm = Math.Sqrt(g.Sum(v => (double)v * v));
        Assert.That(Contents(result)[0], Is.EqualTo((float)norm));
        Assert.That(Contents(result)[1], Is.EqualTo((float)Math.Min(1, limit / (norm + 1e-6))));
    }

    [Test]
    public void ANormThatIsNoNumberMakesTheCoefficientNaN([Values(float.NaN, float.PositiveInfinity)] float bad)
    {
        float[] g = Normal(5001);
        g[4713] = bad;
        Tensor result = Poisoned(2);
        GradientNorm.Forward(Device, result, Tensor(g, g.Length), Poisoned(GradientNorm.ScratchLength), 1);
        Assert.That(Contents(result)[1], Is.NaN);
    }
}
