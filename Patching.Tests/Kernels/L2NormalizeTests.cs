using System.Text.Json;
using NUnit.Framework;
using Patching.Kernels;
using static Patching.Kernels.L2NormalizeReference;
using static Patching.Kernels.Precision;
using static Patching.Tests.Kernels.Reference;

namespace Patching.Tests.Kernels;

internal sealed class L2NormalizeTests(DeviceKind kind, int threads) : KernelTest(kind, threads)
{
    [Test]
    public void ForwardMatchesDoublePrecision(
        [Values(1, 5)] int rows, [Values(1, 7, 8, 97, 512)] int columns, [Values(0.01, 1, 1e4)] double scale)
    {
        float[] x = Normal((long)rows * columns, scale);
        Tensor y = Poisoned(rows, columns), inverse = Poisoned(rows);
        L2Normalize.Forward(Device, y, inverse, Tensor(x, rows, columns));
        (double[] exactY, double[] exactInverse) = Forward<double>(Wide(x), columns);
        (double[] plainY, double[] plainInverse) = Forward<float>(Wide(x), columns);
        AssertClose(y, exactY, plainY, "y");
        AssertClose(inverse, exactInverse, plainInverse, "inverse norm");
    }

    [Test]
    public void BackwardMatchesDoublePrecision([Values(1, 5)] int rows, [Values(1, 7, 8, 97, 512)] int columns)
    {
        float[] x = Normal((long)rows * columns), dy = Normal((long)rows * columns);
        (double[] y, double[] inverse) = Forward<double>(Wide(x), columns);
        float[] savedY = [.. y.Select(v => (float)v)], savedInverse = [.. inverse.Select(v => (float)v)];
        Tensor dx = Poisoned(rows, columns);
        L2Normalize.Backward(Device, dx, Tensor(dy, rows, columns), Tensor(savedY, rows, columns), Tensor(savedInverse, rows));
        AssertClose(
            dx, Backward<double>(Wide(dy), Wide(savedY), Wide(savedInverse)), Backward<float>(Wide(dy), Wide(savedY), Wide(savedInverse)),
            "dx");
    }

    [Test]
    public void WorksInPlaceAndWithoutInverse()
    {
        float[] x = Normal(3 * 37);
        Tensor inPlace = Tensor(x, 3, 37), separate = Poisoned(3, 37), inverse = Poisoned(3), gradient = Tensor(Normal(3 * 37), 3, 37),
            dx = Poisoned(3, 37);
        L2Normalize.Forward(Device, separate, inverse, inPlace);
        L2Normalize.Forward(Device, inPlace, default, inPlace);
        Assert.That(Contents(inPlace), Is.EqualTo(Contents(separate)));
        L2Normalize.Backward(Device, dx, gradient, separate, inverse);
        L2Normalize.Backward(Device, gradient, gradient, separate, inverse);
        Assert.That(Contents(gradient), Is.EqualTo(Contents(dx)));
    }

    [Test]
    public void ARowOfZerosGivesNaN()
    {
        Tensor y = Tensor(new float[9], 1, 9);
        L2Normalize.Forward(Device, y, default, y);
        Assert.That(Contents(y), Is.All.NaN);
    }

    [Test]
    public void ReferenceGradientMatchesFiniteDifferences()
    {
        double[] x = Wide(Normal(2 * 5)), dy = Wide(Normal(2 * 5));
        (double[] y, double[] inverse) = Forward<double>(x, 5);
        double Loss() => Forward<double>(x, 5).Y.Zip(dy, (a, b) => a * b).Sum();
        Assert.That(Backward<double>(dy, y, inverse), Is.EqualTo(FiniteDifferences(Loss, x)).Within(1e-7));
    }

    [Test]
    public void NormalizedHeadMatchesTheOriginal()
    {
        JsonElement golden = Golden.Section("normalized_head");
        (int batch, int width) = golden.GetProperty("features").Extents();
        double[] weight = golden.GetProperty("weight").Numbers();
        int classes = weight.Length / width;
        int[] targets = [.. golden.GetProperty("targets").Numbers().Select(v => (int)v)];
        Tensor y = Poisoned(batch, width), inverse = Poisoned(batch), loss = Poisoned(batch), dlogits = Poisoned(batch, classes),
            dx = Poisoned(batch, width);

        L2Normalize.Forward(Device, y, inverse, Tensor(golden.GetProperty("features").Floats(), batch, width));
        float[] unit = Contents(y);
        float[] logits = [.. from b in Enumerable.Range(0, batch)
                             from k in Enumerable.Range(0, classes)
                             select (float)Enumerable.Range(0, width).Sum(c => unit[b * width + c] * weight[k * width + c])];
        Assert.That(Wide(logits), Is.EqualTo(golden.GetProperty("logits").Numbers()).Within(1e-6));
        CrossEntropy.Forward(Device, loss, dlogits, Tensor(logits, batch, classes), Tensor(targets, batch), 0, 1f / batch);
        Assert.That(Contents(loss).Average(), Is.EqualTo(golden.GetProperty("loss").GetDouble()).Within(1e-6));
        float[] d = Contents(dlogits);
        float[] dy = [.. from b in Enumerable.Range(0, batch)
                         from c in Enumerable.Range(0, width)
                         select (float)Enumerable.Range(0, classes).Sum(k => d[b * classes + k] * weight[k * width + c])];
        L2Normalize.Backward(Device, dx, Tensor(dy, batch, width), y, inverse);
        Assert.That(Wide(Contents(dx)), Is.EqualTo(golden.GetProperty("grad_features").Numbers()).Within(2e-7));
    }
}
