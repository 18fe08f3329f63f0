using System.Globalization;
using NUnit.Framework;
using Patching.Benchmarks.Kernels.GemmSteps;
using Patching.Kernels;
using Patching.Tests.Ptx;

namespace Patching.Tests.Kernels.Cuda;

/// <summary>The six steps of docs/tensor-cores.md: each computes the product, and what the document says about it is counted.</summary>
internal sealed class GemmStepsTests : CudaKernelTest
{
    private const int Size = 128;

    /// <summary>What a step costs per multiply-add, and the instructions of threads that wait for banks of shared memory.</summary>
    private readonly record struct Cost(double Instructions, double GlobalBytes, double SharedBytes, long Conflicts);

    // The document's figures are those of 384, which takes the interpreter longer.
    [TestCase(128)]
    [TestCase(384, Explicit = true)]
    public void EachStepNeedsLessThanTheOneBefore(int inputs)
    {
        Tensor y = Poisoned(Size, Size);
        float[] x = Rounded(Normal(Size * inputs)), w = Rounded(Normal(Size * inputs));
        Tensor floatX = Tensor(x, Size, inputs), floatW = Tensor(w, Size, inputs);
        Tensor roundedX = BFloats(x, Size, inputs), roundedW = BFloats(w, Size, inputs);
        (double[] exact, float[] plain) = GemmReference.Forward(x, w, Size, inputs, Size);

        Cost naive = Measure("1 naive", () => Gemm.ForwardPortable(Device, y, floatX, floatW, default));
        Cost tiled = Measure("2 shared tile", () => SharedTile.Forward(Device, y, floatX, floatW));
        Cost registers = Measure("3 register tile", () => Gemm.Forward(Device, y, floatX, floatW));
        Cost tensorCores = Measure("4 tensor cores", () => PlainTensorCores.Forward(Device, y, roundedX, roundedW));
        Cost pipelined = Measure("5 pipelined", () => Gemm.ForwardCuda(Device, y, roundedX, roundedW, default, TileSize.Large));
        if (Driver is null) return;
        Cost wgmma = Measure("6 wgmma", () => Gemm.ForwardCuda(Device, y, roundedX, roundedW, default, TileSize.WgmmaAlternating));

        Assert.That(tiled.GlobalBytes, Is.LessThan(naive.GlobalBytes / 8));
        Assert.That(registers.SharedBytes, Is.LessThan(tiled.SharedBytes / 4));
        Assert.That(registers.Instructions, Is.LessThan(tiled.Instructions / 2));
        Assert.That(tensorCores.Instructions, Is.LessThan(registers.Instructions / 5));
        Assert.That(tensorCores.Conflicts, Is.Positive);
        Assert.That(pipelined.Conflicts, Is.Zero);
        Assert.That(pipelined.SharedBytes, Is.LessThan(tensorCores.SharedBytes / 3));
        Assert.That(wgmma.Conflicts, Is.Zero);
        Assert.That(wgmma.Instructions, Is.LessThan(pipelined.Instructions));
        Assert.That(wgmma.SharedBytes, Is.LessThanOrEqualTo(pipelined.SharedBytes));

        Cost Measure(string name, Action launch)
        {
            y.CopyFrom([.. Enumerable.Repeat(float.NaN, Size * Size)]);
            Driver?.Clear();
            launch();
            AssertClose(y, exact, Precision.Wide(plain), name);
            if (Driver is null) return default;
            LaunchStatistics statistics = Launches.Single().Statistics;
            double multiplyAdds = (double)Size * Size * inputs;
            Cost cost = new(
                statistics.ThreadInstructions / multiplyAdds, statistics.Instructions.Sum(item => item.Counters.Sectors) * 32 / multiplyAdds,
                statistics.Instructions.Sum(item => item.Counters.Wavefronts) * 128 / multiplyAdds, statistics.BankConflicts);
            TestContext.Out.WriteLine(string.Create(
                CultureInfo.InvariantCulture,
                $"{name}: {cost.Instructions:0.000} instructions, {cost.GlobalBytes:0.0000} bytes global, {cost.SharedBytes:0.0000} shared, {cost.Conflicts} conflicts"));
            return cost;
        }
    }
}
