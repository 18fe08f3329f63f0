using BenchmarkDotNet.Attributes;
using Patching.Kernels;

namespace Patching.Benchmarks.Kernels;

/// <summary>
/// The products of the linear layers of real models: a small batch, one that trains, and a single image. Every row of a shape multiplies
/// the same three matrices and counts <c>2 N I O</c> operations; epilogues are not counted, they are meant to be free.
/// </summary>
[Config(typeof(ArithmeticConfig))]
public class GemmBenchmarks
{
    private Device device = null!;
    private Arena arena = null!;
    private Tensor x, w, y, dx, dw, bias, preActivation;
    private PackedWeight packed;

    /// <summary>The shapes by name.</summary>
    public static IEnumerable<LinearShape> Shapes =>
    [
        .. ModelShape.B32.LinearLayers(1), .. ModelShape.B32.LinearLayers(16), .. ModelShape.B32.LinearLayers(64),
        .. ModelShape.B16.LinearLayers(8), .. ModelShape.L14.LinearLayers(8),
    ];

    [ParamsSource(nameof(Shapes))]
    public LinearShape Shape { get; set; } = null!;

    [GlobalSetup]
    public void Setup()
    {
        device = Device.Open(DeviceKind.Host);
        arena = Arena.Allocate(device, "benchmark", layout =>
        {
            x = layout.Take("x", Shape.Rows, Shape.Inputs);
            w = layout.Take("w", Shape.Outputs, Shape.Inputs);
            y = layout.Take("y", Shape.Rows, Shape.Outputs);
            dx = layout.Take("dx", Shape.Rows, Shape.Inputs);
            dw = layout.Take("dw", Shape.Outputs, Shape.Inputs);
            bias = layout.Take("bias", Shape.Outputs);
            preActivation = layout.Take("preActivation", Shape.Rows, Shape.Outputs);
            packed = PackedWeight.Take(layout, "packed", Shape.Outputs, Shape.Inputs);
        });
        Random random = new(1);
        foreach (Tensor tensor in new[] { x, w, y })
            tensor.CopyFrom([.. Enumerable.Range(0, (int)tensor.Count).Select(_ => random.NextSingle() - 0.5f)]);
        Gemm.Pack(device, packed, w);
    }

    [GlobalCleanup]
    public void Cleanup()
    {
        arena.Dispose();
        device.Dispose();
    }

    [Benchmark(Description = "peak: multiply-adds in registers"), Peak]
    public void Peak() => PeakLoop.Run(device.Threads);

    [Benchmark]
    public void Forward() => Gemm.Forward(device, y, x, w);

    [Benchmark(Description = "Forward, packed weights")]
    public void ForwardPacked() => Gemm.Forward(device, y, x, packed);

    [Benchmark(Description = "Forward, bias, QuickGELU, saving")]
    public void ForwardEpilogue() => Gemm.Forward(
        device, y, x, w, new GemmEpilogue { Bias = bias, Activation = ActivationKind.QuickGelu, PreActivation = preActivation });

    [Benchmark]
    public void BackwardInput() => Gemm.BackwardInput(device, dx, y, w);

    [Benchmark]
    public void BackwardWeight() => Gemm.BackwardWeight(device, dw, bias, y, x);
}
