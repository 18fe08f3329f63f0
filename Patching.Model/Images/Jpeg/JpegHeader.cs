using System.Buffers.Binary;

namespace Patching.Model.Images;

/// <summary>A component of a picture: brightness or one of two colour differences.</summary>
internal sealed class JpegComponent
{
    public required byte Id { get; init; }

    /// <summary>Blocks of this component side by side in a unit of the scan.</summary>
    public required int Across { get; init; }

    /// <summary>Blocks of this component one below the other in a unit of the scan.</summary>
    public required int Down { get; init; }

    public required byte QuantizationTable { get; init; }

    public HuffmanTable? Dc { get; set; }

    public HuffmanTable? Ac { get; set; }

    /// <summary>Quantisation steps in zigzag order.</summary>
    public int[] Steps { get; set; } = [];
}

/// <summary>
/// What stands before the numbers of a JPEG (ITU-T T.81, annex B), if it is one of the plain kind: sequential, Huffman-coded, 8 bits, one
/// scan without restarts, gray or YCbCr, with colours as they are or halved across or both ways.
/// </summary>
internal sealed class JpegHeader
{
    private const byte StartOfImage = 0xD8, Baseline = 0xC0, Extended = 0xC1, HuffmanTables = 0xC4, QuantizationTables = 0xDB;
    private const byte StartOfScan = 0xDA, FirstApplication = 0xE0, Adobe = 0xEE, LastApplication = 0xEF, Comment = 0xFE;

    private readonly HuffmanTable?[] _dc = new HuffmanTable?[4], _ac = new HuffmanTable?[4];
    private readonly int[]?[] _steps = new int[]?[4];
    private bool _isJfif;

    private JpegHeader()
    {
    }

    public int Width { get; private set; }

    public int Height { get; private set; }

    public JpegComponent[] Components { get; private set; } = [];

    /// <summary>Where the numbers begin.</summary>
    public int ScanStart { get; private set; }

    /// <summary>Reads a header; null where the file is of another kind or damaged.</summary>
    public static JpegHeader? Read(ReadOnlySpan<byte> file)
    {
        if (file.Length < 4 || file[0] != 0xFF || file[1] != StartOfImage) return null;
        var header = new JpegHeader();
        for (int at = 2; at + 4 <= file.Length;)
        {
            if (file[at] != 0xFF) return null;
            byte marker = file[at + 1];
            int length = BinaryPrimitives.ReadUInt16BigEndian(file[(at + 2)..]);
            if (length < 2 || at + 2 + length > file.Length) return null;
            ReadOnlySpan<byte> body = file.Slice(at + 4, length - 2);
            at += 2 + length;
            if (marker == StartOfScan)
            {
                header.ScanStart = at;
                return header.ReadScan(body) ? header : null;
            }
            if (!header.ReadSegment(marker, body)) return null;
        }
        return null;
    }

    private bool ReadSegment(byte marker, ReadOnlySpan<byte> body)
    {
        switch (marker)
        {
            case Baseline or Extended: return ReadFrame(body);
            case HuffmanTables: return ReadHuffman(body);
            case QuantizationTables: return ReadQuantization(body);
            // The last byte says whether colours are YCbCr, which is 1.
            case Adobe when body.Length >= 12 && body.StartsWith("Adobe"u8): return body[11] == 1;
            case FirstApplication:
                _isJfif |= body.Length >= 14 && body.StartsWith("JFIF\0"u8);
                return true;
            // Restart intervals, other kinds of frames and whatever else.
            default: return marker is > FirstApplication and <= LastApplication or Comment;
        }
    }

    private bool ReadFrame(ReadOnlySpan<byte> body)
    {
        if (Components.Length > 0 || body.Length < 6 || body[0] != 8 || body.Length != 6 + 3 * body[5]) return false;
        (Height, Width) = (BinaryPrimitives.ReadUInt16BigEndian(body[1..]), BinaryPrimitives.ReadUInt16BigEndian(body[3..]));
        if (Height == 0 || Width == 0 || body[5] is not (1 or 3)) return false;
        var components = new JpegComponent[body[5]];
        for (int i = 0; i < components.Length; i++)
        {
            ReadOnlySpan<byte> part = body.Slice(6 + 3 * i, 3);
            // Blocks of a lone component follow each other row by row, whatever is said about their arrangement.
            (int across, int down) = components.Length == 1 ? (1, 1) : (part[1] >> 4, part[1] & 15);
            if (part[2] > 3) return false;
            components[i] = new JpegComponent { Id = part[0], Across = across, Down = down, QuantizationTable = part[2] };
        }
        Components = components;
        return components.Length == 1 || IsUsual(components);
    }

    // Narrow pictures are enlarged in another way.
    private bool IsUsual(JpegComponent[] c) =>
        c[1] is { Across: 1, Down: 1 } && c[2] is { Across: 1, Down: 1 } && (c[0].Across, c[0].Down) is (1, 1) or (2, 1) or (2, 2)
        && (c[0].Across == 1 || Width > 4) && (_isJfif || c[0].Id == 1 && c[1].Id == 2 && c[2].Id == 3);

    private bool ReadQuantization(ReadOnlySpan<byte> body)
    {
        for (; body.Length >= 65; body = body[65..])
        {
            if (body[0] > 3) return false;
            int[] steps = new int[64];
            for (int i = 0; i < 64; i++) steps[i] = body[1 + i];
            _steps[body[0]] = steps;
        }
        return body.IsEmpty;
    }

    private bool ReadHuffman(ReadOnlySpan<byte> body)
    {
        while (body.Length >= 17)
        {
            int count = 0;
            foreach (byte codes in body.Slice(1, 16)) count += codes;
            (int kind, int index) = (body[0] >> 4, body[0] & 15);
            if (kind > 1 || index > 3 || count > 256 || body.Length < 17 + count) return false;
            HuffmanTable? table = HuffmanTable.Make(body.Slice(1, 16), body.Slice(17, count), kind == 0);
            if (table is null) return false;
            (kind == 0 ? _dc : _ac)[index] = table;
            body = body[(17 + count)..];
        }
        return body.IsEmpty;
    }

    private bool ReadScan(ReadOnlySpan<byte> body)
    {
        int count = Components.Length;
        if (count == 0 || body.Length != 4 + 2 * count || body[0] != count) return false;
        if (!body[^3..].SequenceEqual((ReadOnlySpan<byte>)[0, 63, 0])) return false;
        for (int i = 0; i < count; i++)
        {
            JpegComponent component = Components[i];
            (byte id, byte tables) = (body[1 + 2 * i], body[2 + 2 * i]);
            if (id != component.Id || (tables >> 4) > 3 || (tables & 15) > 3) return false;
            (component.Dc, component.Ac, component.Steps) = (_dc[tables >> 4], _ac[tables & 15], _steps[component.QuantizationTable] ?? []);
            if (component.Dc is null || component.Ac is null || component.Steps.Length == 0) return false;
        }
        return true;
    }
}
