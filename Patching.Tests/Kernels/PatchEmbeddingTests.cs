using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Kernels;

internal sealed class PatchEmbeddingTests(DeviceKind kind, int threads) : KernelTest(kind, threads)
{
    [TestCase(1, 4, 4)]
    [TestCase(1, 1, 1)]
    [TestCase(2, 12, 3)]
    [TestCase(3, 15, 7)]
    public void UnfoldLaysOutPatchesInTheOrderOfTheConvolution(int batch, int size, int patchSize)
    {
        byte[] images = [.. Integers(batch * size * size * 3, 256).Select(v => (byte)v)];
        float[] table = Normal(3 * 256);
        int grid = size / patchSize;
        Tensor patches = Poisoned(batch * grid * grid, 3 * patchSize * patchSize);
        PatchEmbedding.Unfold(Device, patches, Tensor(images, batch, size, size, 3), Tensor(table, 3, 256), patchSize);
        Assert.That(Contents(patches), Is.EqualTo(EmbeddingReference.Unfold(images, table, batch, size, patchSize)));
    }

    [Test]
    public void AssemblePutsTheClassTokenFirstAndAddsPositions(
        [Values(1, 3)] int batch, [Values(2, 5)] int length, [Values(1, 8, 13)] int width)
    {
        float[] patches = Normal(batch * (length - 1) * width), classToken = Normal(width), positions = Normal(length * width);
        Tensor tokens = Poisoned(batch * length, width);
        PatchEmbedding.Assemble(
            Device, tokens, Tensor(patches, batch * (length - 1), width), Tensor(classToken, width), Tensor(positions, length, width),
            batch);
        Assert.That(Contents(tokens), Is.EqualTo(EmbeddingReference.Assemble(patches, classToken, positions, batch)));
    }

    [Test]
    public void AssembleBackwardWritesPatchesAndAccumulatesTheRest(
        [Values(1, 3)] int batch, [Values(2, 5)] int length, [Values(1, 8, 13)] int width)
    {
        float[] dtokens = Normal(batch * length * width), dclass = Normal(width), dpositions = Normal(length * width);
        Tensor tPatches = Poisoned(batch * (length - 1), width), tClass = Tensor(dclass, width),
            tPositions = Tensor(dpositions, length, width);
        PatchEmbedding.AssembleBackward(Device, tPatches, tClass, tPositions, Tensor(dtokens, batch * length, width), batch);

        double[] exactClass = Precision.Wide(dclass), exactPositions = Precision.Wide(dpositions);
        float[] expected = EmbeddingReference.AssembleBackward(dtokens, (exactClass, dclass), (exactPositions, dpositions), batch);
        Assert.That(Contents(tPatches), Is.EqualTo(expected));
        AssertClose(tClass, exactClass, Precision.Wide(dclass), "dclass");
        AssertClose(tPositions, exactPositions, Precision.Wide(dpositions), "dpositions");
    }

    [Test]
    public void WrongShapesAreRefused()
    {
        Tensor images = Tensor(new byte[2 * 4 * 4 * 3], 2, 4, 4, 3), table = Poisoned(3, 256);
        Assert.That(() => PatchEmbedding.Unfold(Device, Poisoned(8, 11), images, table, 2), Throws.ArgumentException);
        Assert.That(() => PatchEmbedding.Unfold(Device, Poisoned(8, 12), images, table, 5), Throws.ArgumentException);
        Assert.That(() => PatchEmbedding.Unfold(Device, Poisoned(8, 12), images.Reshape(2, 4, 12), table, 2), Throws.ArgumentException);
        Assert.That(() => PatchEmbedding.Assemble(Device, Poisoned(10, 8), Poisoned(8, 8), Poisoned(7), Poisoned(5, 8), 2),
            Throws.ArgumentException);
    }
}
