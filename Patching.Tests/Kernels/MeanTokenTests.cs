using NUnit.Framework;
using Patching.Kernels;
using static Patching.Kernels.Precision;

namespace Patching.Tests.Kernels;

internal sealed class MeanTokenTests(DeviceKind kind, int threads) : KernelTest(kind, threads)
{
    [Test]
    public void ForwardPutsTheMeanFirstAndAddsPositions([Values(1, 3)] int batch, [Values(1, 4, 9)] int pixels, [Values(1, 8, 13)] int channels)
    {
        float[] x = Normal(batch * pixels * channels, 1, 5), positions = Normal((pixels + 1) * channels);
        Tensor tokens = Poisoned(batch * (pixels + 1), channels);
        MeanToken.Forward(Device, tokens, Tensor(x, batch * pixels, channels), Tensor(positions, pixels + 1, channels));
        AssertClose(
            tokens, ConvolutionReference.Tokens<double>(Wide(x), Wide(positions), channels),
            ConvolutionReference.Tokens<float>(Wide(x), Wide(positions), channels), "tokens");
    }

    [Test]
    public void BackwardWritesThePixelsAndAccumulatesThePositions([Values(1, 3)] int batch, [Values(1, 4, 9)] int pixels, [Values(1, 8, 13)] int channels)
    {
        float[] dtokens = Normal(batch * (pixels + 1) * channels), dpositions0 = Normal((pixels + 1) * channels);
        Tensor dx = Poisoned(batch * pixels, channels), dpositions = Tensor(dpositions0, pixels + 1, channels);
        MeanToken.Backward(Device, dx, dpositions, Tensor(dtokens, batch * (pixels + 1), channels));
        (double[] exact, double[] exactPositions) = ConvolutionReference.TokensBackward<double>(Wide(dtokens), Wide(dpositions0), channels);
        (double[] plain, double[] plainPositions) = ConvolutionReference.TokensBackward<float>(Wide(dtokens), Wide(dpositions0), channels);
        AssertClose(dx, exact, plain, "dx");
        AssertClose(dpositions, exactPositions, plainPositions, "dpositions");
    }

    [Test]
    public void WrongShapesAreRefused()
    {
        Assert.That(() => MeanToken.Forward(Device, Poisoned(10, 3), Poisoned(8, 3), Poisoned(5, 2)), Throws.ArgumentException);
        Assert.That(() => MeanToken.Forward(Device, Poisoned(10, 3), Poisoned(7, 3), Poisoned(5, 3)), Throws.ArgumentException);
        Assert.That(() => MeanToken.Forward(Device, Poisoned(9, 3), Poisoned(8, 3), Poisoned(5, 3)), Throws.ArgumentException);
    }
}
