using BenchmarkDotNet.Attributes;
using Patching.Kernels;

namespace Patching.Benchmarks.Kernels;

/// <summary>
/// What follows the image tower: normalised features (their width taken as that of the shape), smoothed cross-entropy with its gradient,
/// prediction with rank and confidence.
/// </summary>
public class LossBenchmarks : StreamBenchmarks
{
    private Tensor logits, output, gradient, loss, inverse, labels, predicted, ranks;

    public static IEnumerable<StreamShape> Shapes =>
    [
        new("features of 512, batch 64", 64, 512),
        new("ImageNet logits, batch 64", 64, 1000),
        new("ImageNet logits, batch 512", 512, 1000),
    ];

    [ParamsSource(nameof(Shapes))]
    public override StreamShape Shape { get; set; } = null!;

    protected override void Take(Arena layout)
    {
        int rows = Shape.Rows, columns = Shape.Columns;
        logits = layout.Take("logits", rows, columns);
        (output, gradient) = (layout.Take("y", rows, columns), layout.Take("dy", rows, columns));
        (loss, inverse) = (layout.Take("loss", rows), layout.Take("inverse", rows));
        labels = layout.Take("labels", ElementType.Int32, rows);
        (predicted, ranks) = (layout.Take("predicted", ElementType.Int32, rows), layout.Take("ranks", ElementType.Int32, rows));
    }

    protected override void Fill()
    {
        Fill(logits, 0);
        labels.CopyFrom([.. Enumerable.Range(0, Shape.Rows).Select(b => b % Shape.Columns)]);
        Normalize();
    }

    [Benchmark]
    [BytesPerElement(8)]
    public void Normalize() => L2Normalize.Forward(Device, output, inverse, logits);

    [Benchmark]
    [BytesPerElement(12)]
    public void NormalizeBackward() => L2Normalize.Backward(Device, gradient, logits, output, inverse);

    [Benchmark]
    [BytesPerElement(8)]
    public void CrossEntropyWithGradient() => CrossEntropy.Forward(Device, loss, gradient, logits, labels, 0.1f, 1f / Shape.Rows);

    [Benchmark]
    [BytesPerElement(4)]
    public void Predict() => Prediction.Forward(Device, predicted, ranks, loss, logits, labels);
}
