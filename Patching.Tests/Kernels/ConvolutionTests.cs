using NUnit.Framework;
using Patching.Kernels;
using static Patching.Kernels.Precision;

namespace Patching.Tests.Kernels;

internal sealed class ConvolutionTests(DeviceKind kind, int threads) : KernelTest(kind, threads)
{
    private static readonly ConvolutionShape[] Shapes =
    [
        new(1, 1, 1, 3, 1), new(1, 1, 2, 3, 2), new(2, 2, 5, 3, 1), new(3, 5, 3, 3, 2), new(2, 6, 7, 3, 2), new(1, 7, 8, 5, 3), new(2, 4, 19, 1, 1), new(1, 5, 2, 1, 2),
    ];

    [TestCaseSource(nameof(Shapes))]
    public void UnfoldLaysOutEveryWindow(ConvolutionShape shape)
    {
        float[] x = Normal((long)shape.InputRows * shape.Channels);
        Tensor windows = Poisoned(shape.OutputRows, shape.WindowLength);
        Convolution.Unfold(Device, windows, Tensor(x, shape.InputRows, shape.Channels), shape);
        Assert.That(Contents(windows), Is.EqualTo(ConvolutionReference.Unfold(x, shape)));
    }

    [TestCaseSource(nameof(Shapes))]
    public void FoldAddsUpTheWindowsOfEveryPixel(ConvolutionShape shape)
    {
        float[] d = Normal((long)shape.OutputRows * shape.WindowLength);
        Tensor dx = Poisoned(shape.InputRows, shape.Channels);
        Convolution.Fold(Device, dx, Tensor(d, shape.OutputRows, shape.WindowLength), shape);
        AssertClose(dx, ConvolutionReference.Fold<double>(Wide(d), shape), ConvolutionReference.Fold<float>(Wide(d), shape), "dx");
    }

    /// <summary>The definition: windows times a weight whose columns have been put in the order y, x, channel.</summary>
    [TestCaseSource(nameof(Shapes))]
    public void WindowsTimesTheWeightAreTheConvolution(ConvolutionShape shape)
    {
        const int outputs = 3;
        int area = shape.Window * shape.Window;
        float[] x = Normal((long)shape.InputRows * shape.Channels), weight = Normal(outputs * shape.Channels * area);
        float[] ordered = [.. Enumerable.Range(0, weight.Length).Select(i =>
        {
            int o = i / shape.WindowLength, element = i % shape.WindowLength;
            return weight[(o * shape.Channels + element % shape.Channels) * area + element / shape.Channels];
        })];
        Tensor windows = Poisoned(shape.OutputRows, shape.WindowLength), y = Poisoned(shape.OutputRows, outputs);
        Convolution.Unfold(Device, windows, Tensor(x, shape.InputRows, shape.Channels), shape);
        Gemm.Forward(Device, y, windows, Tensor(ordered, outputs, shape.WindowLength));
        AssertClose(
            y, ConvolutionReference.Convolve<double>(Wide(x), Wide(weight), outputs, shape),
            ConvolutionReference.Convolve<float>(Wide(x), Wide(weight), outputs, shape), "y");
    }

    [Test]
    public void WrongShapesAreRefused()
    {
        ConvolutionShape shape = new(2, 4, 3, 3, 2);
        Assert.That(() => Convolution.Unfold(Device, Poisoned(8, 27), Poisoned(32, 2), shape), Throws.ArgumentException);
        Assert.That(() => Convolution.Fold(Device, Poisoned(32, 3), Poisoned(8, 26), shape), Throws.ArgumentException);
        Assert.That(() => Convolution.Unfold(Device, Poisoned(8, 12), Poisoned(32, 3), shape with { Window = 2 }), Throws.ArgumentException);
    }
}
