using Patching.Benchmarks.EndToEnd;
using Patching.Model.Clip;

namespace Patching.Benchmarks;

/// <summary>A linear layer at work: <c>y[Rows, Outputs] = x[Rows, Inputs] w[Outputs, Inputs]T</c>.</summary>
/// <param name="Name">The name shown, such as <c>ViT-B/32 mlp up, batch 64</c>.</param>
/// <param name="Rows">Rows, batch times tokens.</param>
/// <param name="Inputs">Columns of the input.</param>
/// <param name="Outputs">Columns of the output.</param>
public sealed record LinearShape(string Name, int Rows, int Inputs, int Outputs) : IArithmeticShape
{
    /// <summary>Floating-point operations of one product: a multiplication and an addition per term of every sum.</summary>
    public double Operations => 2.0 * Rows * Inputs * Outputs;

    /// <inheritdoc/>
    public override string ToString() => Name;
}

/// <summary>The image towers that CLIP checkpoints come with: the sizes from which all shapes of the benchmarks follow.</summary>
/// <param name="Name">The model's name.</param>
/// <param name="ImageSize">Pixels along one side.</param>
/// <param name="PatchSize">Pixels along one side of a patch.</param>
/// <param name="Width">C.</param>
/// <param name="Heads">Attention heads.</param>
/// <param name="Layers">Transformer blocks.</param>
/// <param name="Embedding">Size of the image feature.</param>
public sealed record ModelShape(string Name, int ImageSize, int PatchSize, int Width, int Heads, int Layers, int Embedding)
{
    /// <summary>224 pixels, patches of 32: 50 tokens.</summary>
    public static readonly ModelShape B32 = new("ViT-B/32", 224, 32, 768, 12, 12, 512);

    /// <summary>224 pixels, patches of 16: 197 tokens.</summary>
    public static readonly ModelShape B16 = new("ViT-B/16", 224, 16, 768, 12, 12, 512);

    /// <summary>224 pixels, patches of 14: 257 tokens.</summary>
    public static readonly ModelShape L14 = new("ViT-L/14", 224, 14, 1024, 16, 24, 768);

    /// <summary>The sizes of a benchmark's model.</summary>
    internal static ModelShape Of(BenchmarkModel model)
    {
        VisionConfig vision = model.Config.Vision;
        return new ModelShape(model.Name, vision.ImageSize, vision.PatchSize, vision.Width, vision.Heads, vision.Layers, model.Config.EmbeddingWidth);
    }

    /// <summary>Patches per image.</summary>
    public int Patches => ImageSize / PatchSize * (ImageSize / PatchSize);

    /// <summary>Tokens per image: the patches and the class token.</summary>
    public int Tokens => Patches + 1;

    /// <summary>The five kinds of linear layers that make up nearly all of the tower's arithmetic.</summary>
    public IEnumerable<LinearShape> LinearLayers(int batch)
    {
        int rows = batch * Tokens;
        yield return new($"{Name} qkv, batch {batch}", rows, Width, 3 * Width);
        yield return new($"{Name} attention out, batch {batch}", rows, Width, Width);
        yield return new($"{Name} mlp up, batch {batch}", rows, Width, 4 * Width);
        yield return new($"{Name} mlp down, batch {batch}", rows, 4 * Width, Width);
        yield return new($"{Name} patch embedding, batch {batch}", batch * Patches, 3 * PatchSize * PatchSize, Width);
    }
}
