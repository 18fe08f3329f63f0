using static Patching.Kernels.Precision;

namespace Patching.Kernels;

/// <summary>Self-test of <see cref="PatchEmbedding"/>, <see cref="TokenEmbedding"/> and <see cref="RowSelection"/>.</summary>
internal static class EmbeddingChecks
{
    /// <summary>All checks; <paramref name="small"/> ones where arithmetic is slow.</summary>
    public static IEnumerable<SelfTestCheck> All(bool small)
    {
        // Batch, image size, patch size: the second leaves a margin that belongs to no patch.
        (int Batch, int Size, int Patch)[] images = small ? [(1, 1, 1), (2, 15, 7), (2, 16, 4)] : [(1, 1, 1), (3, 47, 7), (4, 224, 32)];
        foreach ((int batch, int size, int patch) in images)
            yield return new SelfTestCheck("PatchEmbedding.Unfold", $"{batch}x{size}x{size}/{patch}", trial => Unfold(trial, batch, size, patch));
        (int Batch, int Length, int Width)[] tokens = small ? [(1, 2, 3), (3, 5, 13), (2, 17, 32)] : [(1, 2, 3), (5, 11, 53), (4, 50, 768)];
        foreach ((int batch, int length, int width) in tokens)
        {
            string size = $"{batch}x{length}x{width}";
            yield return new SelfTestCheck("PatchEmbedding.Assemble", size, trial => Assemble(trial, batch, length, width));
            yield return new SelfTestCheck("PatchEmbedding.AssembleBackward", size, trial => AssembleBackward(trial, batch, length, width));
            yield return new SelfTestCheck("TokenEmbedding.Forward", size, trial => Tokens(trial, batch, length, width));
            yield return new SelfTestCheck("RowSelection.Gather", size, trial => Gather(trial, batch, length, width));
            yield return new SelfTestCheck("RowSelection.Scatter", size, trial => Scatter(trial, batch, length, width));
        }
    }

    private static void Unfold(Trial trial, int batch, int size, int patchSize)
    {
        byte[] images = [.. trial.Integers(batch * size * size * 3, 256).Select(v => (byte)v)];
        float[] table = trial.Normal(3 * 256);
        int grid = size / patchSize;
        Tensor patches = trial.Poisoned(batch * grid * grid, 3 * patchSize * patchSize);
        Tensor timages = trial.Tensor(images, batch, size, size, 3), ttable = trial.Tensor(table, 3, 256);
        trial.Launch(() => PatchEmbedding.Unfold(trial.Device, patches, timages, ttable, patchSize));
        trial.CompareExactly("patches", patches, EmbeddingReference.Unfold(images, table, batch, size, patchSize));
    }

    private static void Assemble(Trial trial, int batch, int length, int width)
    {
        float[] patches = trial.Normal(batch * (length - 1) * width), classToken = trial.Normal(width), positions = trial.Normal(length * width);
        Tensor tokens = trial.Poisoned(batch * length, width), tpatches = trial.Tensor(patches, batch * (length - 1), width);
        Tensor tclass = trial.Tensor(classToken, width), tpositions = trial.Tensor(positions, length, width);
        trial.Launch(() => PatchEmbedding.Assemble(trial.Device, tokens, tpatches, tclass, tpositions, batch));
        trial.CompareExactly("tokens", tokens, EmbeddingReference.Assemble(patches, classToken, positions, batch));
    }

    private static void AssembleBackward(Trial trial, int batch, int length, int width)
    {
        float[] dtokens = trial.Normal(batch * length * width), dclass = trial.Normal(width), dpositions = trial.Normal(length * width);
        Tensor tpatches = trial.Poisoned(batch * (length - 1), width), tclass = trial.Tensor(dclass, width);
        Tensor tpositions = trial.Tensor(dpositions, length, width), ttokens = trial.Tensor(dtokens, batch * length, width);
        trial.Launch(() => PatchEmbedding.AssembleBackward(trial.Device, tpatches, tclass, tpositions, ttokens, batch));
        double[] exactClass = Wide(dclass), exactPositions = Wide(dpositions);
        float[] dpatches = EmbeddingReference.AssembleBackward(dtokens, (exactClass, dclass), (exactPositions, dpositions), batch);
        trial.CompareExactly("dpatchEmbeddings", tpatches, dpatches);
        trial.Compare("dclassToken", tclass, exactClass, Wide(dclass));
        trial.Compare("dpositions", tpositions, exactPositions, Wide(dpositions));
    }

    private static void Tokens(Trial trial, int batch, int length, int width)
    {
        const int vocabulary = 97;
        int[] ids = trial.Integers(batch * length, vocabulary);
        (ids[0], ids[^1]) = (vocabulary - 1, 0);
        float[] table = trial.Normal(vocabulary * width), positions = trial.Normal(length * width);
        Tensor x = trial.Poisoned(batch * length, width), tids = trial.Tensor(ids, batch, length);
        Tensor ttable = trial.Tensor(table, vocabulary, width), tpositions = trial.Tensor(positions, length, width);
        trial.Launch(() => TokenEmbedding.Forward(trial.Device, x, tids, ttable, tpositions));
        trial.CompareExactly("x", x, EmbeddingReference.Tokens(ids, table, positions, width));
    }

    private static void Gather(Trial trial, int batch, int length, int width)
    {
        int[] rows = trial.Integers(batch, batch * length);
        float[] x = trial.Normal(batch * length * width);
        Tensor y = trial.Poisoned(batch, width), tx = trial.Tensor(x, batch * length, width), trows = trial.Tensor(rows, batch);
        trial.Launch(() => RowSelection.Gather(trial.Device, y, tx, trows));
        trial.CompareExactly("y", y, EmbeddingReference.Gather(x, rows, width));
    }

    private static void Scatter(Trial trial, int batch, int length, int width)
    {
        int[] rows = trial.Integers(batch, batch * length);
        rows[^1] = rows[0];
        float[] dy = trial.Normal(batch * width);
        Tensor dx = trial.Poisoned(batch * length, width), tdy = trial.Tensor(dy, batch, width), trows = trial.Tensor(rows, batch);
        trial.Launch(() => RowSelection.Scatter(trial.Device, dx, tdy, trows));
        trial.CompareExactly("dx", dx, EmbeddingReference.Scatter(dy, rows, batch * length, width));
    }
}
