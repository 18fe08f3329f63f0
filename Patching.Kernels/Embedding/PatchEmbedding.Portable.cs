using ILGPU;

namespace Patching.Kernels;

/// <content>
/// The plain kernels: one thread per element of the output; backward one thread per position and column, which walks the batch.
/// </content>
public static partial class PatchEmbedding
{
    private static void UnfoldKernel(
        Index1D i, ArrayView<float> patches, ArrayView<byte> images, ArrayView<float> table, int size, int patchSize)
    {
        int area = patchSize * patchSize, grid = size / patchSize;
        int row = i / (3 * area), column = i % (3 * area);
        int channel = column / area, y = column % area / patchSize, x = column % patchSize;
        int image = row / (grid * grid), patch = row % (grid * grid);
        long line = (long)image * size + patch / grid * patchSize + y;
        long pixel = line * size + patch % grid * patchSize + x;
        patches[i] = table[channel * 256 + images[pixel * 3 + channel]];
    }

    private static void AssembleKernel(
        Index1D i, ArrayView<float> tokens, ArrayView<float> patchEmbeddings, ArrayView<float> classToken, ArrayView<float> positions,
        int length, int width)
    {
        int row = i / width, column = i % width, image = row / length, token = row % length;
        long patch = (long)image * (length - 1) + token - 1;
        float value = token == 0 ? classToken[column] : patchEmbeddings[patch * width + column];
        tokens[i] = value + positions[token * width + column];
    }

    private static void AssembleBackwardKernel(
        Index1D i, ArrayView<float> dpatchEmbeddings, ArrayView<float> dclassToken, ArrayView<float> dpositions, ArrayView<float> dtokens,
        int batch, int length, int width)
    {
        int token = i / width, column = i % width;
        float sum = 0;
        for (int image = 0; image < batch; image++)
        {
            float d = dtokens[((long)image * length + token) * width + column];
            sum += d;
            if (token > 0) dpatchEmbeddings[((long)image * (length - 1) + token - 1) * width + column] = d;
        }
        dpositions[i] += sum;
        if (token == 0) dclassToken[column] += sum;
    }
}
