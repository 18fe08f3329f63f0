namespace Patching.Kernels;

/// <summary>The embeddings from their definitions, index by index. Copies and single additions have one right result in single precision.</summary>
internal static class EmbeddingReference
{
    /// <summary><see cref="PatchEmbedding.Unfold"/>: walks the pixels and says where each one goes.</summary>
    public static float[] Unfold(byte[] images, float[] table, int batch, int size, int patchSize)
    {
        int grid = size / patchSize, area = patchSize * patchSize;
        float[] patches = new float[(long)batch * grid * grid * 3 * area];
        for (int b = 0; b < batch; b++)
            for (int row = 0; row < grid * patchSize; row++)
                for (int column = 0; column < grid * patchSize; column++)
                    for (int channel = 0; channel < 3; channel++)
                    {
                        int patch = (b * grid + row / patchSize) * grid + column / patchSize;
                        int inside = channel * area + row % patchSize * patchSize + column % patchSize;
                        byte pixel = images[((b * size + row) * size + column) * 3 + channel];
                        patches[patch * 3 * area + inside] = table[channel * 256 + pixel];
                    }
        return patches;
    }

    /// <summary><see cref="PatchEmbedding.Assemble"/>.</summary>
    public static float[] Assemble(float[] patches, float[] classToken, float[] positions, int batch)
    {
        int width = classToken.Length, length = positions.Length / width;
        float[] tokens = new float[batch * positions.Length];
        for (int b = 0; b < batch; b++)
            for (int t = 0; t < length; t++)
                for (int c = 0; c < width; c++)
                {
                    float value = t == 0 ? classToken[c] : patches[(b * (length - 1) + t - 1) * width + c];
                    tokens[(b * length + t) * width + c] = value + positions[t * width + c];
                }
        return tokens;
    }

    /// <summary><see cref="PatchEmbedding.AssembleBackward"/>: the gradient of the patches; sums over the batch go into the other two, in double precision
    /// and in single precision.</summary>
    public static float[] AssembleBackward(
        float[] dtokens, (double[] Exact, float[] Plain) dclassToken, (double[] Exact, float[] Plain) dpositions, int batch)
    {
        int width = dclassToken.Plain.Length, length = dpositions.Plain.Length / width;
        float[] dpatches = new float[batch * (length - 1) * width];
        for (int b = 0; b < batch; b++)
            for (int t = 0; t < length; t++)
                for (int c = 0; c < width; c++)
                {
                    float d = dtokens[(b * length + t) * width + c];
                    dpositions.Exact[t * width + c] += d;
                    dpositions.Plain[t * width + c] += d;
                    if (t == 0)
                    {
                        dclassToken.Exact[c] += d;
                        dclassToken.Plain[c] += d;
                    }
                    else
                    {
                        dpatches[(b * (length - 1) + t - 1) * width + c] = d;
                    }
                }
        return dpatches;
    }

    /// <summary><see cref="TokenEmbedding.Forward"/>.</summary>
    public static float[] Tokens(int[] ids, float[] table, float[] positions, int width) =>
        [.. Enumerable.Range(0, ids.Length * width).Select(i => table[ids[i / width] * width + i % width] + positions[i % positions.Length])];

    /// <summary><see cref="RowSelection.Gather"/>.</summary>
    public static float[] Gather(float[] x, int[] rows, int width) => [.. rows.SelectMany(row => x.AsSpan(row * width, width).ToArray())];

    /// <summary><see cref="RowSelection.Scatter"/>; rows that occur twice add up in the order of the batch.</summary>
    public static float[] Scatter(float[] dy, int[] rows, int count, int width)
    {
        float[] dx = new float[count * width];
        for (int i = 0; i < dy.Length; i++) dx[rows[i / width] * width + i % width] += dy[i];
        return dx;
    }
}
