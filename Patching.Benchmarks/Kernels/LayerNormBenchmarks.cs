using BenchmarkDotNet.Attributes;
using Patching.Kernels;

namespace Patching.Benchmarks.Kernels;

/// <summary>Layer normalisation of all tokens of a batch, forward and backward.</summary>
public class LayerNormBenchmarks : StreamBenchmarks
{
    private Tensor x, y, dx, dy, gamma, beta, dgamma, dbeta, mean, rstd;

    public static IEnumerable<StreamShape> Shapes =>
    [
        new("ViT-B/32 layer norm, batch 1", 50, 768),
        new("ViT-B/32 layer norm, batch 16", 16 * 50, 768),
        new("ViT-B/32 layer norm, batch 64", 64 * 50, 768),
        new("ViT-L/14 layer norm, batch 8", 8 * 257, 1024),
    ];

    [ParamsSource(nameof(Shapes))]
    public override StreamShape Shape { get; set; } = null!;

    protected override void Take(Arena layout)
    {
        int rows = Shape.Rows, columns = Shape.Columns;
        (x, y) = (layout.Take("x", rows, columns), layout.Take("y", rows, columns));
        (dx, dy) = (layout.Take("dx", rows, columns), layout.Take("dy", rows, columns));
        (gamma, beta) = (layout.Take("gamma", columns), layout.Take("beta", columns));
        (dgamma, dbeta) = (layout.Take("dgamma", columns), layout.Take("dbeta", columns));
        (mean, rstd) = (layout.Take("mean", rows), layout.Take("rstd", rows));
    }

    protected override void Fill()
    {
        Fill(x, 0);
        Fill(dy, 0);
        Fill(gamma, 1);
        Forward();
    }

    [Benchmark]
    [BytesPerElement(8)]
    public void Forward() => LayerNorm.Forward(Device, y, mean, rstd, x, gamma, beta, 1e-5f);

    [Benchmark]
    [BytesPerElement(12)]
    public void Backward() => LayerNorm.Backward(Device, dx, dgamma, dbeta, dy, x, gamma, mean, rstd, false);
}
