using NUnit.Framework;
using Patching.Kernels;
using static Patching.Kernels.Precision;

namespace Patching.Tests.Kernels;

internal sealed class AveragePoolingTests(DeviceKind kind, int threads) : KernelTest(kind, threads)
{
    [TestCase(1, 1, 1, 1)]
    [TestCase(2, 4, 2, 5)]
    [TestCase(3, 7, 2, 8)]
    [TestCase(2, 8, 3, 13)]
    public void ForwardMatchesDoublePrecision(int batch, int size, int window, int channels)
    {
        float[] x = Normal(batch * size * size * channels, 1, 10);
        int pooled = size / window;
        Tensor y = Poisoned(batch * pooled * pooled, channels);
        AveragePooling.Forward(Device, y, Tensor(x, batch * size * size, channels), size, window);
        AssertClose(
            y, ConvolutionReference.Pool<double>(Wide(x), size, window, channels), ConvolutionReference.Pool<float>(Wide(x), size, window, channels), "y");
    }

    [Test]
    public void BackwardWritesOrAddsAndLeavesOutTheMargin([Values(1, 4, 7)] int size, [Values(1, 3)] int window, [Values(1, 13)] int channels, [Values] bool accumulate)
    {
        Assume.That(window, Is.LessThanOrEqualTo(size));
        const int batch = 2;
        int pooled = size / window;
        float[] dy = Normal(batch * pooled * pooled * channels), dx0 = Normal(batch * size * size * channels);
        Tensor dx = accumulate ? Tensor(dx0, batch * size * size, channels) : Poisoned(batch * size * size, channels);
        AveragePooling.Backward(Device, dx, Tensor(dy, batch * pooled * pooled, channels), size, window, accumulate);
        double[] start = accumulate ? Wide(dx0) : new double[dx0.Length];
        AssertClose(
            dx, ConvolutionReference.PoolBackward<double>(Wide(dy), start, size, window, channels),
            ConvolutionReference.PoolBackward<float>(Wide(dy), start, size, window, channels), "dx");
    }

    [Test]
    public void WrongShapesAreRefused()
    {
        Assert.That(() => AveragePooling.Forward(Device, Poisoned(4, 3), Poisoned(17, 3), 4, 2), Throws.ArgumentException);
        Assert.That(() => AveragePooling.Forward(Device, Poisoned(3, 3), Poisoned(16, 3), 4, 2), Throws.ArgumentException);
        Assert.That(() => AveragePooling.Forward(Device, Poisoned(1, 3), Poisoned(16, 3), 4, 5), Throws.ArgumentException);
    }
}
