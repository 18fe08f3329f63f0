using System.Runtime.CompilerServices;

namespace Patching.Model.Images;

/// <summary>
/// Pillow's 8-bit bicubic resize with antialiasing, to the bit: a horizontal pass, rounded and clipped to bytes, then a vertical pass
/// (weights: <see cref="BicubicWeights"/>). Only the wanted window of the output, and only the source rows and columns it depends on, are
/// touched.
/// </summary>
/// <remarks>
/// <para>Both passes are the same kernel, <see cref="WeightedSum"/>, which adds up whole rows of bytes. For the horizontal pass 16 source
/// rows at a time are transposed into a tile in which the 16 pixels of one column lie side by side; a column of the output is then a
/// weighted sum of tile rows, and no lane is wasted on a fourth channel or on the odd tap.</para>
/// <para>An instance keeps its scratch memory (16 source rows and the intermediate image of the window) and the last weights of each axis,
/// so that images of one size cost no allocation. It must not be used by two threads at once; <see cref="OfThread"/> gives each thread its
/// own.</para>
/// </remarks>
public sealed unsafe class BicubicResampler
{
    private const int TileRows = WeightedSum.BlockBytes / 3;

    [ThreadStatic]
    private static BicubicResampler? t_ofThread;

    private readonly WeightedSum.Instructions _instructions;
    private BicubicWeights? _horizontal;
    private BicubicWeights? _vertical;
    private byte[] _tile = [];
    private byte[] _rows = [];

    /// <summary>Creates a resampler that uses the best vector instructions of this processor.</summary>
    public BicubicResampler()
        : this(WeightedSum.Best)
    {
    }

    /// <summary>Creates a resampler that uses the given instructions; all give the same bytes.</summary>
    internal BicubicResampler(WeightedSum.Instructions instructions) => _instructions = instructions;

    /// <summary>The calling thread's own resampler.</summary>
    public static BicubicResampler OfThread => t_ofThread ??= new BicubicResampler();

    /// <summary>Computes the window of the resized crop of <paramref name="image"/>.</summary>
    /// <param name="image">Source.</param>
    /// <param name="horizontal">Columns: crop, resized width, window.</param>
    /// <param name="vertical">Rows: crop, resized height, window.</param>
    /// <param name="destination">Exactly <c>3 * horizontal.WindowLength * vertical.WindowLength</c> bytes, RGB, row-major. Written.</param>
    /// <exception cref="ArgumentException">A crop or window does not fit, or the destination has another size.</exception>
    public void Resample(RgbImage image, in ResampleAxis horizontal, in ResampleAxis vertical, Span<byte> destination)
    {
        horizontal.Validate(image.Width, nameof(horizontal));
        vertical.Validate(image.Height, nameof(vertical));
        long wanted = 3L * horizontal.WindowLength * vertical.WindowLength;
        if (destination.Length != wanted) throw new ArgumentException($"the window needs {wanted} bytes, not {destination.Length}");

        (int firstRow, int rows) = (checked((int)(vertical.IsIdentity ? vertical.WindowStart : 0)), vertical.WindowLength);
        if (!vertical.IsIdentity)
        {
            if (_vertical is null || _vertical.Axis != vertical) _vertical = new BicubicWeights(vertical);
            (firstRow, rows) = (_vertical.FirstSource, _vertical.EndSource - _vertical.FirstSource);
        }
        int rowBytes = 3 * horizontal.WindowLength;
        // The vertical pass reads whole blocks, and the horizontal pass writes one byte past its last pixel.
        int stride = RoundUp(rowBytes, WeightedSum.BlockBytes) + 1;
        EnsureCapacity(ref _rows, checked((long)stride * rows));
        fixed (byte* source = image.Pixels, intermediate = _rows, result = destination)
        {
            byte* crop = source + 3 * ((nint)(vertical.SourceStart + firstRow) * image.Width + horizontal.SourceStart);
            HorizontalPass(crop, 3 * (nint)image.Width, rows, horizontal, intermediate, stride);
            if (vertical.IsIdentity) CopyRows(intermediate, stride, result, rowBytes, rowBytes, rows);
            else VerticalPass(intermediate, stride, _vertical!, result, rowBytes);
        }
    }

    private void HorizontalPass(byte* source, nint sourceStride, int rows, in ResampleAxis axis, byte* destination, int stride)
    {
        if (axis.IsIdentity)
        {
            CopyRows(source + 3 * (nint)axis.WindowStart, sourceStride, destination, stride, 3 * axis.WindowLength, rows);
            return;
        }
        if (_horizontal is null || _horizontal.Axis != axis) _horizontal = new BicubicWeights(axis);
        int columns = _horizontal.EndSource - _horizontal.FirstSource;
        EnsureCapacity(ref _tile, ((long)columns + 1) * WeightedSum.BlockBytes);
        source += 3 * (nint)_horizontal.FirstSource;
        fixed (byte* tile = _tile)
        {
            for (int row = 0; row < rows; row += TileRows)
            {
                int count = Math.Min(TileRows, rows - row);
                Transpose(source + row * sourceStride, sourceStride, columns, count, tile);
                ResampleTile(tile, _horizontal, destination + (nint)row * stride, stride, count);
            }
        }
    }

    /// <summary>
    /// Tile row x gets the pixels (x, 0), (x, 1) ... of the source. Pixels are moved as four bytes, of which the next move overwrites the
    /// last; the last column is moved byte by byte because the fourth byte may lie behind the image. Bytes of missing rows keep what they
    /// were, and are not used.
    /// </summary>
    private static void Transpose(byte* source, nint sourceStride, int columns, int rows, byte* tile)
    {
        for (int x = 0; x < columns - 1; x++, source += 3, tile += WeightedSum.BlockBytes)
        {
            byte* pixel = source;
            for (int r = 0; r < rows; r++, pixel += sourceStride)
                Unsafe.WriteUnaligned(tile + 3 * r, Unsafe.ReadUnaligned<uint>(pixel));
        }
        for (int r = 0; r < rows; r++)
        {
            for (int c = 0; c < 3; c++) tile[3 * r + c] = source[r * sourceStride + c];
        }
    }

    private void ResampleTile(byte* tile, BicubicWeights axis, byte* destination, nint stride, int rows)
    {
        byte* column = stackalloc byte[WeightedSum.BlockBytes + 1];
        for (int i = 0; i < axis.Axis.WindowLength; i++, destination += 3)
        {
            ReadOnlySpan<int> weights = axis.Of(i);
            byte* first = tile + (nint)(axis.First(i) - axis.FirstSource) * WeightedSum.BlockBytes;
            fixed (int* w = weights) WeightedSum.Block(_instructions, column, first, WeightedSum.BlockBytes, w, weights.Length);
            byte* pixel = destination;
            for (int r = 0; r < rows; r++, pixel += stride)
                Unsafe.WriteUnaligned(pixel, Unsafe.ReadUnaligned<uint>(column + 3 * r));
        }
    }

    private void VerticalPass(byte* source, nint stride, BicubicWeights axis, byte* destination, int rowBytes)
    {
        byte* ragged = stackalloc byte[WeightedSum.BlockBytes];
        for (int i = 0; i < axis.Axis.WindowLength; i++, destination += rowBytes)
        {
            ReadOnlySpan<int> weights = axis.Of(i);
            byte* first = source + (axis.First(i) - axis.FirstSource) * stride;
            fixed (int* w = weights)
            {
                int b = 0;
                for (; b <= rowBytes - WeightedSum.BlockBytes; b += WeightedSum.BlockBytes)
                    WeightedSum.Block(_instructions, destination + b, first + b, stride, w, weights.Length);
                if (b == rowBytes) continue;
                WeightedSum.Block(_instructions, ragged, first + b, stride, w, weights.Length);
                Unsafe.CopyBlockUnaligned(destination + b, ragged, (uint)(rowBytes - b));
            }
        }
    }

    private static void CopyRows(byte* source, nint sourceStride, byte* destination, nint stride, int bytes, int rows)
    {
        for (int r = 0; r < rows; r++) Unsafe.CopyBlockUnaligned(destination + r * stride, source + r * sourceStride, (uint)bytes);
    }

    private static int RoundUp(int value, int multiple) => checked((value + multiple - 1) / multiple * multiple);

    private static void EnsureCapacity(ref byte[] buffer, long bytes)
    {
        if (buffer.Length < bytes) buffer = GC.AllocateUninitializedArray<byte>(checked((int)bytes));
    }
}
