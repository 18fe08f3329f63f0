using NUnit.Framework;
using Patching.Kernels;
using Patching.Model.Clip;

namespace Patching.Tests.Model.Clip;

/// <summary>The contrastive objective beside its definition in double precision; gradients by central differences of it.</summary>
[TestFixture(DeviceKind.Host)]
[TestFixture(DeviceKind.Simulator)]
internal sealed class ContrastiveLossTests(DeviceKind kind)
{
    private const double LogScale = 1.7;

    [Test]
    public void MatchesItsDefinition([Values(1, 2, 7, 13)] int batch, [Values(3, 16)] int embedding)
    {
        Random random = new(batch * 100 + embedding);
        float[] images = Numbers(random, batch * embedding), texts = Numbers(random, batch * embedding);
        using Device device = Device.Open(kind, 2);
        using ContrastiveLoss loss = new(device, batch, embedding);
        Tensor dImages = default, dTexts = default, dScale = default, tImages = default, tTexts = default, scale = default;
        using Arena arena = Arena.Allocate(device, "test", a =>
        {
            (tImages, tTexts) = (a.Take("images", batch, embedding), a.Take("texts", batch, embedding));
            (dImages, dTexts) = (a.Take("d_images", batch, embedding), a.Take("d_texts", batch, embedding));
            (scale, dScale) = (a.Take("scale", 1), a.Take("d_scale", 1));
        });
        tImages.CopyFrom(images);
        tTexts.CopyFrom(texts);
        scale.CopyFrom([(float)LogScale]);
        dScale.CopyFrom([3f]);
        dImages.CopyFrom([.. Enumerable.Repeat(float.NaN, batch * embedding)]);
        dTexts.CopyFrom([.. Enumerable.Repeat(float.NaN, batch * embedding)]);
        loss.Compute(dImages, dTexts, dScale, tImages, tTexts, scale);
        device.Synchronize();

        double[] wideImages = [.. images.Select(v => (double)v)], wideTexts = [.. texts.Select(v => (double)v)];
        double Value(double s) => Definition(wideImages, wideTexts, s, batch, embedding);
        float widened = (float)LogScale;
        Assert.Multiple(() =>
        {
            Assert.That(loss.Losses.ToArray().Average(v => (double)v), Is.EqualTo(Value(widened)).Within(1e-5));
            AssertGradient(dImages.ToArray(), wideImages, () => Value(widened), "images");
            AssertGradient(dTexts.ToArray(), wideTexts, () => Value(widened), "texts");
            double slope = (Value(widened + 1e-5) - Value(widened - 1e-5)) / 2e-5;
            Assert.That(dScale.ToArray()[0], Is.EqualTo(3 + slope).Within(2e-5), "scale, added to what was there");
        });
    }

    private static float[] Numbers(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => random.NextSingle() * 4 - 2)];

    private static void AssertGradient(float[] gradient, double[] values, Func<double> loss, string what)
    {
        const double step = 1e-5;
        for (int i = 0; i < values.Length; i++)
        {
            double kept = values[i];
            values[i] = kept + step;
            double above = loss();
            values[i] = kept - step;
            double below = loss();
            values[i] = kept;
            Assert.That(gradient[i], Is.EqualTo((above - below) / (2 * step)).Within(2e-6), $"{what} {i}");
        }
    }

    private static double Definition(double[] images, double[] texts, double logScale, int batch, int embedding)
    {
        double[,] z = new double[batch, batch];
        for (int i = 0; i < batch; i++)
            for (int j = 0; j < batch; j++)
            {
                double dot = 0, a = 0, b = 0;
                for (int e = 0; e < embedding; e++)
                {
                    double x = images[i * embedding + e], y = texts[j * embedding + e];
                    (dot, a, b) = (dot + x * y, a + x * x, b + y * y);
                }
                z[i, j] = Math.Exp(logScale) * dot / Math.Sqrt(a * b);
            }
        double sum = 0;
        for (int i = 0; i < batch; i++)
        {
            double row = 0, column = 0;
            for (int j = 0; j < batch; j++) (row, column) = (row + Math.Exp(z[i, j]), column + Math.Exp(z[j, i]));
            sum += Math.Log(row) + Math.Log(column) - 2 * z[i, i];
        }
        return sum / (2 * batch);
    }
}
