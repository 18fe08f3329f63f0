using ILGPU;

namespace Patching.Kernels;

/// <content>The plain kernels: one thread per image and channel; backward one per position and channel, which walks the batch.</content>
public static partial class MeanToken
{
    private static void ForwardKernel(Index1D i, ArrayView<float> tokens, ArrayView<float> x, ArrayView<float> positions, int length, int channels)
    {
        int image = i / channels, channel = i % channels;
        long pixels = (long)image * (length - 1) * channels + channel, target = (long)image * length * channels + channel;
        float sum = 0;
        for (int p = 1; p < length; p++)
        {
            float value = x[pixels + (long)(p - 1) * channels];
            sum += value;
            tokens[target + (long)p * channels] = value + positions[p * channels + channel];
        }
        tokens[target] = sum / (length - 1) + positions[channel];
    }

    private static void BackwardKernel(
        Index1D i, ArrayView<float> dx, ArrayView<float> dpositions, ArrayView<float> dtokens, int batch, int length, int channels)
    {
        int token = i / channels, channel = i % channels;
        float sum = 0;
        for (int image = 0; image < batch; image++)
        {
            long first = (long)image * length * channels + channel;
            float d = dtokens[first + (long)token * channels];
            sum += d;
            if (token > 0) dx[((long)image * (length - 1) + token - 1) * channels + channel] = d + dtokens[first] / (length - 1);
        }
        dpositions[i] += sum;
    }
}
