using BenchmarkDotNet.Attributes;
using Patching.Kernels;

namespace Patching.Benchmarks.Kernels;

/// <summary>
/// Gradient norm, clipping and AdamW over all parameters of an image tower: four streams in and three out, plus one in for the norm.
/// </summary>
public class OptimizerBenchmarks : StreamBenchmarks
{
    private static readonly AdamWSettings Settings = new(1e-5);

    private Tensor parameter, m, v, gradient, clip, scratch;
    private int step;

    public static IEnumerable<StreamShape> Shapes => [new("ViT-B/32 image tower, 88 M parameters", 114388, 768)];

    [ParamsSource(nameof(Shapes))]
    public override StreamShape Shape { get; set; } = null!;

    protected override void Take(Arena layout)
    {
        int count = checked((int)Shape.Elements);
        (parameter, gradient) = (layout.Take("parameter", count), layout.Take("gradient", count));
        (m, v) = (layout.Take("m", count), layout.Take("v", count));
        (clip, scratch) = (layout.Take("clip", 2), layout.Take("scratch", GradientNorm.ScratchLength));
    }

    protected override void Fill()
    {
        Fill(parameter, 0);
        Fill(gradient, 0);
        Norm();
    }

    [Benchmark]
    [BytesPerElement(4)]
    public void Norm() => GradientNorm.Forward(Device, clip, gradient, scratch, 1);

    [Benchmark]
    [BytesPerElement(28)]
    public void Step() => AdamW.Step(Device, parameter, m, v, gradient, clip, Settings, ++step);

    [Benchmark]
    [BytesPerElement(32)]
    public void NormAndStep()
    {
        Norm();
        Step();
    }
}
