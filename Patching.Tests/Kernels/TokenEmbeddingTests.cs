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
}
