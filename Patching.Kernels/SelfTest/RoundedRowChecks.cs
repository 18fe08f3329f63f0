using static Patching.Kernels.Precision;

namespace Patching.Kernels;

/// <summary>Self-test of what mixed precision does row by row: LayerNorm, activations, embedding, head and loss, and the rounded copies of weights.</summary>
internal static class RoundedRowChecks
{
    private const float Epsilon = 1e-5f;
    private static readonly AdamWSettings Settings = new(1e-3, 0.9, 0.98, 1e-6, 0.2);

    /// <summary>All checks; <paramref name="small"/> ones where arithmetic is slow.</summary>
    public static IEnumerable<SelfTestCheck> All(bool small)
    {
        (int Rows, int Columns)[] shapes = small ? [(5, 37), (10, 64)] : [(5, 37), (67, 212), (197, 768), (33, 1024)];
        foreach ((int rows, int columns) in shapes)
        {
            string size = $"{rows}x{columns}";
            yield return new SelfTestCheck("LayerNorm.Forward bf16", size, trial => Normalize(trial, rows, columns));
            yield return new SelfTestCheck("LayerNorm.Backward bf16", size, trial => NormalizeBackward(trial, rows, columns));
            yield return new SelfTestCheck("LayerNorm.Backward bf16 accumulate", size, trial => NormalizeBackwardAccumulating(trial, rows, columns));
            yield return new SelfTestCheck("HeadLoss.Forward bf16", size, trial => Loss(trial, rows, columns));
            yield return new SelfTestCheck("RowSelection.Scatter bf16", size, trial => Scatter(trial, rows, columns));
        }
        foreach (int count in small ? [7, 1031] : (int[])[7, 1031, 197 * 3072])
        {
            yield return new SelfTestCheck("Activation bf16", $"{count}", trial => Activate(trial, count));
            yield return new SelfTestCheck("Rounding.Forward", $"{count}", trial => Round(trial, count));
            yield return new SelfTestCheck("AdamW.Step bf16", $"{count}", trial => Step(trial, count));
            yield return new SelfTestCheck("Interpolation.Forward bf16", $"{count}", trial => Interpolate(trial, count));
        }
        (int Batch, int Size, int Patch, int Width)[] images = small ? [(2, 15, 7, 13), (2, 16, 4, 32)] : [(3, 47, 7, 53), (4, 224, 32, 768)];
        foreach ((int batch, int size, int patch, int width) in images)
            yield return new SelfTestCheck("PatchEmbedding bf16", $"{batch}x{size}x{size}/{patch}x{width}", trial => Embed(trial, batch, size, patch, width));
    }

    private static void Normalize(Trial trial, int rows, int columns)
    {
        float[] x = trial.Normal((long)rows * columns, 1, 10), gamma = trial.Normal(columns, 0.2, 1), beta = trial.Normal(columns);
        Tensor y = trial.PoisonedRounded(rows, columns), mean = trial.Poisoned(rows), rstd = trial.Poisoned(rows), tx = trial.Tensor(x, rows, columns);
        Tensor tgamma = trial.Tensor(gamma, columns), tbeta = trial.Tensor(beta, columns);
        trial.Launch(() => LayerNorm.Forward(trial.Device, y, mean, rstd, tx, tgamma, tbeta, Epsilon));
        LayerNormReference.Statistics exact = LayerNormReference.Forward<double>(Wide(x), Wide(gamma), Wide(beta), columns, Epsilon);
        LayerNormReference.Statistics plain = LayerNormReference.Forward<float>(Wide(x), Wide(gamma), Wide(beta), columns, Epsilon);
        trial.Compare("y", y, exact.Y, Trial.Round(plain.Y));
        trial.Compare("mean", mean, exact.Mean, plain.Mean);
        trial.Compare("rstd", rstd, exact.Rstd, plain.Rstd);
    }

    private static void NormalizeBackward(Trial trial, int rows, int columns)
    {
        NormCase c = new(trial, rows, columns);
        Tensor dx = trial.PoisonedRounded(rows, columns);
        trial.Launch(() => LayerNorm.Backward(trial.Device, dx, c.DGamma, c.DBeta, c.Dy, c.X, c.Gamma, c.Mean, c.Rstd, accumulate: false, scratch: c.Scratch));
        (LayerNormReference.Gradients exact, LayerNormReference.Gradients plain) = c.References(new double[(long)rows * columns]);
        trial.Compare("dx", dx, exact.X, Trial.Round(plain.X));
        trial.Compare("dgamma", c.DGamma, exact.Gamma, plain.Gamma);
        trial.Compare("dbeta", c.DBeta, exact.Beta, plain.Beta);
    }

    private static void NormalizeBackwardAccumulating(Trial trial, int rows, int columns)
    {
        NormCase c = new(trial, rows, columns);
        float[] old = trial.Normal((long)rows * columns);
        Tensor dx = trial.Tensor(old, rows, columns), rounded = trial.PoisonedRounded(rows, columns);
        trial.Launch(() => LayerNorm.Backward(trial.Device, dx, c.DGamma, c.DBeta, c.Dy, c.X, c.Gamma, c.Mean, c.Rstd, accumulate: true, rounded, c.Scratch));
        (LayerNormReference.Gradients exact, LayerNormReference.Gradients plain) = c.References(Wide(old));
        trial.Compare("dx", dx, exact.X, plain.X);
        trial.CompareExactly("rounded dx", rounded, Trial.Round(dx.ToArray()));
        trial.Compare("dgamma", c.DGamma, exact.Gamma, plain.Gamma);
        trial.Compare("dbeta", c.DBeta, exact.Beta, plain.Beta);
    }

    private static void Loss(Trial trial, int rows, int width)
    {
        const int classes = 10;
        float smoothing = 0.1f, scale = 1f / rows;
        float[] features = trial.Normal((long)rows * width), head = trial.Normal(classes * width);
        int[] labels = trial.Integers(rows, classes);
        Tensor losses = trial.Poisoned(rows), dFeatures = trial.PoisonedRounded(rows, width), tfeatures = trial.Tensor(features, rows, width);
        Tensor thead = trial.Tensor(head, classes, width), tlabels = trial.Tensor(labels, rows), scratch = trial.Poisoned(HeadLoss.ScratchLength(rows, classes, width));
        trial.Launch(() => HeadLoss.Forward(trial.Device, losses, dFeatures, tfeatures, thead, tlabels, smoothing, scratch));
        (double[] exactLoss, double[] exactGradient) = Head<double>(features, head, labels, classes, smoothing, scale);
        (double[] plainLoss, double[] plainGradient) = Head<float>(features, head, labels, classes, smoothing, scale);
        trial.Compare("losses", losses, exactLoss, plainLoss);
        trial.Compare("dFeatures", dFeatures, exactGradient, Trial.Round(plainGradient));
    }

    // The launcher's composition out of the references of its parts.
    private static (double[] Losses, double[] DFeatures) Head<T>(float[] features, float[] head, int[] labels, int classes, float smoothing, float scale)
        where T : System.Numerics.IFloatingPointIeee754<T>
    {
        int rows = labels.Length, width = features.Length / rows;
        double Exact(double value) => double.CreateTruncating(T.CreateTruncating(value));
        (double[] unit, double[] inverse) = L2NormalizeReference.Forward<T>(Wide(features), width);
        double[] logits = new double[rows * classes], dUnit = new double[features.Length];
        for (int n = 0; n < rows; n++)
            for (int k = 0; k < classes; k++)
            {
                double sum = 0;
                for (int e = 0; e < width; e++) sum = Exact(sum + Exact(unit[n * width + e] * head[k * width + e]));
                logits[n * classes + k] = sum;
            }
        (double[] losses, double[] dLogits) = CrossEntropyReference.Forward<T>(logits, labels, smoothing, scale);
        for (int n = 0; n < rows; n++)
            for (int e = 0; e < width; e++)
            {
                double sum = 0;
                for (int k = 0; k < classes; k++) sum = Exact(sum + Exact(dLogits[n * classes + k] * head[k * width + e]));
                dUnit[n * width + e] = sum;
            }
        return (losses, L2NormalizeReference.Backward<T>(dUnit, unit, inverse));
    }

    private static void Scatter(Trial trial, int rows, int columns)
    {
        float[] source = trial.NormalRounded(3L * columns);
        int[] selected = [rows - 1, 0, rows / 2];
        Tensor dx = trial.Poisoned(rows, columns), rounded = trial.PoisonedRounded(rows, columns), dy = trial.Rounded(source, 3, columns);
        Tensor tselected = trial.Tensor(selected, 3);
        trial.Launch(() => RowSelection.Scatter(trial.Device, dx, dy, tselected, rounded));
        float[] expected = EmbeddingReference.Scatter(source, selected, rows, columns);
        trial.CompareExactly("dx", dx, expected);
        trial.CompareExactly("rounded dx", rounded, expected);
    }

    private static void Activate(Trial trial, int count)
    {
        float[] x = trial.NormalRounded(count, 3), dy = trial.NormalRounded(count);
        Tensor tx = trial.Rounded(x, count), tdy = trial.Rounded(dy, count);
        foreach (ActivationKind kind in Enum.GetValues<ActivationKind>())
        {
            Tensor y = trial.PoisonedRounded(count), dx = trial.PoisonedRounded(count);
            trial.Launch(() => Activation.Forward(trial.Device, y, tx, kind));
            trial.Launch(() => Activation.Backward(trial.Device, dx, tdy, tx, kind));
            trial.Compare(
                $"y {kind}", y, [.. x.Select(v => ActivationReference.Value(v, kind))],
                Trial.Round([.. x.Select(v => (double)ActivationReference.PlainValue(v, kind))]));
            trial.Compare(
                $"dx {kind}", dx, [.. x.Zip(dy, (v, d) => d * ActivationReference.Derivative(v, kind))],
                Trial.Round([.. x.Zip(dy, (v, d) => (double)(d * ActivationReference.PlainDerivative(v, kind)))]));
        }
    }

    private static void Round(Trial trial, int count)
    {
        float[] x = trial.Normal(count);
        Tensor rounded = trial.PoisonedRounded(count), tx = trial.Tensor(x, count);
        trial.Launch(() => Rounding.Forward(trial.Device, rounded, tx));
        trial.CompareExactly("rounded", rounded, Trial.Round(x));
    }

    private static void Step(Trial trial, int count)
    {
        float[] p = trial.Normal(count), m = trial.Normal(count, 0.1), v = [.. trial.Normal(count, 0.1).Select(x => x * x)], g = trial.Normal(count);
        Tensor tp = trial.Tensor(p, count), tm = trial.Tensor(m, count), tv = trial.Tensor(v, count), tg = trial.Tensor(g, count);
        Tensor rounded = trial.PoisonedRounded(count), coefficients = trial.Poisoned(AdamW.CoefficientCount), clip = trial.Tensor([float.NaN, 0.37f], 2);
        AdamW.WriteCoefficients(coefficients, Settings, 1000);
        trial.Launch(() => AdamW.Step(trial.Device, tp, tm, tv, tg, clip, coefficients, rounded));
        double[][] exact = [Wide(p), Wide(m), Wide(v)], plain = [Wide(p), Wide(m), Wide(v)];
        AdamWReference.Step<double>(exact, Wide(g), 0.37f, Settings, 1000);
        AdamWReference.Step<float>(plain, Wide(g), 0.37f, Settings, 1000);
        trial.Compare("parameter", tp, exact[0], plain[0]);
        trial.CompareExactly("rounded parameter", rounded, Trial.Round(tp.ToArray()));
    }

    private static void Interpolate(Trial trial, int count)
    {
        float[] a = trial.Normal(count), b = trial.Normal(count);
        Tensor ta = trial.Tensor(a, count), tb = trial.Tensor(b, count);
        foreach (double alpha in (double[])[0, 0.3, 1])
        {
            Tensor y = trial.Poisoned(count), rounded = trial.PoisonedRounded(count);
            trial.Launch(() => Interpolation.Forward(trial.Device, y, ta, tb, alpha, rounded));
            float weight0 = (float)(1 - alpha), weight1 = (float)alpha;
            float[] expected = [.. a.Zip(b, (x, z) => (float)((float)(weight0 * x) + (float)(weight1 * z)))];
            trial.CompareExactly("y", y, expected);
            trial.CompareExactly("rounded y", rounded, Trial.Round(expected));
        }
    }

    private static void Embed(Trial trial, int batch, int size, int patchSize, int width)
    {
        byte[] images = [.. trial.Integers(batch * size * size * 3, 256).Select(v => (byte)v)];
        float[] table = trial.Normal(3 * 256);
        int grid = size / patchSize, length = grid * grid + 1, count = batch * grid * grid;
        Tensor patches = trial.PoisonedRounded(count, 3 * patchSize * patchSize), timages = trial.Tensor(images, batch, size, size, 3), ttable = trial.Tensor(table, 3, 256);
        trial.Launch(() => PatchEmbedding.Unfold(trial.Device, patches, timages, ttable, patchSize));
        trial.CompareExactly("patches", patches, Trial.Round(EmbeddingReference.Unfold(images, table, batch, size, patchSize)));

        float[] embedded = trial.NormalRounded((long)count * width), classToken = trial.Normal(width), positions = trial.Normal(length * width);
        Tensor tokens = trial.Poisoned(batch * length, width), tembedded = trial.Rounded(embedded, count, width);
        Tensor tclass = trial.Tensor(classToken, width), tpositions = trial.Tensor(positions, length, width);
        trial.Launch(() => PatchEmbedding.Assemble(trial.Device, tokens, tembedded, tclass, tpositions, batch));
        trial.CompareExactly("tokens", tokens, EmbeddingReference.Assemble(embedded, classToken, positions, batch));

        float[] dtokens = trial.NormalRounded((long)batch * length * width);
        Tensor dembedded = trial.PoisonedRounded(count, width), tdtokens = trial.Rounded(dtokens, batch * length, width);
        trial.Launch(() => PatchEmbedding.AssembleBackward(trial.Device, dembedded, tclass, tpositions, tdtokens, batch));
        double[] exactClass = Wide(classToken), exactPositions = Wide(positions);
        trial.CompareExactly("dpatchEmbeddings", dembedded, EmbeddingReference.AssembleBackward(dtokens, (exactClass, classToken), (exactPositions, positions), batch));
        trial.Compare("dclassToken", tclass, exactClass, Wide(classToken));
        trial.Compare("dpositions", tpositions, exactPositions, Wide(positions));
    }

    /// <summary>Inputs of LayerNorm's backward pass: a bfloat16 gradient, everything else in single precision.</summary>
    private sealed class NormCase
    {
        private readonly float[] x, gamma, dy, dgamma, dbeta, mean, rstd;

        public NormCase(Trial trial, int rows, int columns)
        {
            (x, gamma, dy) = (trial.Normal((long)rows * columns, 1, 3), trial.Normal(columns, 0.2, 1), trial.NormalRounded((long)rows * columns));
            (dgamma, dbeta) = (trial.Normal(columns), trial.Normal(columns));
            LayerNormReference.Statistics saved = LayerNormReference.Forward<double>(Wide(x), Wide(gamma), Wide(gamma), columns, Epsilon);
            mean = [.. saved.Mean.Select(v => (float)v)];
            rstd = [.. saved.Rstd.Select(v => (float)v)];
            (X, Gamma, Dy) = (trial.Tensor(x, rows, columns), trial.Tensor(gamma, columns), trial.Rounded(dy, rows, columns));
            (DGamma, DBeta, Mean, Rstd) = (trial.Tensor(dgamma, columns), trial.Tensor(dbeta, columns), trial.Tensor(mean, rows), trial.Tensor(rstd, rows));
            Scratch = trial.Poisoned(LayerNorm.ScratchLength(rows, columns));
        }

        public Tensor X { get; }

        public Tensor Gamma { get; }

        public Tensor Dy { get; }

        public Tensor DGamma { get; }

        public Tensor DBeta { get; }

        public Tensor Mean { get; }

        public Tensor Rstd { get; }

        public Tensor Scratch { get; }

        public (LayerNormReference.Gradients Exact, LayerNormReference.Gradients Plain) References(double[] old) => (
            LayerNormReference.Backward<double>(Wide(dy), Wide(x), Wide(gamma), Wide(mean), Wide(rstd), old, Wide(dgamma), Wide(dbeta)),
            LayerNormReference.Backward<float>(Wide(dy), Wide(x), Wide(gamma), Wide(mean), Wide(rstd), old, Wide(dgamma), Wide(dbeta)));
    }
}
