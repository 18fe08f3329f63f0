using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;

namespace Patching.Model.Weights;

/// <summary>An entry of a zip archive.</summary>
/// <param name="Name">Its path in the archive, with forward slashes.</param>
/// <param name="Compressed">Whether it is deflated; else its bytes lie in the archive as they are.</param>
/// <param name="HeaderOffset">Where its local header begins.</param>
/// <param name="Offset">Where its bytes begin.</param>
/// <param name="StoredLength">Bytes in the archive.</param>
/// <param name="Length">Bytes when unpacked.</param>
/// <param name="Crc">CRC-32 of the unpacked bytes, as the archive states it.</param>
internal sealed record ZipEntry(string Name, bool Compressed, long HeaderOffset, long Offset, long StoredLength, long Length, uint Crc);

/// <summary>
/// The table of contents of a zip archive, checked against the archive before anything is believed. Python and .NET can list archives, too,
/// but do not say where an entry's bytes lie, and that is what lets tensors be read in place.
/// </summary>
/// <remarks>
/// A zip archive is read from its end: the end record (22 bytes and a comment) says where the central directory lies; where a number does
/// not fit, a locator before it leads to the zip64 end record. The directory has a header of 46 bytes per entry, which points to the local
/// header of 30 bytes before the entry's bytes. Name and sizes are there twice. Refused: archives in parts, encryption, methods other than
/// stored and deflate, names that are absolute, lead upwards or occur twice, entries that overlap each other or the directory.
/// Specification: PKWARE's APPNOTE.TXT.
/// </remarks>
internal sealed class ZipDirectory
{
    private const int EndLength = 22, LocatorLength = 20, End64Length = 56, HeaderLength = 46, LocalLength = 30;
    private const uint EndSignature = 0x06054b50, LocatorSignature = 0x07064b50, End64Signature = 0x06064b50, HeaderSignature = 0x02014b50;

    // Deflate codes at best 258 bytes in 2 bits.
    private const int BestRatio = 1032;

    private readonly MappedFile _file;
    private readonly Dictionary<string, ZipEntry> _entries = new(StringComparer.Ordinal);

    private ZipDirectory(MappedFile file) => _file = file;

    /// <summary>Begins every zip archive that is not empty.</summary>
    public static ReadOnlySpan<byte> Magic => "PK\x03\x04"u8;

    /// <summary>The entries by name; folders are left out.</summary>
    public IReadOnlyDictionary<string, ZipEntry> Entries => _entries;

    /// <summary>Reads and checks the table of contents.</summary>
    /// <exception cref="InputException">The archive is damaged or lies about itself.</exception>
    public static ZipDirectory Read(MappedFile file)
    {
        var directory = new ZipDirectory(file);
        (long offset, long length, ulong count) = directory.FindHeaders();
        long position = offset;
        for (ulong i = 0; i < count; i++) position += directory.AddEntry(position, offset, offset + length);
        if (position != offset + length) throw directory.Wrong($"its table of contents holds more than the {count} entries it announces");
        directory.RefuseOverlaps();
        return directory;
    }

    /// <summary>The bytes of an entry; unpacked where it is compressed.</summary>
    /// <param name="entry">One of <see cref="Entries"/>.</param>
    /// <param name="limit">Most bytes that such an entry can sensibly have.</param>
    /// <exception cref="InputException">It is longer, or does not hold what it announces.</exception>
    public ReadOnlyMemory<byte> Unpack(ZipEntry entry, int limit)
    {
        if (entry.Length > limit) throw Wrong($"its entry '{HostileText.Show(entry.Name)}' has {entry.Length} bytes; {limit} are allowed");
        if (!entry.Compressed) return _file.Memory(entry.Offset, entry.Length);
        if (entry.Length > entry.StoredLength * BestRatio)
            throw Wrong(
                $"its entry '{HostileText.Show(entry.Name)}' claims to unpack {entry.StoredLength} bytes to {entry.Length},"
                + " which is impossible");
        byte[] bytes = new byte[entry.Length];
        try
        {
            using var packed = new MemoryStream(_file.Span(entry.Offset, checked((int)entry.StoredLength)).ToArray());
            using var inflate = new DeflateStream(packed, CompressionMode.Decompress);
            inflate.ReadExactly(bytes);
            if (inflate.ReadByte() >= 0)
                throw Wrong($"its entry '{HostileText.Show(entry.Name)}' unpacks to more than the {entry.Length} bytes it announces");
            return bytes;
        }
        catch (Exception error) when (error is InvalidDataException or EndOfStreamException)
        {
            throw Wrong($"its entry '{HostileText.Show(entry.Name)}' cannot be unpacked; the file is damaged");
        }
    }

    private (long Offset, long Length, ulong Count) FindHeaders()
    {
        long end = FindEnd();
        ReadOnlySpan<byte> record = _file.Span(end, EndLength);
        if (UInt16(record, 4) != 0 || UInt16(record, 6) != 0) throw Wrong("it is one part of an archive in several parts");
        ulong count = UInt16(record, 10), length = UInt32(record, 12), offset = UInt32(record, 16);
        bool needs64 = count == ushort.MaxValue || length == uint.MaxValue || offset == uint.MaxValue;
        if (end >= LocatorLength && UInt32(_file.Span(end - LocatorLength, LocatorLength), 0) == LocatorSignature)
        {
            ulong at = UInt64(_file.Span(end - LocatorLength, LocatorLength), 8);
            end -= LocatorLength;
            if (at > (ulong)Math.Max(0, end - End64Length)) throw Wrong("its zip64 end record lies outside the file");
            ReadOnlySpan<byte> record64 = _file.Span((long)at, End64Length);
            if (UInt32(record64, 0) != End64Signature) throw Wrong("its zip64 end record is missing");
            end = (long)at;
            (count, length, offset) = (UInt64(record64, 32), UInt64(record64, 40), UInt64(record64, 48));
        }
        else if (needs64)
        {
            throw Wrong("its zip64 end record is missing");
        }
        if (offset > (ulong)end || length > (ulong)end - offset)
            throw Wrong($"its table of contents lies outside the file (at {offset}, {length} bytes); the file is cut short or damaged");
        if (count > length / HeaderLength) throw Wrong($"it announces {count} entries in a table of contents of {length} bytes");
        return ((long)offset, (long)length, count);
    }

    /// <summary>The last end record whose comment ends with the file.</summary>
    private long FindEnd()
    {
        for (long at = _file.Length - EndLength; at >= Math.Max(0, _file.Length - EndLength - ushort.MaxValue); at--)
        {
            ReadOnlySpan<byte> record = _file.Span(at, EndLength);
            if (UInt32(record, 0) == EndSignature && at + EndLength + UInt16(record, 20) == _file.Length) return at;
        }
        throw Wrong("its table of contents is missing; the file is cut short");
    }

    /// <summary>Checks one header of the directory and the local header it points to.</summary>
    /// <returns>Bytes of the header.</returns>
    private long AddEntry(long position, long directory, long directoryEnd)
    {
        if (position > directoryEnd - HeaderLength) throw Wrong("its table of contents is cut short");
        ReadOnlySpan<byte> header = _file.Span(position, HeaderLength);
        if (UInt32(header, 0) != HeaderSignature) throw Wrong("its table of contents is damaged");
        int nameLength = UInt16(header, 28), extraLength = UInt16(header, 30);
        int total = HeaderLength + nameLength + extraLength + UInt16(header, 32);
        if (position > directoryEnd - total) throw Wrong("its table of contents is cut short");
        string name = Encoding.UTF8.GetString(_file.Span(position + HeaderLength, nameLength));
        CheckName(name);
        if ((UInt16(header, 8) & 1) != 0) throw WrongEntry(name, "is encrypted");
        int method = UInt16(header, 10);
        if (method is not (0 or 8)) throw WrongEntry(name, $"is packed by method {method}; stored and deflated entries can be read");
        ulong stored = UInt32(header, 20), unpacked = UInt32(header, 24), local = UInt32(header, 42);
        Widen(_file.Span(position + HeaderLength + nameLength, extraLength), ref unpacked, ref stored, ref local, name);
        if (local > (ulong)(directory - LocalLength)) throw WrongEntry(name, "lies outside the file");
        long start = DataOffset(name, (long)local);
        if (start > directory || stored > (ulong)(directory - start))
            throw WrongEntry(name, $"claims {stored} bytes, more than the file holds; it is cut short or damaged");
        if (unpacked > long.MaxValue || (method == 0 && stored != unpacked))
            throw WrongEntry(name, $"says that its {stored} bytes are {unpacked}; the file is damaged");
        var entry = new ZipEntry(name, method != 0, (long)local, start, (long)stored, (long)unpacked, UInt32(header, 16));
        if (!_entries.TryAdd(name, entry)) throw WrongEntry(name, "occurs twice");
        return total;
    }

    /// <summary>The local header repeats the name; its own lengths of name and extra field say where the bytes begin.</summary>
    private long DataOffset(string name, long local)
    {
        ReadOnlySpan<byte> header = _file.Span(local, LocalLength);
        if (!header.StartsWith(Magic)) throw WrongEntry(name, "has no header where the table of contents says");
        int nameLength = UInt16(header, 26);
        if (local + LocalLength + nameLength > _file.Length || Encoding.UTF8.GetString(_file.Span(local + LocalLength, nameLength)) != name)
            throw WrongEntry(name, "has another name in its own header");
        return local + LocalLength + nameLength + UInt16(header, 28);
    }

    /// <summary>Extra field 1 holds, in this order, those of the three numbers that do not fit 32 bits.</summary>
    private void Widen(ReadOnlySpan<byte> extra, ref ulong unpacked, ref ulong stored, ref ulong local, string name)
    {
        while (extra.Length >= 4)
        {
            int length = UInt16(extra, 2);
            if (length > extra.Length - 4) throw WrongEntry(name, "has a damaged extra field");
            if (UInt16(extra, 0) == 1)
            {
                ReadOnlySpan<byte> numbers = extra.Slice(4, length);
                Next(ref numbers, ref unpacked, name);
                Next(ref numbers, ref stored, name);
                Next(ref numbers, ref local, name);
                return;
            }
            extra = extra[(4 + length)..];
        }
    }

    private void Next(ref ReadOnlySpan<byte> numbers, ref ulong value, string name)
    {
        if (value != uint.MaxValue) return;
        if (numbers.Length < sizeof(ulong)) throw WrongEntry(name, "has a damaged extra field");
        value = UInt64(numbers, 0);
        numbers = numbers[sizeof(ulong)..];
    }

    private void CheckName(string name)
    {
        bool leadsAway = name.Length == 0 || name[0] == '/' || name.AsSpan().ContainsAny("\\:\0")
            || name.Split('/').Any(part => part is ".." or ".");
        if (leadsAway) throw WrongEntry(name, "has a name that leads out of the archive");
    }

    private void RefuseOverlaps()
    {
        long end = 0;
        foreach (ZipEntry entry in _entries.Values.OrderBy(entry => entry.HeaderOffset))
        {
            if (entry.HeaderOffset < end) throw WrongEntry(entry.Name, "overlaps the entry before it; the file is damaged");
            end = entry.Offset + entry.StoredLength;
        }
    }

    private static ushort UInt16(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadUInt16LittleEndian(bytes[at..]);

    private static uint UInt32(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadUInt32LittleEndian(bytes[at..]);

    private static ulong UInt64(ReadOnlySpan<byte> bytes, int at) => BinaryPrimitives.ReadUInt64LittleEndian(bytes[at..]);

    private InputException Wrong(string what) => new($"{_file.Path}: zip archive: {what}");

    private InputException WrongEntry(string name, string what) => Wrong($"its entry '{HostileText.Show(name)}' {what}");
}
