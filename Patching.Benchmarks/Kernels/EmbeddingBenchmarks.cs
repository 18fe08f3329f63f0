using BenchmarkDotNet.Attributes;
using Patching.Kernels;

namespace Patching.Benchmarks.Kernels;

/// <summary>
/// From pixels to tokens and back. The shape is the tokens [B T, C]; with a patch of 32 pixels an unfolded patch has 3 * 32 * 32 numbers,
/// four per element of the tokens of ViT-B.
/// </summary>
public class EmbeddingBenchmarks : StreamBenchmarks
{
    private const int ImageSize = 224;
    private const int PatchSize = 32;
    private const int Patches = ImageSize / PatchSize * (ImageSize / PatchSize);

    private Tensor images, table, unfolded, embedded, classToken, positions, tokens, pooled, rows;

    public static IEnumerable<StreamShape> Shapes =>
        [new("ViT-B/32 tokens, batch 16", 16 * (Patches + 1), 768), new("ViT-B/32 tokens, batch 64", 64 * (Patches + 1), 768)];

    [ParamsSource(nameof(Shapes))]
    public override StreamShape Shape { get; set; } = null!;

    private int Batch => Shape.Rows / (Patches + 1);

    protected override void Take(Arena layout)
    {
        int width = Shape.Columns;
        images = layout.Take("images", ElementType.UInt8, Batch, ImageSize, ImageSize, 3);
        table = layout.Take("table", 3, 256);
        unfolded = layout.Take("unfolded", Batch * Patches, 3 * PatchSize * PatchSize);
        embedded = layout.Take("embedded", Batch * Patches, width);
        classToken = layout.Take("class token", width);
        positions = layout.Take("positions", Patches + 1, width);
        tokens = layout.Take("tokens", Shape.Rows, width);
        pooled = layout.Take("pooled", Batch, width);
        rows = layout.Take("rows", ElementType.Int32, Batch);
    }

    protected override void Fill()
    {
        byte[] pixels = new byte[images.Count];
        new Random(1).NextBytes(pixels);
        images.CopyFrom(pixels);
        Fill(table, 0);
        Fill(embedded, 0);
        rows.CopyFrom([.. Enumerable.Range(0, Batch).Select(b => b * (Patches + 1))]);
    }

    // 5 bytes per pixel and channel; patches fill 49 of 50 tokens.
    [Benchmark]
    [BytesPerElement(5.0 * 3 * PatchSize * PatchSize / 768 * Patches / (Patches + 1))]
    public void Unfold() => PatchEmbedding.Unfold(Device, unfolded, images, table, PatchSize);

    [Benchmark]
    [BytesPerElement(8)]
    public void Assemble() => PatchEmbedding.Assemble(Device, tokens, embedded, classToken, positions, Batch);

    [Benchmark]
    [BytesPerElement(8)]
    public void AssembleBackward() => PatchEmbedding.AssembleBackward(Device, embedded, classToken, positions, tokens, Batch);

    [Benchmark]
    [BytesPerElement(4)]
    public void Scatter() => RowSelection.Scatter(Device, tokens, pooled, rows);
}
