using NUnit.Framework;
using Patching.Kernels;
using static Patching.Kernels.ActivationReference;
using static Patching.Kernels.Precision;

namespace Patching.Tests.Kernels.Cuda;

/// <summary>The activations of bfloat16 tensors, against double precision computed from the rounded inputs.</summary>
internal sealed class ActivationCudaTests : CudaKernelTest
{
    /// <summary>One, a ragged piece, a whole piece, a ragged end, more than a group's share.</summary>
    private static readonly int[] Counts = [1, 7, 8, 1031, 5000];

    [Test]
    public void ForwardMatchesDoublePrecision([ValueSource(nameof(Counts))] int count, [Values] ActivationKind kind, [Values] bool inPlace)
    {
        float[] x = Rounded(Normal(count, 3));
        Tensor tx = BFloats(x, count), y = inPlace ? tx : PoisonedBFloats(count);
        Activation.Forward(Device, y, tx, kind);
        AssertClose(y, [.. x.Select(v => Value(v, kind))], [.. x.Select(v => (double)PlainValue(v, kind))], "y");
    }

    [Test]
    public void BackwardMatchesDoublePrecision([ValueSource(nameof(Counts))] int count, [Values] ActivationKind kind, [Values] bool inPlace)
    {
        float[] x = Rounded(Normal(count, 3)), dy = Rounded(Normal(count));
        Tensor tdy = BFloats(dy, count), dx = inPlace ? tdy : PoisonedBFloats(count);
        Activation.Backward(Device, dx, tdy, BFloats(x, count), kind);
        AssertClose(
            dx, [.. x.Zip(dy, (v, d) => d * Derivative(v, kind))], [.. x.Zip(dy, (v, d) => (double)(d * PlainDerivative(v, kind)))], "dx");
    }

    [Test]
    public void EveryNumberHasAValue([Values] ActivationKind kind)
    {
        float[] x = [0f, -0f, 1e-38f, -1e-38f, 88f, -88f, 1e4f, -1e4f, 1e38f, -1e38f];
        Tensor y = PoisonedBFloats(x.Length), dx = PoisonedBFloats(x.Length), tx = BFloats(x, x.Length);
        Activation.Forward(Device, y, tx, kind);
        Activation.Backward(Device, dx, BFloats([.. x.Select(_ => 1f)], x.Length), tx, kind);
        Assert.That(Contents(y), Is.EqualTo(Rounded(x).Select(v => (float)Value(v, kind))).Within(1).Percent);
        Assert.That(Wide(Contents(dx)), Is.EqualTo(Rounded(x).Select(v => Derivative(v, kind))).Within(0.01));
    }

    [Test]
    public void TensorsAtOddAddressesWork([Values(1, 3)] int first)
    {
        float[] x = Rounded(Normal(40)), dy = Rounded(Normal(40));
        Tensor tx = BFloats(x, 40, 1).SliceRows(first, 36), tdy = BFloats(dy, 40, 1).SliceRows(first, 36), y = PoisonedBFloats(36), dx = PoisonedBFloats(36);
        Activation.Forward(Device, y, tx, ActivationKind.Gelu);
        Activation.Backward(Device, dx, tdy, tx, ActivationKind.Gelu);
        float[] cut = x[first..(first + 36)];
        AssertClose(
            y, [.. cut.Select(v => Value(v, ActivationKind.Gelu))], [.. cut.Select(v => (double)PlainValue(v, ActivationKind.Gelu))], "y");
        AssertClose(
            dx, [.. cut.Zip(dy[first..], (v, d) => d * Derivative(v, ActivationKind.Gelu))],
            [.. cut.Zip(dy[first..], (v, d) => (double)(d * PlainDerivative(v, ActivationKind.Gelu)))], "dx");
    }

    [Test]
    public void TypesDoNotMix() =>
        Assert.That(() => Activation.Forward(Device, Poisoned(8), PoisonedBFloats(8), ActivationKind.Gelu), Throws.ArgumentException);
}
