using System.Buffers.Binary;
using System.IO.Compression;
using System.Text;

namespace Patching.Tests.Model.Data;

/// <summary>Writes MATLAB files of version 5, as MATLAB, Octave and scipy do, or in ways none of them would.</summary>
internal sealed class MatWriter
{
    public const uint Int8 = 1, UInt8 = 2, UInt16 = 4, Int32 = 5, UInt32 = 6, Double = 9, Matrix = 14, Compressed = 15, Utf16 = 17;

    private readonly MemoryStream stream = new();

    public MatWriter(string text = "MATLAB 5.0 MAT-file", string order = "IM", ushort version = 0x0100)
    {
        stream.Write(Encoding.ASCII.GetBytes(text.PadRight(124)));
        stream.Write([(byte)version, (byte)(version >> 8)]);
        stream.Write(Encoding.ASCII.GetBytes(order));
    }

    public byte[] ToArray() => stream.ToArray();

    public MatWriter Add(byte[] element, bool compress = false)
    {
        stream.Write(compress ? Compress(element) : element);
        return this;
    }

    /// <summary>The matrix element as one compressed element.</summary>
    public static byte[] Compress(byte[] element)
    {
        using MemoryStream packed = new();
        using (var zlib = new ZLibStream(packed, CompressionLevel.Fastest, leaveOpen: true)) zlib.Write(element);
        return [.. UInt(Compressed), .. UInt((uint)packed.Length), .. packed.ToArray()];
    }

    /// <summary>An array of bytes of class <c>uint8</c> (9), or another class stored as bytes.</summary>
    public static byte[] Bytes(string name, int[] shape, byte[] values, byte arrayClass = 9) => Array(name, arrayClass, shape,
        Element(UInt8, values));

    /// <summary>One number of class <c>double</c>, which MATLAB stores as a byte where it fits.</summary>
    public static byte[] Number(string name, int value) =>
        value < 256 ? Bytes(name, [1, 1], [(byte)value], 6) : Array(name, 6, [1, 1], Element(UInt16, [(byte)value, (byte)(value >> 8)]));

    public static byte[] Text(string name, string text) => Array(name, 4, [1, text.Length],
        Element(Utf16, Encoding.Unicode.GetBytes(text)));

    public static byte[] Cells(string name, int[] shape, params byte[][] cells) => Array(name, 1, shape,
        [.. cells.SelectMany(cell => cell)]);

    /// <summary>An array of structures; values come structure by structure.</summary>
    public static byte[] Structs(string name, int[] shape, string[] fields, params byte[][] values)
    {
        const int length = 32;
        byte[] names = [.. fields.SelectMany(field => Encoding.ASCII.GetBytes(field.PadRight(length, '\0')))];
        return Array(name, 2, shape, [.. Small(Int32, UInt(length)), .. Element(Int8, names), .. values.SelectMany(value => value)]);
    }

    public static byte[] Array(string name, byte arrayClass, int[] shape, byte[] content) => Element(Matrix,
    [
        .. Element(UInt32, [arrayClass, 0, 0, 0, 0, 0, 0, 0]),
        .. Element(Int32, [.. shape.SelectMany(size => UInt((uint)size))]),
        .. name.Length is > 0 and <= 4 ? Small(Int8, Encoding.ASCII.GetBytes(name)) : Element(Int8, Encoding.ASCII.GetBytes(name)),
        .. content,
    ]);

    public static byte[] Element(uint type, byte[] data) => [.. UInt(type), .. UInt((uint)data.Length), .. data,
        .. new byte[(8 - (data.Length % 8)) % 8]];

    /// <summary>An element of up to four bytes, in its own tag.</summary>
    public static byte[] Small(uint type, byte[] data) => [.. UInt(type | ((uint)data.Length << 16)), .. data,
        .. new byte[4 - data.Length]];

    public static byte[] UInt(uint value)
    {
        byte[] bytes = new byte[4];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes, value);
        return bytes;
    }
}
