using BenchmarkDotNet.Attributes;
using Patching.Kernels;

namespace Patching.Benchmarks.Kernels;

/// <summary>Interpolation of all parameters of an image tower.</summary>
public class InterpolationBenchmarks : StreamBenchmarks
{
    private Tensor y, theta0, theta1;

    public static IEnumerable<StreamShape> Shapes => [new("ViT-B/32 image tower, 88 M parameters", 114388, 768)];

    [ParamsSource(nameof(Shapes))]
    public override StreamShape Shape { get; set; } = null!;

    protected override void Take(Arena layout)
    {
        int count = checked((int)Shape.Elements);
        (y, theta0, theta1) = (layout.Take("y", count), layout.Take("theta0", count), layout.Take("theta1", count));
    }

    protected override void Fill()
    {
        Fill(theta0, 0);
        Fill(theta1, 0);
    }

    [Benchmark]
    [BytesPerElement(12)]
    public void Forward() => Interpolation.Forward(Device, y, theta0, theta1, 0.3);

    [Benchmark]
    [BytesPerElement(12)]
    public void InPlace() => Interpolation.Forward(Device, theta0, theta0, theta1, 1e-9);

    [Benchmark]
    [BytesPerElement(8)]
    public void AlphaZero() => Interpolation.Forward(Device, y, theta0, theta1, 0);
}
