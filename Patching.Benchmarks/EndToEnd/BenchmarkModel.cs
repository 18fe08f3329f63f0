using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Images;

namespace Patching.Benchmarks.EndToEnd;

/// <summary>
/// A CLIP image tower of a published shape with made-up weights, pixels, labels and head: the same numbers in every process, computed from
/// names and indices, so
/// that engines can be compared without a checkpoint.
/// </summary>
/// <param name="Name">Name on the command line.</param>
/// <param name="Config">Shapes.</param>
internal sealed record BenchmarkModel(string Name, ClipConfig Config)
{
    /// <summary>Factor of the logits of every published CLIP after training.</summary>
    private const float LogitScale = 100;

    private static readonly BenchmarkModel[] Known =
    [
        Of("tiny", embedding: 64, new VisionConfig(ImageSize: 64, PatchSize: 32, Width: 128, Layers: 2, Heads: 2, MlpWidth: 512)),
        Of("ViT-B/32", embedding: 512, new VisionConfig(ImageSize: 224, PatchSize: 32, Width: 768, Layers: 12, Heads: 12, MlpWidth: 3072)),
        Of("ViT-B/16", embedding: 512, new VisionConfig(ImageSize: 224, PatchSize: 16, Width: 768, Layers: 12, Heads: 12, MlpWidth: 3072)),
        Of("ViT-L/14", embedding: 768, new VisionConfig(ImageSize: 224, PatchSize: 14, Width: 1024, Layers: 24, Heads: 16, MlpWidth: 4096)),
    ];

    /// <summary>Names that <see cref="Named"/> knows.</summary>
    public static IEnumerable<string> Names => Known.Select(model => model.Name);

    /// <summary>Bytes of one image, [S, S, 3].</summary>
    public int ImageBytes => 3 * Config.Vision.ImageSize * Config.Vision.ImageSize;

    /// <summary>Floating-point operations of the tower's matrix products for one image, a multiply-add counted as two.</summary>
    public double ForwardFlops
    {
        get
        {
            VisionConfig v = Config.Vision;
            double perToken = 2.0 * v.Width * (4 * v.Width + 2 * v.MlpWidth) + 4.0 * v.Tokens * v.Width;
            return PatchFlops + v.Layers * v.Tokens * perToken + 2.0 * v.Width * Config.EmbeddingWidth;
        }
    }

    /// <summary>The same for forward and backward: every product has two gradients, but nobody needs that of the pixels.</summary>
    public double StepFlops => 3 * ForwardFlops - PatchFlops;

    /// <summary>Parameters of the image tower.</summary>
    public long ParameterCount => ParameterTable.Vision(Config).Sum(spec => (long)spec.Length);

    private double PatchFlops => 2.0 * Config.Vision.Patches * Config.Vision.Width * 3 * Config.Vision.PatchSize * Config.Vision.PatchSize;

    /// <summary>Finds a model by its name.</summary>
    /// <exception cref="ArgumentException">There is none of that name.</exception>
    public static BenchmarkModel Named(string name) =>
        Known.FirstOrDefault(model => model.Name == name)
        ?? throw new ArgumentException($"--models {name}: unknown; known are {string.Join(", ", Names)}");

    /// <summary>
    /// Writes a parameter: LayerNorm gains around 1, biases and embeddings within 0.1, matrices uniform with the variance that keeps
    /// activations of order 1.
    /// </summary>
    public void Fill(ParameterSpec spec, Span<float> values)
    {
        bool isMatrix = spec.Shape.Length > 1 && !spec.Name.Contains("embedding", StringComparison.Ordinal);
        bool isGain = spec.Shape.Length == 1 && spec.Name.EndsWith("weight", StringComparison.Ordinal);
        float scale = isMatrix ? MathF.Sqrt(3f * spec.Shape[0] / spec.Length) : 0.1f;
        Uniform(spec.Name, values);
        for (int i = 0; i < values.Length; i++) values[i] = values[i] * scale + (isGain ? 1 : 0);
    }

    /// <summary>Pixels [B, S, S, 3].</summary>
    public byte[] Pixels(int batch)
    {
        byte[] pixels = new byte[batch * ImageBytes];
        new Random(batch).NextBytes(pixels);
        return pixels;
    }

    /// <summary>The same pixels as peers take them: normalised planes [B, 3, S, S].</summary>
    public float[] Planes(int batch)
    {
        byte[] pixels = Pixels(batch);
        float[] planes = new float[pixels.Length];
        for (int first = 0; first < pixels.Length; first += ImageBytes)
            ClipNormalization.Table.Apply(pixels.AsSpan(first, ImageBytes), planes.AsSpan(first, ImageBytes));
        return planes;
    }

    /// <summary>Labels [B] of K classes.</summary>
    public static int[] Labels(int batch, int classes) => [.. Enumerable.Range(0, batch).Select(image => image * 7919 % classes)];

    /// <summary>A frozen head of K directions, each of length <see cref="LogitScale"/>.</summary>
    public ZeroShotHead Head(int classes)
    {
        int width = Config.EmbeddingWidth;
        float[] weights = new float[classes * width];
        Uniform("head", weights);
        for (int k = 0; k < classes; k++)
        {
            Span<float> row = weights.AsSpan(k * width, width);
            double norm = 0;
            foreach (float value in row) norm += value * value;
            for (int i = 0; i < width; i++) row[i] *= (float)(LogitScale / Math.Sqrt(norm));
        }
        return new ZeroShotHead(weights, classes, width);
    }

    private static BenchmarkModel Of(string name, int embedding, VisionConfig vision) =>
        new(name, new ClipConfig(embedding, vision, Text: null, ActivationKind.QuickGelu, ClipConfig.DefaultLayerNormEpsilon));

    /// <summary>Numbers in [-1, 1) that depend on the name and the index alone (SplitMix64, Steele et al. 2014).</summary>
    private static void Uniform(string name, Span<float> values)
    {
        ulong state = 0xcbf29ce484222325;
        foreach (char letter in name) state = (state ^ letter) * 0x100000001b3;
        for (int i = 0; i < values.Length; i++)
        {
            ulong z = state += 0x9e3779b97f4a7c15;
            z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
            z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
            z ^= z >> 31;
            values[i] = (z >> 40) * (2f / (1 << 24)) - 1;
        }
    }
}
