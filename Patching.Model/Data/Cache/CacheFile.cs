using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.InteropServices;
using Patching.Model.Weights;

namespace Patching.Model.Data;

/// <summary>One image in a <see cref="CacheFile"/>.</summary>
/// <param name="Offset">Where its pixels begin.</param>
/// <param name="Width">Columns; 0 for an image that could not be read.</param>
/// <param name="Height">Rows.</param>
/// <param name="Checksum">CRC-32C of the pixels.</param>
internal readonly record struct CacheEntry(long Offset, int Width, int Height, uint Checksum)
{
    /// <summary>Bytes of the pixels.</summary>
    public long Bytes => 3L * Width * Height;
}

/// <summary>
/// Decoded images in one file that is mapped into memory. Little-endian:
/// <code>
///  0  "PATCHIMG"        8 bytes
///  8  version           uint32
/// 12  CRC-32C           uint32, of the header from byte 16 on and the index
/// 16  length of file    int64
/// 24  images n          int64
/// 32  key               32 bytes (CacheContent.Key)
/// 64  index             n entries of 24 bytes: offset int64, width int32, height int32, CRC-32C uint32, 0
///     pixels            RGB bytes, row by row, in any order
/// </code>
/// Reading is safe from several threads.
/// </summary>
internal sealed class CacheFile : IDisposable
{
    /// <summary>Version of the format and of the code that makes the pixels; grows when either changes.</summary>
    public const int Version = 1;

    /// <summary>Bytes before the index.</summary>
    public const int HeaderBytes = 64;

    /// <summary>Bytes of one index entry.</summary>
    public const int EntryBytes = 24;

    private const int ChecksumAt = 12, CheckedFrom = 16, LengthAt = 16, CountAt = 24, KeyAt = 32, KeyBytes = 32;

    private readonly MappedFile file;

    private CacheFile(MappedFile file) => this.file = file;

    /// <summary>The file.</summary>
    public string Path => file.Path;

    private static ReadOnlySpan<byte> Magic => "PATCHIMG"u8;

    /// <summary>Where the pixels of a file with so many images begin.</summary>
    public static long PixelsAt(int images) => HeaderBytes + (long)EntryBytes * images;

    /// <summary>Opens a file and checks all of it but the pixels.</summary>
    /// <param name="path">The file, which must exist.</param>
    /// <param name="key">Key it must have.</param>
    /// <param name="images">Images it must have.</param>
    /// <param name="problem">Why it cannot be used; null if it can.</param>
    /// <exception cref="InputException">The file is no image cache at all, or cannot be read.</exception>
    public static CacheFile? Open(string path, ReadOnlySpan<byte> key, int images, out string? problem)
    {
        MappedFile mapped = MappedFile.Open(path);
        if (!Magic.StartsWith(mapped.Span(0, (int)Math.Min(mapped.Length, Magic.Length))))
        {
            mapped.Dispose();
            throw new InputException($"{path}: is in the place of an image cache and is none; move it away or choose another --cache");
        }
        problem = Problem(mapped, key, images);
        if (problem is null) return new CacheFile(mapped);
        mapped.Dispose();
        return null;
    }

    /// <summary>Header and index of a file, ready to be written to its beginning.</summary>
    public static byte[] Head(ReadOnlySpan<byte> key, CacheEntry[] entries, long fileLength)
    {
        byte[] head = new byte[PixelsAt(entries.Length)];
        Magic.CopyTo(head);
        BinaryPrimitives.WriteInt32LittleEndian(head.AsSpan(Magic.Length), Version);
        BinaryPrimitives.WriteInt64LittleEndian(head.AsSpan(LengthAt), fileLength);
        BinaryPrimitives.WriteInt64LittleEndian(head.AsSpan(CountAt), entries.Length);
        key.CopyTo(head.AsSpan(KeyAt, KeyBytes));
        for (int i = 0; i < entries.Length; i++)
        {
            Span<byte> entry = head.AsSpan(HeaderBytes + EntryBytes * i, EntryBytes);
            BinaryPrimitives.WriteInt64LittleEndian(entry, entries[i].Offset);
            BinaryPrimitives.WriteInt32LittleEndian(entry[8..], entries[i].Width);
            BinaryPrimitives.WriteInt32LittleEndian(entry[12..], entries[i].Height);
            BinaryPrimitives.WriteUInt32LittleEndian(entry[16..], entries[i].Checksum);
        }
        BinaryPrimitives.WriteUInt32LittleEndian(head.AsSpan(ChecksumAt), Checksum(head.AsSpan(CheckedFrom)));
        return head;
    }

    /// <summary>CRC-32C (Castagnoli), which processors compute in hardware.</summary>
    public static uint Checksum(ReadOnlySpan<byte> bytes)
    {
        uint crc = uint.MaxValue;
        ReadOnlySpan<ulong> words = MemoryMarshal.Cast<byte, ulong>(bytes);
        foreach (ulong word in words)
            crc = BitOperations.Crc32C(crc, BitConverter.IsLittleEndian ? word : BinaryPrimitives.ReverseEndianness(word));
        foreach (byte rest in bytes[(words.Length * sizeof(ulong))..]) crc = BitOperations.Crc32C(crc, rest);
        return ~crc;
    }

    /// <summary>The entry of one image.</summary>
    public CacheEntry Entry(int image) => Entry(file, image);

    /// <summary>Copies the pixels of one image; false if they are damaged.</summary>
    public bool TryRead(in CacheEntry entry, Span<byte> destination)
    {
        // The copy is what is checked: the file may be read from a failing disk twice with two results.
        file.Span(entry.Offset, destination.Length).CopyTo(destination);
        return Checksum(destination) == entry.Checksum;
    }

    /// <inheritdoc/>
    public void Dispose() => file.Dispose();

    private static CacheEntry Entry(MappedFile file, int image)
    {
        ReadOnlySpan<byte> entry = file.Span(HeaderBytes + (long)EntryBytes * image, EntryBytes);
        return new CacheEntry(
            BinaryPrimitives.ReadInt64LittleEndian(entry), BinaryPrimitives.ReadInt32LittleEndian(entry[8..]),
            BinaryPrimitives.ReadInt32LittleEndian(entry[12..]), BinaryPrimitives.ReadUInt32LittleEndian(entry[16..]));
    }

    private static string? Problem(MappedFile file, ReadOnlySpan<byte> key, int images)
    {
        if (file.Length < HeaderBytes) return "truncated";
        ReadOnlySpan<byte> header = file.Span(0, HeaderBytes);
        if (BinaryPrimitives.ReadInt32LittleEndian(header[Magic.Length..]) != Version) return "of another version";
        if (!header.Slice(KeyAt, KeyBytes).SequenceEqual(key)) return "of other images";
        long pixelsAt = PixelsAt(images);
        if (BinaryPrimitives.ReadInt64LittleEndian(header[CountAt..]) != images) return "damaged";
        if (BinaryPrimitives.ReadInt64LittleEndian(header[LengthAt..]) != file.Length || file.Length < pixelsAt) return "truncated";
        ReadOnlySpan<byte> head = file.Span(0, checked((int)pixelsAt));
        if (Checksum(head[CheckedFrom..]) != BinaryPrimitives.ReadUInt32LittleEndian(head[ChecksumAt..])) return "damaged";
        for (int i = 0; i < images; i++)
        {
            CacheEntry entry = Entry(file, i);
            if (entry.Width < 0 || entry.Height < 0 || entry.Bytes > Array.MaxLength) return "damaged";
            if (entry.Offset < 0 || entry.Offset > file.Length - entry.Bytes) return "damaged";
        }
        return null;
    }
}
