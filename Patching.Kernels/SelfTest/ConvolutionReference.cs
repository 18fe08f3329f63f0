using System.Numerics;
using static Patching.Kernels.Precision;

namespace Patching.Kernels;

/// <summary>
/// <see cref="Convolution"/>, <see cref="AveragePooling"/> and <see cref="MeanToken"/> from their definitions, in the precision of the type argument: every pixel of
/// every window by its coordinates.
/// </summary>
internal static class ConvolutionReference
{
    /// <summary>Calls back for every pixel of every window that lies inside its image: the window's row, its element, the pixel's element.</summary>
    private static void Visit(ConvolutionShape shape, Action<long, int, long> visit)
    {
        for (int image = 0; image < shape.Batch; image++)
            for (int row = 0; row < shape.OutputSize; row++)
                for (int column = 0; column < shape.OutputSize; column++)
                    for (int ky = 0; ky < shape.Window; ky++)
                        for (int kx = 0; kx < shape.Window; kx++)
                        {
                            int y = row * shape.Stride + ky - shape.Padding, x = column * shape.Stride + kx - shape.Padding;
                            if (y < 0 || x < 0 || y >= shape.Size || x >= shape.Size) continue;
                            long window = ((long)image * shape.OutputSize + row) * shape.OutputSize + column, pixel = ((long)image * shape.Size + y) * shape.Size + x;
                            for (int c = 0; c < shape.Channels; c++) visit(window, (ky * shape.Window + kx) * shape.Channels + c, pixel * shape.Channels + c);
                        }
    }

    public static float[] Unfold(float[] x, ConvolutionShape shape)
    {
        float[] windows = new float[(long)shape.OutputRows * shape.WindowLength];
        Visit(shape, (window, element, pixel) => windows[window * shape.WindowLength + element] = x[pixel]);
        return windows;
    }

    public static double[] Fold<T>(double[] dwindows, ConvolutionShape shape)
        where T : IFloatingPointIeee754<T>
    {
        T[] dx = new T[(long)shape.InputRows * shape.Channels];
        Visit(shape, (window, element, pixel) => dx[pixel] += T.CreateTruncating(dwindows[window * shape.WindowLength + element]));
        return Wide(dx);
    }

    /// <summary>The convolution itself, y [B So So, O], with a weight [O, C, k, k] as other programs store it.</summary>
    public static double[] Convolve<T>(double[] x, double[] weight, int outputs, ConvolutionShape shape)
        where T : IFloatingPointIeee754<T>
    {
        T[] y = new T[(long)shape.OutputRows * outputs];
        int area = shape.Window * shape.Window;
        Visit(shape, (window, element, pixel) =>
        {
            for (int o = 0; o < outputs; o++)
                y[window * outputs + o] += T.CreateTruncating(x[pixel])
                    * T.CreateTruncating(weight[(o * shape.Channels + element % shape.Channels) * area + element / shape.Channels]);
        });
        return Wide(y);
    }

    public static double[] Pool<T>(double[] x, int size, int window, int channels)
        where T : IFloatingPointIeee754<T>
    {
        int pooled = size / window;
        T[] y = new T[x.Length / channels / (size * size) * pooled * pooled * channels];
        for (int i = 0; i < y.Length; i++)
        {
            int row = i / channels, image = row / (pooled * pooled), top = row / pooled % pooled * window, left = row % pooled * window;
            T sum = T.Zero;
            for (int k = 0; k < window * window; k++)
                sum += T.CreateTruncating(x[((image * size + top + k / window) * size + left + k % window) * channels + i % channels]);
            y[i] = sum / T.CreateTruncating(window * window);
        }
        return Wide(y);
    }

    public static double[] PoolBackward<T>(double[] dy, double[] dx0, int size, int window, int channels)
        where T : IFloatingPointIeee754<T>
    {
        int pooled = size / window;
        T[] dx = As<T>(dx0);
        for (int i = 0; i < dy.Length; i++)
        {
            int row = i / channels, image = row / (pooled * pooled), top = row / pooled % pooled * window, left = row % pooled * window;
            for (int k = 0; k < window * window; k++)
                dx[((image * size + top + k / window) * size + left + k % window) * channels + i % channels] +=
                    T.CreateTruncating(dy[i]) / T.CreateTruncating(window * window);
        }
        return Wide(dx);
    }

    public static double[] Tokens<T>(double[] x, double[] positions, int channels)
        where T : IFloatingPointIeee754<T>
    {
        int length = positions.Length / channels, batch = x.Length / (channels * (length - 1));
        T[] tokens = new T[batch * length * channels], pixels = As<T>(x), places = As<T>(positions);
        for (int image = 0; image < batch; image++)
            for (int c = 0; c < channels; c++)
            {
                T sum = T.Zero;
                for (int p = 1; p < length; p++)
                {
                    T value = pixels[(image * (length - 1) + p - 1) * channels + c];
                    sum += value;
                    tokens[(image * length + p) * channels + c] = value + places[p * channels + c];
                }
                tokens[image * length * channels + c] = sum / T.CreateTruncating(length - 1) + places[c];
            }
        return Wide(tokens);
    }

    public static (double[] X, double[] Positions) TokensBackward<T>(double[] dtokens, double[] dpositions0, int channels)
        where T : IFloatingPointIeee754<T>
    {
        int length = dpositions0.Length / channels, batch = dtokens.Length / dpositions0.Length;
        T[] dx = new T[batch * (length - 1) * channels], d = As<T>(dtokens), dpositions = As<T>(dpositions0);
        for (int i = 0; i < d.Length; i++)
        {
            int image = i / (length * channels), token = i / channels % length, c = i % channels;
            dpositions[token * channels + c] += d[i];
            if (token > 0) dx[(image * (length - 1) + token - 1) * channels + c] = d[i] + d[image * length * channels + c] / T.CreateTruncating(length - 1);
        }
        return (Wide(dx), Wide(dpositions));
    }
}
