using BenchmarkDotNet.Attributes;
using Patching.Benchmarks.Kernels.GemmSteps;
using Patching.Kernels;

namespace Patching.Benchmarks.Kernels;

/// <summary>The five steps of docs/tensor-cores.md on one product; nothing where there is no GPU.</summary>
[Config(typeof(GpuArithmeticConfig))]
public class GemmStepsBenchmarks
{
    private Device device = null!;
    private Arena arena = null!;
    private Tensor x, w, y, roundedX, roundedW;

    /// <summary>Large enough for 512 large tiles.</summary>
    public static IEnumerable<LinearShape> Shapes => Device.CudaIsAvailable() ? [new LinearShape("4096 x 1024 x 4096", 4096, 1024, 4096)] : [];

    [ParamsSource(nameof(Shapes))]
    public LinearShape Shape { get; set; } = null!;

    [GlobalSetup]
    public void Setup()
    {
        device = Device.Open(DeviceKind.Cuda);
        arena = Arena.Allocate(device, "benchmark", layout =>
        {
            x = layout.Take("x", Shape.Rows, Shape.Inputs);
            w = layout.Take("w", Shape.Outputs, Shape.Inputs);
            y = layout.Take("y", Shape.Rows, Shape.Outputs);
            roundedX = layout.Take("roundedX", ElementType.BFloat16, Shape.Rows, Shape.Inputs);
            roundedW = layout.Take("roundedW", ElementType.BFloat16, Shape.Outputs, Shape.Inputs);
        });
        Random random = new(1);
        foreach ((Tensor tensor, Tensor rounded) in new[] { (x, roundedX), (w, roundedW) })
        {
            float[] values = [.. Enumerable.Range(0, (int)tensor.Count).Select(_ => random.NextSingle() - 0.5f)];
            tensor.CopyFrom(values);
            rounded.CopyFrom(values);
        }
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        arena.Dispose();
        device.Dispose();
    }

    [Benchmark(Description = "1 naive")]
    public void Naive()
    {
        Gemm.ForwardPortable(device, y, x, w, default);
        device.Synchronize();
    }

    [Benchmark(Description = "2 a tile of shared memory")]
    public void Shared()
    {
        SharedTile.Forward(device, y, x, w);
        device.Synchronize();
    }

    [Benchmark(Description = "3 a tile of registers")]
    public void Registers()
    {
        Gemm.Forward(device, y, x, w);
        device.Synchronize();
    }

    [Benchmark(Description = "4 tensor cores")]
    public void TensorCores()
    {
        PlainTensorCores.Forward(device, y, roundedX, roundedW);
        device.Synchronize();
    }

    [Benchmark(Description = "5 pipeline, no bank conflicts")]
    public void Pipelined()
    {
        Gemm.Forward(device, y, roundedX, roundedW);
        device.Synchronize();
    }
}
