using System.Numerics;
using System.Runtime.CompilerServices;

namespace Patching.Kernels;

/// <content>The host implementation: forward divides the images, backward the positions, so that each sum has one owner.</content>
public static partial class MeanToken
{
    private static unsafe void ForwardHost(HostThreads threads, Tensor tokens, Tensor x, Tensor positions, int batch)
    {
        int length = positions.Rows, channels = positions.Columns;
        float* pTokens = tokens.HostFloats, px = x.HostFloats, pPositions = positions.HostFloats;
        threads.For(batch, (first, end) =>
        {
            for (long image = first; image < end; image++)
            {
                float* mean = pTokens + image * length * channels, pixels = px + image * (length - 1) * channels;
                HostRow.Fill(mean, 0, channels);
                for (long p = 0; p < length - 1; p++)
                {
                    HostRow.Sum(mean, mean, pixels + p * channels, channels);
                    HostRow.Sum(mean + (p + 1) * channels, pixels + p * channels, pPositions + (p + 1) * channels, channels);
                }
                AddQuotient(mean, pPositions, mean, length - 1, channels);
            }
        });
    }

    private static unsafe void BackwardHost(HostThreads threads, Tensor dx, Tensor dpositions, Tensor dtokens, int batch)
    {
        int length = dpositions.Rows, channels = dpositions.Columns;
        float* pdx = dx.HostFloats, pPositions = dpositions.HostFloats, pTokens = dtokens.HostFloats;
        threads.For(length, (first, end) =>
        {
            for (long image = 0; image < batch; image++)
            {
                float* mean = pTokens + image * length * channels;
                for (long token = first; token < end; token++)
                {
                    HostRow.Sum(pPositions + token * channels, pPositions + token * channels, mean + token * channels, channels);
                    if (token > 0) AddQuotient(pdx + (image * (length - 1) + token - 1) * channels, mean + token * channels, mean, length - 1, channels);
                }
            }
        });
    }

    /// <summary>Writes <c>y = a + b / divisor</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void AddQuotient(float* y, float* a, float* b, float divisor, int count)
    {
        int c = 0;
        for (; c + Vector<float>.Count <= count; c += Vector<float>.Count) (Vector.Load(a + c) + Vector.Load(b + c) / divisor).Store(y + c);
        for (; c < count; c++) y[c] = a[c] + b[c] / divisor;
    }
}
