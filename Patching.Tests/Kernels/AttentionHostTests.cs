using System.Numerics;
using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Kernels;

/// <summary>The pieces of the host's attention on their own.</summary>
internal sealed unsafe class AttentionHostTests
{
    [Test]
    public void PowerOfTwoIsAccurateToAboutOneUnit()
    {
        for (double x = -125.9; x < 1; x += 0.00731)
        {
            double exact = Math.Pow(2, (float)x);
            Assert.That(PowerOfTwo.Of(new Vector<float>((float)x))[0], Is.EqualTo(exact).Within(exact * 1.8e-7), $"2^{x}");
        }
    }

    [Test]
    public void PowerOfTwoVanishesFarBelowZeroAndKeepsNaN()
    {
        Assert.That(PowerOfTwo.Of(Vector<float>.Zero)[0], Is.EqualTo(1f));
        Assert.That(PowerOfTwo.Of(new Vector<float>(-126.7f))[0], Is.InRange(0, 1.2e-38f));
        foreach (float x in (float[])[-127, -1e30f, float.NegativeInfinity]) Assert.That(PowerOfTwo.Of(new Vector<float>(x))[0], Is.Zero);
        Assert.That(PowerOfTwo.Of(new Vector<float>(float.NaN))[0], Is.NaN);
    }

    [Test]
    public void EveryTileMultiplies([Range(1, RegisterTile.MaxRows)] int rows, [Values] bool accumulate, [Values] bool transposed)
    {
        const int depth = 9, first = 2, end = 8;
        for (int columns = 1; columns <= 3 * RegisterTile.MaxVectors * RegisterTile.Lanes; columns += columns % 5 + 1)
        {
            Random random = new(columns);
            int padded = PackedMatrix.PaddedColumns(columns), stride = Math.Max(columns, depth) + 3;
            float[] a = Numbers(random, rows * depth), b = Numbers(random, stride * stride);
            float[] before = Numbers(random, rows * padded), c = [.. before];
            float[] packed = new float[PackedMatrix.Length(depth, columns)];
            fixed (float* pa = a, pb = b, pc = c, pp = packed)
            {
                PackedMatrix matrix = new(pp, depth, columns);
                if (transposed) matrix.PackTransposed(pb, stride, columns);
                else matrix.PackRows(pb, stride, columns);
                // A lies transposed too, so that both of its strides are tried.
                float* start = pa + (transposed ? first * rows : first);
                (int aRow, int aStep) = transposed ? (1, rows) : (depth, 1);
                matrix.MultiplyTile(rows, first, end, start, aRow, aStep, pc, padded, columns, accumulate);
            }
            for (int i = 0; i < rows; i++)
                for (int j = 0; j < columns; j++)
                {
                    double exact = accumulate ? before[i * padded + j] : 0;
                    for (int k = first; k < end; k++)
                        exact += transposed ? (double)a[k * rows + i] * b[j * stride + k] : (double)a[i * depth + k] * b[k * stride + j];
                    Assert.That(c[i * padded + j], Is.EqualTo(exact).Within(2e-6), $"{columns} columns, element {i}, {j}");
                }
        }
    }

    private static float[] Numbers(Random random, int count) => [.. Enumerable.Range(0, count).Select(_ => 2 * random.NextSingle() - 1)];
}
