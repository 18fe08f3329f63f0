using Patching.Kernels;
using Patching.Model.Clip;

namespace Patching.Tests.Model.Clip;

/// <summary>
/// The image tower, its loss and its gradients in double precision, image by image, from the definitions alone; and the same with exactly the roundings to bfloat16
/// that mixed precision makes. The exact instance says what is right, the rounded one how far mixed precision may be from it: a kernel that rounds at the same places
/// makes errors of the same size.
/// </summary>
internal sealed class PlainTower(ClipConfig config, Func<string, float[]> weights, bool rounded)
{
    private readonly VisionConfig vision = config.Vision;
    private readonly Dictionary<string, double[]> gradients = [];

    /// <summary>Gradients of the mean loss, by parameter.</summary>
    public IReadOnlyDictionary<string, double[]> Gradients => gradients;

    /// <summary>Image features [B, E].</summary>
    public double[] Features(byte[] pixels, float[] pixelTable) =>
        [.. pixels.Chunk(3 * vision.ImageSize * vision.ImageSize).SelectMany(image => Forward(image, pixelTable).Features)];

    /// <summary>The mean loss; fills <see cref="Gradients"/>.</summary>
    public double Loss(byte[] pixels, float[] pixelTable, int[] labels, ZeroShotHead head)
    {
        double loss = 0;
        byte[][] images = [.. pixels.Chunk(3 * vision.ImageSize * vision.ImageSize)];
        for (int i = 0; i < images.Length; i++)
        {
            Saved saved = Forward(images[i], pixelTable);
            loss += HeadLoss(saved.Features, labels[i], head, images.Length, out double[] dFeatures) / images.Length;
            Backward(saved, dFeatures);
        }
        return loss;
    }

    private Saved Forward(byte[] image, float[] pixelTable)
    {
        Saved s = new();
        s.Patches = Round(Unfold(image, pixelTable));
        PlainMatrix embedded = Round(PlainMatrix.TimesTransposed(s.Patches, Matrix("visual.conv1.weight", vision.Width)));
        double[] classToken = Exact("visual.class_embedding");
        s.Embedded = new PlainMatrix(vision.Tokens, vision.Width, [.. classToken, .. embedded.Values]) + ExactMatrix("visual.positional_embedding", vision.Width);
        s.Streams.Add(LayerNorm(s.Embedded, "visual.ln_pre"));
        for (int layer = 0; layer < vision.Layers; layer++) Block(s, $"visual.transformer.resblocks.{layer}");
        s.Pooled = new PlainMatrix(1, vision.Width, s.Streams[^1].Row(0));
        s.PooledNormalized = Round(LayerNorm(s.Pooled, "visual.ln_post"));
        s.Features = PlainMatrix.TimesTransposed(s.PooledNormalized, Matrix("visual.proj", config.EmbeddingWidth)).Values;
        return s;
    }

    private void Block(Saved s, string block)
    {
        BlockSaved b = new() { X = s.Streams[^1] };
        b.Normalized1 = Round(LayerNorm(b.X, $"{block}.ln_1"));
        b.Qkv = Round(Linear(b.Normalized1, $"{block}.attn.in_proj_weight", $"{block}.attn.in_proj_bias"));
        b.Attended = Round(Attend(b));
        b.Middle = b.X + Linear(b.Attended, $"{block}.attn.out_proj.weight", $"{block}.attn.out_proj.bias");
        b.Normalized2 = Round(LayerNorm(b.Middle, $"{block}.ln_2"));
        b.PreActivation = Round(Linear(b.Normalized2, $"{block}.mlp.c_fc.weight", $"{block}.mlp.c_fc.bias"));
        b.Hidden = Round(b.PreActivation.Select(v => ActivationReference.Value(v, config.Activation)));
        s.Blocks.Add(b);
        s.Streams.Add(b.Middle + Linear(b.Hidden, $"{block}.mlp.c_proj.weight", $"{block}.mlp.c_proj.bias"));
    }

    private void Backward(Saved s, double[] dFeatures)
    {
        PlainMatrix dy = Round(new PlainMatrix(1, config.EmbeddingWidth, dFeatures));
        Accumulate("visual.proj", PlainMatrix.TimesTransposed(dy.Transposed(), s.PooledNormalized.Transposed()));
        PlainMatrix dPooled = Round(PlainMatrix.TimesTransposed(dy, Matrix("visual.proj", config.EmbeddingWidth).Transposed()));
        dPooled = Round(LayerNormBackward(dPooled, s.Pooled, "visual.ln_post"));
        PlainMatrix dx = new(vision.Tokens, vision.Width);
        dPooled.Values.CopyTo(dx.Values, 0);
        for (int layer = vision.Layers - 1; layer >= 0; layer--) dx = BlockBackward(dx, s.Blocks[layer], $"visual.transformer.resblocks.{layer}");
        dx = Round(LayerNormBackward(Round(dx), s.Embedded, "visual.ln_pre"));
        Accumulate("visual.positional_embedding", dx);
        Accumulate("visual.class_embedding", new PlainMatrix(1, vision.Width, dx.Row(0)));
        PlainMatrix dPatches = new(vision.Patches, vision.Width, dx.Values[vision.Width..]);
        Accumulate("visual.conv1.weight", PlainMatrix.TimesTransposed(dPatches.Transposed(), s.Patches.Transposed()));
    }

    private PlainMatrix BlockBackward(PlainMatrix dx, BlockSaved b, string block)
    {
        PlainMatrix dHidden = LinearBackward(Round(dx), b.Hidden, $"{block}.mlp.c_proj.weight", $"{block}.mlp.c_proj.bias");
        dHidden = Round(dHidden.Zip(b.PreActivation, (d, v) => d * ActivationReference.Derivative(v, config.Activation)));
        PlainMatrix dNormalized = Round(LinearBackward(dHidden, b.Normalized2, $"{block}.mlp.c_fc.weight", $"{block}.mlp.c_fc.bias"));
        dx += LayerNormBackward(dNormalized, b.Middle, $"{block}.ln_2");
        PlainMatrix dAttended = Round(LinearBackward(Round(dx), b.Attended, $"{block}.attn.out_proj.weight", $"{block}.attn.out_proj.bias"));
        PlainMatrix dQkv = Round(AttendBackward(dAttended, b));
        dNormalized = Round(LinearBackward(dQkv, b.Normalized1, $"{block}.attn.in_proj_weight", $"{block}.attn.in_proj_bias"));
        return dx + LayerNormBackward(dNormalized, b.X, $"{block}.ln_1");
    }

    private PlainMatrix Attend(BlockSaved b)
    {
        PlainMatrix y = new(vision.Tokens, vision.Width);
        for (int head = 0; head < vision.Heads; head++)
        {
            (PlainMatrix q, PlainMatrix k, PlainMatrix v) = Heads(b.Qkv, head);
            PlainMatrix scores = PlainMatrix.TimesTransposed(q, k).Select(s => s / Math.Sqrt(vision.HeadSize));
            PlainMatrix probabilities = new(vision.Tokens, vision.Tokens);
            for (int i = 0; i < vision.Tokens; i++)
            {
                double max = scores.Row(i).Max(), sum = scores.Row(i).Sum(s => Math.Exp(s - max));
                for (int j = 0; j < vision.Tokens; j++)
                {
                    double numerator = Math.Exp(scores[i, j] - max);
                    probabilities[i, j] = numerator / sum;
                    // A kernel that learns the sum last rounds the numerators.
                    for (int d = 0; d < vision.HeadSize; d++) y[i, head * vision.HeadSize + d] += Round(numerator) / sum * v[j, d];
                }
            }
            b.Probabilities.Add(probabilities);
        }
        return y;
    }

    private PlainMatrix AttendBackward(PlainMatrix dy, BlockSaved b)
    {
        PlainMatrix dqkv = new(vision.Tokens, 3 * vision.Width);
        for (int head = 0; head < vision.Heads; head++)
        {
            int first = head * vision.HeadSize;
            (PlainMatrix q, PlainMatrix k, PlainMatrix v) = Heads(b.Qkv, head);
            PlainMatrix p = b.Probabilities[head], dHead = dy.Slice(first, vision.HeadSize), y = b.Attended.Slice(first, vision.HeadSize);
            PlainMatrix dp = PlainMatrix.TimesTransposed(dHead, v);
            for (int i = 0; i < vision.Tokens; i++)
            {
                double delta = dHead.Row(i).Zip(y.Row(i), (a, c) => a * c).Sum();
                for (int j = 0; j < vision.Tokens; j++)
                {
                    double ds = Round(p[i, j] * (dp[i, j] - delta)) / Math.Sqrt(vision.HeadSize);
                    for (int d = 0; d < vision.HeadSize; d++)
                    {
                        dqkv[i, first + d] += ds * k[j, d];
                        dqkv[j, vision.Width + first + d] += ds * q[i, d];
                        dqkv[j, 2 * vision.Width + first + d] += Round(p[i, j]) * dHead[i, d];
                    }
                }
            }
        }
        return dqkv;
    }

    private (PlainMatrix Q, PlainMatrix K, PlainMatrix V) Heads(PlainMatrix qkv, int head)
    {
        PlainMatrix Part(int part) => qkv.Slice(part * vision.Width + head * vision.HeadSize, vision.HeadSize);
        return (Part(0), Part(1), Part(2));
    }

    private PlainMatrix Linear(PlainMatrix x, string weight, string bias)
    {
        double[] b = Exact(bias);
        PlainMatrix y = PlainMatrix.TimesTransposed(x, Matrix(weight, b.Length));
        for (int i = 0; i < y.Rows; i++)
            for (int j = 0; j < y.Columns; j++) y[i, j] += b[j];
        return y;
    }

    private PlainMatrix LinearBackward(PlainMatrix dy, PlainMatrix x, string weight, string bias)
    {
        PlainMatrix transposed = dy.Transposed();
        Accumulate(weight, PlainMatrix.TimesTransposed(transposed, x.Transposed()));
        Accumulate(bias, new PlainMatrix(1, dy.Columns, [.. Enumerable.Range(0, dy.Columns).Select(j => transposed.Row(j).Sum())]));
        return PlainMatrix.TimesTransposed(dy, Matrix(weight, dy.Columns).Transposed());
    }

    private PlainMatrix LayerNorm(PlainMatrix x, string name)
    {
        LayerNormReference.Statistics result =
            LayerNormReference.Forward<double>(x.Values, Exact($"{name}.weight"), Exact($"{name}.bias"), x.Columns, config.LayerNormEpsilon);
        return new PlainMatrix(x.Rows, x.Columns, result.Y);
    }

    private PlainMatrix LayerNormBackward(PlainMatrix dy, PlainMatrix x, string name)
    {
        double[] gamma = Exact($"{name}.weight"), zeros = new double[x.Columns];
        LayerNormReference.Statistics saved = LayerNormReference.Forward<double>(x.Values, gamma, zeros, x.Columns, config.LayerNormEpsilon);
        LayerNormReference.Gradients result =
            LayerNormReference.Backward<double>(dy.Values, x.Values, gamma, saved.Mean, saved.Rstd, new double[x.Values.Length], zeros, zeros);
        Accumulate($"{name}.weight", new PlainMatrix(1, x.Columns, result.Gamma));
        Accumulate($"{name}.bias", new PlainMatrix(1, x.Columns, result.Beta));
        return new PlainMatrix(x.Rows, x.Columns, result.X);
    }

    private static double HeadLoss(double[] features, int label, ZeroShotHead head, int batch, out double[] dFeatures)
    {
        double length = Math.Sqrt(features.Sum(f => f * f));
        double[] unit = [.. features.Select(f => f / length)], logits = new double[head.Classes], dUnit = new double[unit.Length];
        for (int k = 0; k < head.Classes; k++) logits[k] = unit.Select((u, e) => u * head.Weights[k * unit.Length + e]).Sum();
        double max = logits.Max(), sum = logits.Sum(z => Math.Exp(z - max));
        for (int k = 0; k < head.Classes; k++)
        {
            double dz = (Math.Exp(logits[k] - max) / sum - (k == label ? 1 : 0)) / batch;
            for (int e = 0; e < unit.Length; e++) dUnit[e] += dz * head.Weights[k * unit.Length + e];
        }
        double along = unit.Zip(dUnit, (u, d) => u * d).Sum();
        dFeatures = [.. unit.Zip(dUnit, (u, d) => (d - u * along) / length)];
        return Math.Log(sum) + max - logits[label];
    }

    private PlainMatrix Unfold(byte[] image, float[] pixelTable)
    {
        int p = vision.PatchSize, size = vision.ImageSize;
        PlainMatrix patches = new(vision.Patches, 3 * p * p);
        for (int patch = 0; patch < vision.Patches; patch++)
            for (int column = 0; column < patches.Columns; column++)
            {
                int channel = column / (p * p), y = patch / vision.Grid * p + column / p % p, x = patch % vision.Grid * p + column % p;
                patches[patch, column] = pixelTable[channel * 256 + image[(y * size + x) * 3 + channel]];
            }
        return patches;
    }

    private PlainMatrix Matrix(string name, int rows)
    {
        double[] values = Exact(name);
        return Round(new PlainMatrix(rows, values.Length / rows, values));
    }

    private PlainMatrix ExactMatrix(string name, int columns)
    {
        double[] values = Exact(name);
        return new PlainMatrix(values.Length / columns, columns, values);
    }

    private double[] Exact(string name) => [.. weights(name).Select(v => (double)v)];

    private double Round(double value) => rounded ? BFloat16.Round((float)value) : value;

    private PlainMatrix Round(PlainMatrix matrix) => rounded ? matrix.Select(Round) : matrix;

    private void Accumulate(string name, PlainMatrix gradient)
    {
        if (!gradients.TryGetValue(name, out double[]? sum)) gradients[name] = sum = new double[gradient.Values.Length];
        for (int i = 0; i < sum.Length; i++) sum[i] += gradient.Values[i];
    }

    private sealed class Saved
    {
        public PlainMatrix Patches { get; set; } = null!;

        public PlainMatrix Embedded { get; set; } = null!;

        public List<PlainMatrix> Streams { get; } = [];

        public List<BlockSaved> Blocks { get; } = [];

        public PlainMatrix Pooled { get; set; } = null!;

        public PlainMatrix PooledNormalized { get; set; } = null!;

        public double[] Features { get; set; } = [];
    }

    private sealed class BlockSaved
    {
        public required PlainMatrix X { get; init; }

        public PlainMatrix Normalized1 { get; set; } = null!;

        public PlainMatrix Qkv { get; set; } = null!;

        public List<PlainMatrix> Probabilities { get; } = [];

        public PlainMatrix Attended { get; set; } = null!;

        public PlainMatrix Middle { get; set; } = null!;

        public PlainMatrix Normalized2 { get; set; } = null!;

        public PlainMatrix PreActivation { get; set; } = null!;

        public PlainMatrix Hidden { get; set; } = null!;
    }
}
