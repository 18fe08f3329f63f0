using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Kernels;

internal sealed class RowSelectionTests(DeviceKind kind, int threads) : KernelTest(kind, threads)
{
    [Test]
    public void GatherCopiesRows([Values(1, 8, 13)] int width)
    {
        float[] x = Normal(7 * width);
        int[] rows = [6, 0, 3, 3];
        Tensor y = Poisoned(4, width);
        RowSelection.Gather(Device, y, Tensor(x, 7, width), Tensor(rows, 4));
        Assert.That(Contents(y), Is.EqualTo(EmbeddingReference.Gather(x, rows, width)));
    }

    [Test]
    public void ScatterWritesZeroElsewhereAndAddsRepeatedRows([Values(1, 8, 13)] int width)
    {
        float[] dy = Normal(4 * width);
        int[] rows = [6, 0, 3, 3];
        Tensor dx = Poisoned(7, width);
        RowSelection.Scatter(Device, dx, Tensor(dy, 4, width), Tensor(rows, 4));
        Assert.That(Contents(dx), Is.EqualTo(EmbeddingReference.Scatter(dy, rows, 7, width)));
    }

    [Test]
    public void RowsOutsideTheMatrixAreNeverTouched([Values(-1, 2, int.MinValue, int.MaxValue)] int row)
    {
        Tensor y = Tensor(new float[4], 2, 2), dx = Poisoned(2, 2), rows = Tensor([row, 1], 2);
        RowSelection.Gather(Device, y, Tensor([1f, 2f, 3f, 4f], 2, 2), rows);
        RowSelection.Scatter(Device, dx, Tensor([5f, 6f, 7f, 8f], 2, 2), rows);
        Assert.That(Contents(y), Is.EqualTo(new[] { float.NaN, float.NaN, 3f, 4f }));
        Assert.That(Contents(dx), Is.EqualTo(new[] { 0f, 0f, 7f, 8f }));
    }
}
