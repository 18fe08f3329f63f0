using System.Collections.Immutable;
using NUnit.Framework;
using Patching.Kernels;
using Patching.Model.Clip;

namespace Patching.Tests.Model.Clip;

/// <summary>Gradients of the text tower against central differences of a reference in double precision.</summary>
[TestFixture(DeviceKind.Host)]
[TestFixture(DeviceKind.Simulator)]
internal sealed class TextBackwardTests(DeviceKind kind)
{
    private static readonly ClipConfig Config = new(
        EmbeddingWidth: 6,
        new VisionConfig(ImageSize: 4, PatchSize: 4, Width: 4, Layers: 1, Heads: 1, MlpWidth: 4),
        new TextConfig(ContextLength: 9, VocabularySize: 13, Width: 8, Layers: 2, Heads: 2, MlpWidth: 12, TextPooling.ArgMaxId, EndOfTextId: 12),
        ActivationKind.QuickGelu,
        ClipConfig.DefaultLayerNormEpsilon);

    // Of different lengths, with a token that occurs often; ids behind the end-of-text token must not matter.
    private static readonly int[][] Texts = [[11, 3, 3, 5, 3, 12, 0, 0, 0], [11, 7, 12, 0, 0, 0, 0, 0, 0], [11, 3, 1, 2, 3, 4, 5, 12, 0]];

    [Test]
    public void EveryGradientMatchesTheSlopeOfTheReference()
    {
        Random random = new(5);
        ImmutableArray<ParameterSpec> table = ParameterTable.Text(Config);
        Dictionary<string, float[]> values = table.ToDictionary(spec => spec.Name, spec => Draw(spec, random));
        float[] weights = [.. Enumerable.Range(0, Texts.Length * Config.EmbeddingWidth).Select(_ => random.NextSingle() - 0.5f)];
        (float[] features, Dictionary<string, float[]> gradients) = Compute(table, values, weights);

        Dictionary<string, double[]> wide = values.ToDictionary(pair => pair.Key, pair => pair.Value.Select(v => (double)v).ToArray());
        TextReference reference = new(Config, wide);
        double[] expected = [.. Texts.SelectMany(ids => reference.Encode(ids, Array.IndexOf(ids, 12)))];
        Assert.That(features.Select((f, i) => Math.Abs(f - expected[i])).Max(), Is.LessThan(1e-5), "features");

        double Loss() => Texts.SelectMany(ids => reference.Encode(ids, Array.IndexOf(ids, 12))).Select((f, i) => f * weights[i]).Sum();
        foreach (ParameterSpec spec in table.Where(spec => spec.Name != "logit_scale"))
        {
            double[] slopes = [.. Enumerable.Range(0, spec.Length).Select(i => Slope(wide[spec.Name], i, Loss))];
            double scale = slopes.Max(Math.Abs);
            double worst = slopes.Select((slope, i) => Math.Abs(slope - gradients[spec.Name][i])).Max();
            // What the engine starts from is 0.25 everywhere: backward accumulates.
            Assert.That(worst, Is.LessThan(2e-5 * Math.Max(scale, 0.1)), spec.Name);
        }
    }

    private static double Slope(double[] values, int index, Func<double> loss)
    {
        const double step = 1e-5;
        double kept = values[index];
        values[index] = kept + step;
        double above = loss();
        values[index] = kept - step;
        double below = loss();
        values[index] = kept;
        return (above - below) / (2 * step);
    }

    private static float[] Draw(ParameterSpec spec, Random random)
    {
        float offset = spec.Name.Contains("ln_", StringComparison.Ordinal) && spec.Name.EndsWith("weight", StringComparison.Ordinal) ? 1 : 0;
        return [.. Enumerable.Range(0, spec.Length).Select(_ => offset + (random.NextSingle() - 0.5f))];
    }

    private (float[] Features, Dictionary<string, float[]> Gradients) Compute(
        ImmutableArray<ParameterSpec> table, Dictionary<string, float[]> values, float[] dFeatures)
    {
        const float old = 0.25f;
        using Device device = Device.Open(kind, 2);
        using ParameterSet weights = new(device, "parameters", table), gradients = new(device, "gradients", table);
        weights.Load((spec, span) => values[spec.Name].CopyTo(span));
        gradients.Load((spec, span) => span.Fill(old));
        TextTransformer tower = new(device, Config);
        // Buffers for more and longer texts than there are: a batch uses the beginning of each.
        using TextActivations full = TextActivations.Allocate(device, Config, Texts.Length + 2, Config.Text!.ContextLength, training: true);
        int[] positions = [.. Texts.Select(row => tower.PoolingPosition(row))];
        TextActivations batch = full.Shrink(Texts.Length, positions.Max() + 1);
        batch.Fill(Texts, positions);
        tower.Forward(new TextParameters(weights, Config), batch);
        float[] features = batch.Features.ToArray();
        using Arena arena = Arena.Allocate(device, "test", a => a.Take("d_features", Texts.Length, Config.EmbeddingWidth));
        Tensor gradient = arena.Flat.Prefix(Texts.Length, Config.EmbeddingWidth);
        gradient.CopyFrom(dFeatures);
        tower.Backward(new TextParameters(weights, Config), new TextParameters(gradients, Config), batch, gradient);
        device.Synchronize();
        return (features, table.ToDictionary(spec => spec.Name, spec =>
        {
            float[] fetched = new float[spec.Length];
            gradients.Fetch(spec, fetched);
            return fetched.Select(value => value - old).ToArray();
        }));
    }
}
