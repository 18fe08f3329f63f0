using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Kernels;

internal sealed class TokenEmbeddingTests(DeviceKind kind, int threads) : KernelTest(kind, threads)
{
    [Test]
    public void AddsTheRowOfTheIdAndThePosition([Values(1, 3)] int batch, [Values(1, 7)] int length, [Values(1, 8, 19)] int width)
    {
        const int vocabulary = 11;
        int[] ids = Integers(batch * length, vocabulary);
        ids[0] = vocabulary - 1;
        float[] table = Normal(vocabulary * width), positions = Normal(length * width);
        Tensor x = Poisoned(batch * length, width);
        TokenEmbedding.Forward(Device, x, Tensor(ids, batch, length), Tensor(table, vocabulary, width), Tensor(positions, length, width));
        Assert.That(Contents(x), Is.EqualTo(EmbeddingReference.Tokens(ids, table, positions, width)));
    }

    [Test]
    public void IdsOutsideTheVocabularyGiveNaN([Values(-1, 4, int.MinValue, int.MaxValue)] int id)
    {
        Tensor x = Tensor(new float[6], 2, 3);
        TokenEmbedding.Forward(Device, x, Tensor([id, 3], 1, 2), Tensor(Normal(12), 4, 3), Tensor(Normal(6), 2, 3));
        Assert.That(Contents(x).Select(float.IsNaN), Is.EqualTo(new[] { true, true, true, false, false, false }));
    }

    [Test]
    public void CollectsTheRowsOfEveryToken([Values(1, 3, 40)] int batch, [Values(1, 7)] int length, [Values(1, 8, 19)] int width)
    {
        const int vocabulary = 131;
        // Few ids, many occurrences; some ids 64 apart share a worker.
        int[] ids = [.. Integers(batch * length, 4).Select(id => id * 64 % vocabulary)];
        ids[^1] = vocabulary - 1;
        float[] dx = Normal((long)batch * length * width), oldTable = Normal(vocabulary * width), oldPositions = Normal(length * width);
        Tensor dtable = Tensor(oldTable, vocabulary, width), dpositions = Tensor(oldPositions, length, width);
        TokenEmbedding.Backward(Device, dtable, dpositions, Tensor(dx, batch * length, width), Tensor(ids, batch, length));
        (double[] exactTable, double[] plainTable) = Sums(oldTable, dx, row => ids[row], width);
        (double[] exactPositions, double[] plainPositions) = Sums(oldPositions, dx, row => row % length, width);
        AssertClose(dtable, exactTable, plainTable, "dtable");
        AssertClose(dpositions, exactPositions, plainPositions, "dpositions");
    }

    [Test]
    public void LeavesOutIdsOutsideTheVocabulary([Values(-1, 4, int.MinValue, int.MaxValue)] int id)
    {
        float[] dx = Normal(6), table = Normal(12);
        Tensor dtable = Tensor(table, 4, 3), dpositions = Tensor(new float[6], 2, 3);
        TokenEmbedding.Backward(Device, dtable, dpositions, Tensor(dx, 2, 3), Tensor([id, 3], 1, 2));
        float[] expected = [.. table.Take(9), .. table.Skip(9).Zip(dx.Skip(3), (a, b) => a + b)];
        Assert.That(Contents(dtable), Is.EqualTo(expected));
        Assert.That(Contents(dpositions), Is.EqualTo(dx));
    }

    private static (double[] Exact, double[] Plain) Sums(float[] old, float[] dx, Func<int, int> target, int width)
    {
        double[] exact = [.. old.Select(value => (double)value)];
        float[] plain = [.. old];
        for (int i = 0; i < dx.Length; i++)
        {
            int at = target(i / width) * width + i % width;
            exact[at] += dx[i];
            plain[at] += dx[i];
        }
        return (exact, [.. plain.Select(value => (double)value)]);
    }
}
