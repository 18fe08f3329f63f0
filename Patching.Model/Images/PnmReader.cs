using System.Buffers.Binary;

namespace Patching.Model.Images;

/// <summary>
/// Portable bitmaps, graymaps and pixmaps, plain (P1, P2, P3) and binary (P4, P5, P6), read as Pillow reads them and converts them to RGB:
/// colour samples become <c>round(255 v / maxval)</c>, halves to even; so do gray samples when maxval is at most 255, whereas deeper gray
/// becomes <c>min(255, round(65535 v / maxval))</c> (Pillow's mode I, which saturates). Bits are 1 for black. A binary sample above maxval
/// counts as maxval, a plain one is an error.
/// </summary>
internal static class PnmReader
{
    private const int MaxTokenDigits = 10;

    /// <summary>True for P1 to P6 followed by white space or a comment.</summary>
    public static bool IsPnm(ReadOnlySpan<byte> bytes) =>
        bytes.Length >= 3 && bytes[0] == 'P' && bytes[1] is >= (byte)'1' and <= (byte)'6' && (IsSpace(bytes[2]) || bytes[2] == '#');

    /// <summary>Decodes a file that <see cref="IsPnm"/> recognises. What follows the first image is ignored.</summary>
    /// <exception cref="InputException">The header is unusable, the image too large or the file too short.</exception>
    public static RgbImage Decode(ReadOnlySpan<byte> bytes, string name, long maxPixels)
    {
        int kind = bytes[1] - '0';
        Cursor cursor = new(bytes, name) { Position = 2 };
        long width = cursor.Number("width"), height = cursor.Number("height");
        ImageDecoder.CheckSize(width, height, name, maxPixels);
        int max = kind is 1 or 4 ? 1 : (int)Math.Min(cursor.Number("maximum"), int.MaxValue);
        if (max is < 1 or > 65535) throw Corrupt(name, $"the header's maximum {max} is not within 1 to 65535");
        cursor.SkipOneSpace();

        int channels = kind is 3 or 6 ? 3 : 1;
        long samples = width * height * channels;
        long needed = kind switch
        {
            1 => samples,
            2 or 3 => 2 * samples - 1,
            4 => (width + 7) / 8 * height,
            _ => samples * (max > 255 ? 2 : 1),
        };
        ReadOnlySpan<byte> data = cursor.Rest;
        if (data.Length < needed)
        {
            throw new InputException(
                $"{name}: truncated: {width} x {height} pixels need {needed} bytes, the file has {data.Length}; remove or replace it");
        }

        byte[] levels = LevelTable(kind, max);
        byte[] pixels = GC.AllocateUninitializedArray<byte>((int)(width * height * 3));
        Span<byte> target = channels == 3 ? pixels : pixels.AsSpan((int)(width * height * 2));
        if (kind == 4) ReadBits(data, (int)width, levels, target);
        else if (kind is 5 or 6) ReadBinary(data, max, levels, target);
        else ReadPlain(cursor, kind == 1, max, levels, target);
        if (channels == 1) SpreadGray(pixels);
        return new RgbImage((int)width, (int)height, pixels);
    }

    /// <summary>The byte for every sample value 0 to <paramref name="max"/>.</summary>
    private static byte[] LevelTable(int kind, int max)
    {
        if (kind is 1 or 4) return [255, 0];
        double full = kind is 2 or 5 && max > 255 ? 65535 : 255;
        byte[] levels = new byte[max + 1];
        for (int v = 0; v <= max; v++) levels[v] = (byte)Math.Min(255, Math.Round((double)v / max * full, MidpointRounding.ToEven));
        return levels;
    }

    private static void ReadBits(ReadOnlySpan<byte> data, int width, byte[] levels, Span<byte> target)
    {
        int stride = (width + 7) / 8;
        for (int i = 0; i < target.Length; i++)
        {
            (int y, int x) = Math.DivRem(i, width);
            target[i] = levels[(data[y * stride + x / 8] >> (7 - x % 8)) & 1];
        }
    }

    private static void ReadBinary(ReadOnlySpan<byte> data, int max, byte[] levels, Span<byte> target)
    {
        for (int i = 0; i < target.Length; i++)
        {
            int value = max > 255 ? BinaryPrimitives.ReadUInt16BigEndian(data[(2 * i)..]) : data[i];
            target[i] = levels[Math.Min(value, max)];
        }
    }

    private static void ReadPlain(Cursor cursor, bool isBitmap, int max, byte[] levels, Span<byte> target)
    {
        for (int i = 0; i < target.Length; i++)
        {
            long value = isBitmap ? cursor.Bit() : cursor.Number("sample");
            if (value > max) throw Corrupt(cursor.Name, $"sample {i} is {value}, above the maximum {max}");
            target[i] = levels[value];
        }
    }

    // The gray bytes lie in the last third; filling from the front never overtakes the byte still to be read.
    private static void SpreadGray(Span<byte> pixels)
    {
        int count = pixels.Length / 3;
        for (int i = 0; i < count; i++) pixels.Slice(3 * i, 3).Fill(pixels[2 * count + i]);
    }

    private static bool IsSpace(byte b) => b is (byte)' ' or (>= 9 and <= 13);

    private static InputException Corrupt(string name, string what) => new($"{name}: corrupt PNM: {what}; remove or replace the image");

    /// <summary>Reads white-space-separated numbers; a comment runs from # to the end of the line.</summary>
    private ref struct Cursor(ReadOnlySpan<byte> bytes, string name)
    {
        private readonly ReadOnlySpan<byte> _bytes = bytes;

        public readonly string Name => name;

        public int Position { get; set; }

        public readonly ReadOnlySpan<byte> Rest => _bytes[Position..];

        /// <summary>The next non-negative number of at most ten digits.</summary>
        public long Number(string what)
        {
            SkipSpace(what);
            int digits = 0;
            long value = 0;
            for (; Position < _bytes.Length && _bytes[Position] is >= (byte)'0' and <= (byte)'9'; Position++, digits++)
            {
                if (digits == MaxTokenDigits) throw Corrupt(name, $"the {what} at byte {Position} has more than {MaxTokenDigits} digits");
                value = 10 * value + (_bytes[Position] - '0');
            }
            bool ends = Position == _bytes.Length || IsSpace(_bytes[Position]) || _bytes[Position] == '#';
            if (digits == 0 || !ends) throw Corrupt(name, $"the {what} at byte {Position} is not a non-negative number");
            return value;
        }

        /// <summary>The next 0 or 1; bits of a plain bitmap need no space between them.</summary>
        public long Bit()
        {
            SkipSpace("bit");
            byte b = _bytes[Position++];
            if (b is not ((byte)'0' or (byte)'1')) throw Corrupt(name, $"the bit at byte {Position - 1} is neither 0 nor 1");
            return b - '0';
        }

        /// <summary>Steps over the single white-space byte that ends the header.</summary>
        public void SkipOneSpace()
        {
            if (Position < _bytes.Length && IsSpace(_bytes[Position])) Position++;
        }

        private void SkipSpace(string what)
        {
            bool inComment = false;
            for (; Position < _bytes.Length; Position++)
            {
                byte b = _bytes[Position];
                if (inComment) inComment = b is not ((byte)'\n' or (byte)'\r');
                else if (b == '#') inComment = true;
                else if (!IsSpace(b)) return;
            }
            throw new InputException($"{name}: truncated: the file ends before the {what}; remove or replace it");
        }
    }
}
