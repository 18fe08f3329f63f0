using NUnit.Framework;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Tests.Model.Clip;

/// <summary>The plain tower against the reference values, because the tests of mixed precision rest on it; and how much its roundings cost.</summary>
internal sealed class PlainTowerTests
{
    [Test]
    public void MatchesTheReferenceValues()
    {
        using GoldenModel golden = new(GoldenModel.Folder(GoldenModel.Fixture));
        using ClipCheckpoint checkpoint = ClipCheckpoint.Open(Path.Combine(GoldenModel.Folder(GoldenModel.Fixture), "hf"));
        int[] labels = golden.Ints("inputs", "labels");
        int steps = golden.Json.GetProperty("hp").GetProperty("steps").GetInt32(), batch = labels.Length / steps;
        ZeroShotHead head = new(golden.Floats("forward", "head_mnist"), 10, checkpoint.Config.EmbeddingWidth);
        byte[] pixels = golden.Pixels(0, batch, checkpoint.Config.Vision.ImageSize);
        float[] table = GoldenModel.NormalizationTable().Values.ToArray();
        PlainTower exact = Open(checkpoint, rounded: false), rounded = Open(checkpoint, rounded: true);

        float[] features = golden.Floats("forward", "image_features");
        (double largest, _) = GoldenModel.Distance([.. exact.Features(pixels, table).Take(features.Length).Select(v => (float)v)], features);
        Assert.That(largest, Is.LessThanOrEqualTo(1e-6));
        Assert.That(exact.Loss(pixels, table, labels[..batch], head), Is.EqualTo(golden.Json.GetProperty("loss_ce").GetDouble()).Within(1e-6));
        _ = rounded.Loss(pixels, table, labels[..batch], head);
        foreach (ParameterSpec spec in ParameterTable.Vision(checkpoint.Config))
        {
            double norm = golden.Json.GetProperty("grad_norms_step0").GetProperty(spec.Name).GetDouble();
            Assert.That(Norm(exact.Gradients[spec.Name]), Is.EqualTo(norm).Within(1e-6 * norm), spec.Name);
            double error = Norm([.. exact.Gradients[spec.Name].Zip(rounded.Gradients[spec.Name], (a, b) => a - b)]);
            // bfloat16 has a relative rounding error of 2^-9; a few dozen of them lie on the way to any gradient.
            Assert.That(error, Is.InRange(Math.Pow(2, -11) * norm, Math.Pow(2, -4) * norm), spec.Name);
        }
    }

    public static PlainTower Open(ClipCheckpoint checkpoint, bool rounded)
    {
        Dictionary<string, float[]> weights = [];
        foreach (ParameterSpec spec in ParameterTable.Vision(checkpoint.Config)) checkpoint.Read(spec, weights[spec.Name] = new float[spec.Length]);
        return new PlainTower(checkpoint.Config, name => weights[name], rounded);
    }

    private static double Norm(double[] values) => Math.Sqrt(values.Sum(v => v * v));
}
