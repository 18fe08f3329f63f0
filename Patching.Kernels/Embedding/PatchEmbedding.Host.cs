using System.Runtime.CompilerServices;

namespace Patching.Kernels;

/// <content>
/// The host implementation: rows are divided among the threads; backward divides the positions, so that each sum over the batch has one
/// owner.
/// </content>
public static partial class PatchEmbedding
{
    private static unsafe void UnfoldHost(
        HostThreads threads, Tensor patches, Tensor images, Tensor table, int batch, int size, int patchSize)
    {
        float* pp = patches.HostFloats, pt = table.HostFloats;
        byte* pi = images.HostBytes;
        int grid = size / patchSize;
        long rowLength = 3L * patchSize * patchSize;
        threads.For((long)batch * grid * grid, (first, end) =>
        {
            for (long row = first; row < end; row++)
            {
                long image = row / (grid * grid), patch = row % (grid * grid);
                byte* corner = pi + ((image * size + patch / grid * patchSize) * size + patch % grid * patchSize) * 3;
                UnfoldPatch(pp + row * rowLength, corner, pt, 3L * size, patchSize);
            }
        });
    }

    /// <summary>One channel after the other, so that the row is written from its start to its end.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void UnfoldPatch(float* row, byte* corner, float* table, long stride, int patchSize)
    {
        for (int channel = 0; channel < 3; channel++, table += 256)
        {
            byte* line = corner + channel;
            for (int y = 0; y < patchSize; y++, line += stride)
            {
                byte* pixel = line;
                for (float* end = row + patchSize; row < end; row++, pixel += 3) *row = table[*pixel];
            }
        }
    }

    private static unsafe void AssembleHost(
        HostThreads threads, Tensor tokens, Tensor patchEmbeddings, Tensor classToken, Tensor positions, int batch, int length)
    {
        int width = tokens.Columns;
        float* pTokens = tokens.HostFloats, pPatches = patchEmbeddings.HostFloats, pClass = classToken.HostFloats,
            pPositions = positions.HostFloats;
        threads.For((long)batch * length, (first, end) =>
        {
            for (long row = first; row < end; row++)
            {
                long image = row / length, token = row % length;
                float* source = token == 0 ? pClass : pPatches + (image * (length - 1) + token - 1) * width;
                HostRow.Sum(pTokens + row * width, source, pPositions + token * width, width);
            }
        });
    }

    private static unsafe void AssembleBackwardHost(
        HostThreads threads, Tensor dpatchEmbeddings, Tensor dclassToken, Tensor dpositions, Tensor dtokens, int batch, int length)
    {
        int width = dtokens.Columns;
        float* pTokens = dtokens.HostFloats, pPatches = dpatchEmbeddings.HostFloats, pClass = dclassToken.HostFloats,
            pPositions = dpositions.HostFloats;
        threads.For(length, (first, end) =>
        {
            for (long image = 0; image < batch; image++)
            {
                for (long token = first; token < end; token++)
                {
                    float* d = pTokens + (image * length + token) * width;
                    HostRow.Sum(pPositions + token * width, pPositions + token * width, d, width);
                    if (token == 0)
                        HostRow.Sum(pClass, pClass, d, width);
                    else
                        HostRow.Copy(pPatches + (image * (length - 1) + token - 1) * width, d, width);
                }
            }
        });
    }
}
