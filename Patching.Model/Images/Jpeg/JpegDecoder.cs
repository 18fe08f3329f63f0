using System.Runtime.CompilerServices;

namespace Patching.Model.Images;

/// <summary>
/// JPEGs of the plain kind (<see cref="JpegHeader"/>), which nearly all photos are, to the bit as libjpeg-turbo decodes them with its
/// accurate transform and interpolated colours, and faster than SkiaSharp, whose libjpeg-turbo has no vector instructions on x64. Every
/// other file, and one with anything unusual about it, is left to <see cref="SkiaImageReader"/>, which also says what is wrong with it.
/// </summary>
internal sealed unsafe class JpegDecoder
{
    private const int Block = 8;
    private const int MostKeptBytes = 1 << 24;

    [ThreadStatic]
    private static JpegDecoder? t_ofThread;

    private readonly Plane[] _planes = [new(), new(), new()];
    private byte[] _scan = [];
    private byte[] _rows = [];
    private ushort[] _sums = [];

    private JpegDecoder()
    {
    }

    /// <summary>Whether this processor has the vector instructions.</summary>
    public static bool IsSupported => InverseDct.IsSupported && BitConverter.IsLittleEndian;

    /// <summary>Decodes a file; null where another decoder must.</summary>
    /// <param name="file">The whole file.</param>
    /// <param name="maxPixels">Greatest width times height.</param>
    /// <param name="enough">Sides that are enough: whole pictures of twice that are not what is wanted.</param>
    public static RgbImage? TryDecode(ReadOnlySpan<byte> file, long maxPixels, int enough = int.MaxValue)
    {
        if (!IsSupported || JpegHeader.Read(file) is not { } header) return null;
        if ((header.Width + 1) / 2 >= enough && (header.Height + 1) / 2 >= enough) return null;
        // A block takes two bits at least; four bytes per pixel is what the other decoder allows.
        long pixels = (long)header.Width * header.Height;
        if (pixels > Math.Min(maxPixels, Array.MaxLength / 4) || pixels / (4 * Block * Block) > file.Length) return null;
        return (t_ofThread ??= new JpegDecoder()).Decode(file[header.ScanStart..], header);
    }

    private RgbImage? Decode(ReadOnlySpan<byte> numbers, JpegHeader header)
    {
        EnsureCapacity(ref _scan, numbers.Length + 16);
        if (!JpegScan.TryStart(numbers, _scan, out JpegScan scan)) return null;
        int across = header.Components[0].Across * Block, down = header.Components[0].Down * Block;
        int unitsAcross = (header.Width + across - 1) / across, unitsDown = (header.Height + down - 1) / down;
        for (int i = 0; i < header.Components.Length; i++) _planes[i].Prepare(header.Components[i], unitsAcross, unitsDown);
        for (int row = 0; row < unitsDown; row++)
            for (int column = 0; column < unitsAcross; column++)
                for (int i = 0; i < header.Components.Length; i++)
                    if (!_planes[i].ReadUnit(ref scan, row, column)) return null;
        if (!scan.IsAtEnd) return null;
        byte[] rgb = GC.AllocateUninitializedArray<byte>(3 * header.Width * header.Height);
        WritePixels(rgb, header);
        foreach (Plane plane in _planes) plane.Release();
        return new RgbImage(header.Width, header.Height, rgb);
    }

    private void WritePixels(byte[] rgb, JpegHeader header)
    {
        (int width, int height) = (header.Width, header.Height);
        int room = (width + 2 * JpegColors.Step) / JpegColors.Step * JpegColors.Step;
        // Two rows of enlarged colours, and one of pixels.
        EnsureCapacity(ref _rows, 5 * room);
        if (_sums.Length < room + 2) _sums = new ushort[room + 2];
        fixed (byte* pixels = rgb, y = _planes[0].Samples, cb = _planes[1].Samples, cr = _planes[2].Samples, rows = _rows)
        fixed (ushort* sums = _sums)
        {
            for (int row = 0; row < height; row++)
            {
                // Vectors write behind the end of a row, where the next one comes. Behind the last rows there is nothing.
                byte* target = pixels + 3 * (nint)row * width, light = y + (nint)row * _planes[0].Stride;
                bool direct = 3 * (long)(height - row) * width >= 3 * room;
                byte* line = direct ? target : rows + 2 * room;
                if (header.Components.Length == 1)
                    JpegColors.GrayToRgb(target, light, width);
                else
                    JpegColors.ToRgb(
                        line, light, Colours(rows, cb, _planes[1], sums + 1, row, header),
                        Colours(rows + room, cr, _planes[2], sums + 1, row, header), width);
                if (!direct && header.Components.Length == 3) Unsafe.CopyBlockUnaligned(target, line, (uint)(3 * width));
            }
        }
    }

    /// <summary>A row of a colour difference at the size of the picture.</summary>
    private static byte* Colours(byte* wide, byte* samples, Plane plane, ushort* sums, int row, JpegHeader header)
    {
        (int across, int down) = (header.Components[0].Across, header.Components[0].Down);
        int own = row / down, count = (header.Width + across - 1) / across;
        byte* near = samples + (nint)own * plane.Stride;
        if (across == 1) return near;
        if (down == 1)
        {
            JpegColors.Copy(sums, near, count);
        }
        else
        {
            int far = Math.Clamp(row % 2 == 0 ? own - 1 : own + 1, 0, (header.Height + 1) / 2 - 1);
            JpegColors.AddRows(sums, near, samples + (nint)far * plane.Stride, count);
        }
        JpegColors.Widen(wide, sums, count, isSum: down == 2);
        return wide;
    }

    private static void EnsureCapacity(ref byte[] buffer, int bytes)
    {
        if (buffer.Length < bytes) buffer = GC.AllocateUninitializedArray<byte>(bytes);
    }

    /// <summary>The samples of one component.</summary>
    private sealed class Plane
    {
        private readonly int[] _block = GC.AllocateArray<int>(Block * Block, pinned: true);
        private JpegComponent _component = null!;
        private byte[] _samples = [];
        private int _mean;

        public byte[] Samples => _samples;

        public int Stride { get; private set; }

        public void Prepare(JpegComponent component, int unitsAcross, int unitsDown)
        {
            (_component, _mean) = (component, 0);
            Stride = unitsAcross * component.Across * Block;
            // Rows are read in vectors.
            EnsureCapacity(ref _samples, checked(Stride * unitsDown * component.Down * Block + 2 * JpegColors.Step));
        }

        /// <summary>Gives back the memory of an unusually large picture.</summary>
        public void Release()
        {
            if (_samples.Length > MostKeptBytes) _samples = [];
        }

        public bool ReadUnit(ref JpegScan scan, int row, int column)
        {
            fixed (byte* samples = _samples)
            fixed (int* block = _block)
            {
                for (int down = 0; down < _component.Down; down++)
                {
                    for (int across = 0; across < _component.Across; across++)
                    {
                        int y = row * _component.Down + down, x = column * _component.Across + across;
                        new Span<int>(block, Block * Block).Clear();
                        if (!scan.ReadBlock(block, _component, ref _mean, out int last)) return false;
                        if (!InverseDct.Transform(samples + Block * ((nint)y * Stride + x), Stride, block, last)) return false;
                    }
                }
            }
            return true;
        }
    }
}
