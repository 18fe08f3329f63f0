using NUnit.Framework;
using Patching.Kernels;
using static Patching.Kernels.Precision;

namespace Patching.Tests.Kernels.Cuda;

/// <summary>The input layer and row selection in bfloat16 and, where the CUDA kernels serve it too, single precision. Copies and single additions are exact.</summary>
internal sealed class EmbeddingCudaTests : CudaKernelTest
{
    /// <summary>Batch, image size, patch size: windows of eight pixels, patches of 14, patches and images that leave pixels over, pieces across patches.</summary>
    private static readonly int[][] Images = [[2, 64, 32], [3, 48, 16], [2, 44, 14], [2, 40, 16], [3, 17, 5], [2, 3, 1], [1, 9, 3], [5, 24, 8]];

    [Test]
    public void UnfoldMatchesTheDefinition([ValueSource(nameof(Images))] int[] shape, [Values] bool rounded)
    {
        (int batch, int size, int patch) = (shape[0], shape[1], shape[2]);
        byte[] images = [.. Integers(batch * size * size * 3, 256).Select(v => (byte)v)];
        float[] table = Normal(3 * 256), expected = EmbeddingReference.Unfold(images, table, batch, size, patch);
        int rows = batch * (size / patch) * (size / patch);
        Tensor patches = rounded ? PoisonedBFloats(rows, 3 * patch * patch) : Poisoned(rows, 3 * patch * patch);
        PatchEmbedding.Unfold(Device, patches, Tensor(images, batch, size, size, 3), Tensor(table, 3, 256), patch);
        Assert.That(Contents(patches), Is.EqualTo(rounded ? Rounded(expected) : expected));
    }

    [Test]
    public void AssembleMatchesTheDefinition([Values(1, 3)] int batch, [Values(2, 5)] int length, [Values(4, 13, 260)] int width, [Values] bool rounded)
    {
        float[] patches = Normal(batch * (length - 1) * width), classToken = Normal(width), positions = Normal(length * width);
        if (rounded) patches = Rounded(patches);
        Tensor tokens = Poisoned(batch * length, width);
        Tensor embeddings = rounded ? BFloats(patches, batch * (length - 1), width) : Tensor(patches, batch * (length - 1), width);
        PatchEmbedding.Assemble(Device, tokens, embeddings, Tensor(classToken, width), Tensor(positions, length, width), batch);
        Assert.That(Contents(tokens), Is.EqualTo(EmbeddingReference.Assemble(patches, classToken, positions, batch)));
    }

    [Test]
    public void AssembleBackwardMatchesDoublePrecision([Values(1, 7, 19)] int batch, [Values(2, 5)] int length, [Values(4, 13, 260)] int width, [Values] bool rounded)
    {
        float[] d = Normal(batch * length * width), class0 = Normal(width), positions0 = Normal(length * width);
        if (rounded) d = Rounded(d);
        Tensor dtokens = rounded ? BFloats(d, batch * length, width) : Tensor(d, batch * length, width);
        Tensor dpatches = rounded ? PoisonedBFloats(batch * (length - 1), width) : Poisoned(batch * (length - 1), width);
        Tensor dclass = Tensor(class0, width), dpositions = Tensor(positions0, length, width);
        PatchEmbedding.AssembleBackward(Device, dpatches, dclass, dpositions, dtokens, batch);
        (double[] Exact, float[] Plain) classes = (Wide(class0), [.. class0]), places = (Wide(positions0), [.. positions0]);
        float[] expected = EmbeddingReference.AssembleBackward(d, classes, places, batch);
        Assert.That(Contents(dpatches), Is.EqualTo(expected));
        AssertClose(dclass, classes.Exact, Wide(classes.Plain), "dclass");
        AssertClose(dpositions, places.Exact, Wide(places.Plain), "dpositions");
    }

    [Test]
    public void ScatterWritesZeroElsewhereAndAddsRepeatedRows([Values(4, 13, 600)] int width, [Values] bool rounded)
    {
        int[] rows = [6, 0, 3, 3, -1, 6, 7, 3];
        float[] dy = Rounded(Normal(rows.Length * width));
        (int Row, float[] Values)[] inside = [.. rows.Zip(dy.Chunk(width)).Where(pair => pair.First is >= 0 and < 7)];
        float[] expected = EmbeddingReference.Scatter([.. inside.SelectMany(pair => pair.Values)], [.. inside.Select(pair => pair.Row)], 7, width);
        Tensor dx = Poisoned(7, width), copy = rounded ? PoisonedBFloats(7, width) : default;
        RowSelection.Scatter(Device, dx, rounded ? BFloats(dy, rows.Length, width) : Tensor(dy, rows.Length, width), Tensor(rows, rows.Length), copy);
        Assert.That(Contents(dx), Is.EqualTo(expected));
        if (rounded) Assert.That(Contents(copy), Is.EqualTo(Rounded(expected)));
    }
}
