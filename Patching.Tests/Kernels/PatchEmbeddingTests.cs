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
        int grid = size / patchSize, area = patchSize * patchSize;
        Tensor patches = Poisoned(batch * grid * grid, 3 * area);
        PatchEmbedding.Unfold(Device, patches, Tensor(images, batch, size, size, 3), Tensor(table, 3, 256), patchSize);

        float[] expected = new float[patches.Count];
        for (int b = 0; b < batch; b++)
            for (int row = 0; row < grid * patchSize; row++)
                for (int column = 0; column < grid * patchSize; column++)
                    for (int channel = 0; channel < 3; channel++)
                    {
                        int patch = (b * grid + row / patchSize) * grid + column / patchSize;
                        int inside = channel * area + row % patchSize * patchSize + column % patchSize;
                        byte pixel = images[((b * size + row) * size + column) * 3 + channel];
                        expected[patch * 3 * area + inside] = table[channel * 256 + pixel];
                    }
        Assert.That(Contents(patches), Is.EqualTo(expected));
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

        float[] expected = new float[tokens.Count];
        for (int b = 0; b < batch; b++)
            for (int t = 0; t < length; t++)
                for (int c = 0; c < width; c++)
                {
                    float value = t == 0 ? classToken[c] : patches[(b * (length - 1) + t - 1) * width + c];
                    expected[(b * length + t) * width + c] = value + positions[t * width + c];
                }
        Assert.That(Contents(tokens), Is.EqualTo(expected));
    }

    [Test]
    public void AssembleBackwardWritesPatchesAndAccumulatesTheRest(
        [Values(1, 3)] int batch, [Values(2, 5)] int length, [Values(1, 8, 13)] int width)
    {
        float[] dtokens = Normal(batch * length * width), dclass = Normal(width), dpositions = Normal(length * width);
        Tensor tPatches = Poisoned(batch * (length - 1), width), tClass = Tensor(dclass, width),
            tPositions = Tensor(dpositions, length, width);
        PatchEmbedding.AssembleBackward(Device, tPatches, tClass, tPositions, Tensor(dtokens, batch * length, width), batch);

        float[] expected = new float[tPatches.Count], plainClass = [.. dclass], plainPositions = [.. dpositions];
        double[] exactClass = Reference.Wide(dclass), exactPositions = Reference.Wide(dpositions);
        for (int b = 0; b < batch; b++)
            for (int t = 0; t < length; t++)
                for (int c = 0; c < width; c++)
                {
                    float d = dtokens[(b * length + t) * width + c];
                    exactPositions[t * width + c] += d;
                    plainPositions[t * width + c] += d;
                    if (t == 0)
                    {
                        exactClass[c] += d;
                        plainClass[c] += d;
                    }
                    else
                    {
                        expected[(b * (length - 1) + t - 1) * width + c] = d;
                    }
                }
        Assert.That(Contents(tPatches), Is.EqualTo(expected));
        AssertClose(tClass, exactClass, Reference.Wide(plainClass), "dclass");
        AssertClose(tPositions, exactPositions, Reference.Wide(plainPositions), "dpositions");
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
