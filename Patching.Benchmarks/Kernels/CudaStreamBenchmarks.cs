using BenchmarkDotNet.Attributes;
using Patching.Kernels;

namespace Patching.Benchmarks.Kernels;

/// <summary>
/// What benchmarks of memory-bound kernels on a GPU share: launches enough to fill the queue before one wait, and the measure of what its memory can do: a copy from
/// device to device of as many single-precision numbers as the kernel has. Without a GPU these benchmarks report none.
/// </summary>
[Config(typeof(StreamConfig))]
public abstract class CudaStreamBenchmarks
{
    /// <summary>Launches of one measurement.</summary>
    protected const int Launches = 20;

    private Arena arena = null!;
    private Tensor source, destination;

    /// <summary>The GPU.</summary>
    protected Device Device { get; private set; } = null!;

    /// <summary>The shape of this run.</summary>
    public abstract StreamShape Shape { get; set; }

    [GlobalSetup]
    public void Setup()
    {
        Device = Device.Open(DeviceKind.Cuda);
        int elements = checked((int)Shape.Elements);
        arena = Arena.Allocate(Device, "benchmark", layout =>
        {
            (source, destination) = (layout.Take("source", elements), layout.Take("destination", elements));
            Take(layout, elements);
        });
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        arena.Dispose();
        Device.Dispose();
    }

    [Benchmark(Description = "stream: copy", OperationsPerInvoke = Launches)]
    [BytesPerElement(8, IsStream = true)]
    public void Copy() => Repeat(() => destination.CopyFrom(source));

    /// <summary>Takes the kernels' tensors. Zeros are as good as other numbers: nothing here branches on values.</summary>
    protected abstract void Take(Arena layout, int elements);

    /// <summary>Launches and waits.</summary>
    protected void Repeat(Action launch)
    {
        for (int i = 0; i < Launches; i++) launch();
        Device.Synchronize();
    }
}

/// <summary>What runs over all weights of an image tower.</summary>
public class CudaWeightBenchmarks : CudaStreamBenchmarks
{
    private static readonly AdamWSettings Settings = new(1e-5);

    private Tensor parameter, m, v, gradient, rounded, clip, scratch;

    public static IEnumerable<StreamShape> Shapes =>
        [new("ViT-B/32 image tower, 88 M parameters", 114388, 768), new("ViT-L/14 image tower, 304 M parameters", 296875, 1024)];

    [ParamsSource(nameof(Shapes))]
    public override StreamShape Shape { get; set; } = null!;

    protected override void Take(Arena layout, int elements)
    {
        (parameter, gradient) = (layout.Take("parameter", elements), layout.Take("gradient", elements));
        (m, v) = (layout.Take("m", elements), layout.Take("v", elements));
        rounded = layout.Take("rounded", ElementType.BFloat16, elements);
        (clip, scratch) = (layout.Take("clip", 2), layout.Take("scratch", GradientNorm.ScratchLength));
    }

    [Benchmark(OperationsPerInvoke = Launches)]
    [BytesPerElement(4)]
    public void Norm() => Repeat(() => GradientNorm.Forward(Device, clip, gradient, scratch, 1));

    [Benchmark(OperationsPerInvoke = Launches)]
    [BytesPerElement(30)]
    public void AdamWRounded() => Repeat(() => AdamW.Step(Device, parameter, m, v, gradient, clip, Settings, 1, rounded));

    [Benchmark(OperationsPerInvoke = Launches)]
    [BytesPerElement(12)]
    public void Interpolate() => Repeat(() => Interpolation.Forward(Device, parameter, m, v, 0.3));

    [Benchmark(OperationsPerInvoke = Launches)]
    [BytesPerElement(14)]
    public void InterpolateRounded() => Repeat(() => Interpolation.Forward(Device, parameter, m, v, 0.3, rounded));

    [Benchmark(OperationsPerInvoke = Launches)]
    [BytesPerElement(6)]
    public void Round() => Repeat(() => Rounding.Forward(Device, rounded, parameter));
}

/// <summary>Layer normalisation of all tokens of a batch as <c>--precision bf16</c> runs it.</summary>
public class CudaLayerNormBenchmarks : CudaStreamBenchmarks
{
    private Tensor x, y, dx, dy, dxRounded, gamma, beta, dgamma, dbeta, mean, rstd, scratch;

    public static IEnumerable<StreamShape> Shapes =>
    [
        new("ViT-B/32 layer norm, batch 128", 128 * 50, 768), new("ViT-B/16 layer norm, batch 128", 128 * 197, 768),
        new("ViT-L/14 layer norm, batch 128", 128 * 257, 1024),
    ];

    [ParamsSource(nameof(Shapes))]
    public override StreamShape Shape { get; set; } = null!;

    protected override void Take(Arena layout, int elements)
    {
        int rows = Shape.Rows, columns = Shape.Columns;
        (x, dx) = (layout.Take("x", rows, columns), layout.Take("dx", rows, columns));
        (y, dy) = (layout.Take("y", ElementType.BFloat16, rows, columns), layout.Take("dy", ElementType.BFloat16, rows, columns));
        dxRounded = layout.Take("dx rounded", ElementType.BFloat16, rows, columns);
        (gamma, beta) = (layout.Take("gamma", columns), layout.Take("beta", columns));
        (dgamma, dbeta) = (layout.Take("dgamma", columns), layout.Take("dbeta", columns));
        (mean, rstd) = (layout.Take("mean", rows), layout.Take("rstd", rows));
        scratch = layout.Take("scratch", LayerNorm.ScratchLength(rows, columns));
    }

    [Benchmark(OperationsPerInvoke = Launches)]
    [BytesPerElement(6)]
    public void Forward() => Repeat(() => LayerNorm.Forward(Device, y, mean, rstd, x, gamma, beta, 1e-5f));

    [Benchmark(OperationsPerInvoke = Launches)]
    [BytesPerElement(16)]
    public void BackwardIntoTheStream() =>
        Repeat(() => LayerNorm.Backward(Device, dx, dgamma, dbeta, dy, x, gamma, mean, rstd, accumulate: true, dxRounded, scratch));
}
