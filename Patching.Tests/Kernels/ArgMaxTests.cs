using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Kernels;

internal sealed class ArgMaxTests(DeviceKind kind, int threads) : KernelTest(kind, threads)
{
    private const float Nan = float.NaN;
    private const float Low = float.NegativeInfinity;
    private const float High = float.PositiveInfinity;

    [Test]
    public void FindsTheLargest([Values(1, 2, 7, 1000)] int classes)
    {
        float[] logits = Normal(5 * classes);
        int[] expected = [.. logits.Chunk(classes).Select(row => Array.IndexOf(row, row.Max()))];
        Assert.That(Run(logits, 5), Is.EqualTo(expected));
    }

    [TestCase(1, 3f, 7f, 7f)]
    [TestCase(0, 7f, 7f, 7f)]
    [TestCase(1, Nan, 2f, 1f)]
    [TestCase(2, 1f, Nan, 2f)]
    [TestCase(0, 1f, Nan, Nan)]
    [TestCase(0, Nan, Nan, Nan)]
    [TestCase(1, Nan, Low, Low)]
    [TestCase(2, Low, Nan, High)]
    [TestCase(0, -0f, 0f, -1f)]
    public void TiesAndNaN(int expected, params float[] row) => Assert.That(Run(row, 1), Is.EqualTo(new[] { expected }));

    private int[] Run(float[] logits, int rows)
    {
        Tensor indices = Tensor([.. Enumerable.Repeat(-7, rows)], rows);
        ArgMax.Forward(Device, indices, Tensor(logits, rows, logits.Length / rows));
        Device.Synchronize();
        int[] result = new int[rows];
        indices.CopyTo(result);
        return result;
    }
}
