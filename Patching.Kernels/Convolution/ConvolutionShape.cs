namespace Patching.Kernels;

/// <summary>
/// Extents of a convolution with a square window over square images, padded with zeros by half a window on every side, so that stride 1 keeps the size.
/// </summary>
/// <param name="Batch">B, images.</param>
/// <param name="Size">S, rows and columns of an image.</param>
/// <param name="Channels">C, numbers per pixel.</param>
/// <param name="Window">k, rows and columns of the window; odd.</param>
/// <param name="Stride">Steps from one window to the next.</param>
public readonly record struct ConvolutionShape(int Batch, int Size, int Channels, int Window, int Stride)
{
    /// <summary>Zeros on each side of an image.</summary>
    public int Padding => Window / 2;

    /// <summary>Rows and columns of the result: <c>(S + 2 padding - k) / stride + 1</c>, rounded down.</summary>
    public int OutputSize => (Size + 2 * Padding - Window) / Stride + 1;

    /// <summary>Pixels of all images.</summary>
    public int InputRows => checked(Batch * Size * Size);

    /// <summary>Windows of all images.</summary>
    public int OutputRows => checked(Batch * OutputSize * OutputSize);

    /// <summary>Numbers of one window: k k C.</summary>
    public int WindowLength => Window * Window * Channels;
}
