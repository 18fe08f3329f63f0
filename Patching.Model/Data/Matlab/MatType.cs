using System.Buffers.Binary;

namespace Patching.Model.Data.Matlab;

/// <summary>Types of data elements (table 1-1 of "MAT-File Format", The MathWorks).</summary>
internal enum MatType : uint
{
    Int8 = 1,
    UInt8 = 2,
    Int16 = 3,
    UInt16 = 4,
    Int32 = 5,
    UInt32 = 6,
    Single = 7,
    Double = 9,
    Int64 = 12,
    UInt64 = 13,
    Matrix = 14,
    Compressed = 15,
    Utf8 = 16,
    Utf16 = 17,
    Utf32 = 18,
}

/// <summary>Numbers in little-endian order by their type.</summary>
internal static class MatTypes
{
    /// <summary>Bytes of one number; 0 for elements that hold no numbers.</summary>
    public static int Bytes(this MatType type) => type switch
    {
        MatType.Int8 or MatType.UInt8 or MatType.Utf8 => 1,
        MatType.Int16 or MatType.UInt16 or MatType.Utf16 => 2,
        MatType.Int32 or MatType.UInt32 or MatType.Single or MatType.Utf32 => 4,
        MatType.Double or MatType.Int64 or MatType.UInt64 => 8,
        _ => 0,
    };

    /// <summary>Number <paramref name="index"/> of stored ones.</summary>
    public static double Value(this MatType type, ReadOnlySpan<byte> stored, int index)
    {
        ReadOnlySpan<byte> at = stored[(index * type.Bytes())..];
        return type switch
        {
            MatType.Int8 => (sbyte)at[0],
            MatType.UInt8 or MatType.Utf8 => at[0],
            MatType.Int16 => BinaryPrimitives.ReadInt16LittleEndian(at),
            MatType.UInt16 or MatType.Utf16 => BinaryPrimitives.ReadUInt16LittleEndian(at),
            MatType.Int32 => BinaryPrimitives.ReadInt32LittleEndian(at),
            MatType.UInt32 or MatType.Utf32 => BinaryPrimitives.ReadUInt32LittleEndian(at),
            MatType.Single => BinaryPrimitives.ReadSingleLittleEndian(at),
            MatType.Double => BinaryPrimitives.ReadDoubleLittleEndian(at),
            MatType.Int64 => BinaryPrimitives.ReadInt64LittleEndian(at),
            _ => BinaryPrimitives.ReadUInt64LittleEndian(at),
        };
    }
}
