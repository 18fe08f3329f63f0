using System.Buffers.Binary;

namespace Patching.Model.Data.Matlab;

/// <summary>A data element.</summary>
/// <param name="Type">Its type.</param>
/// <param name="Data">Its bytes, without padding.</param>
internal readonly record struct MatElement(MatType Type, ReadOnlyMemory<byte> Data);

/// <summary>Walks the data elements that follow each other.</summary>
/// <param name="bytes">The elements.</param>
/// <param name="name">What errors call the file.</param>
internal sealed class MatElements(ReadOnlyMemory<byte> bytes, string name)
{
    private const int TagBytes = 8;

    private int position;

    /// <summary>The next element; null after the last one.</summary>
    /// <exception cref="InputException">It is longer than the bytes that are there.</exception>
    public MatElement? Next()
    {
        int left = bytes.Length - position;
        if (left == 0) return null;
        if (left < TagBytes) throw Damaged("ends within a tag");
        ReadOnlySpan<byte> tag = bytes.Span.Slice(position, TagBytes);
        uint first = BinaryPrimitives.ReadUInt32LittleEndian(tag);
        // A length in the upper half of the first word means that the bytes lie in the tag.
        int small = (int)(first >> 16);
        if (small > 4) throw Damaged("has a damaged tag");
        if (small > 0)
        {
            MatElement inTag = new((MatType)(first & 0xFFFF), bytes.Slice(position + 4, small));
            position += TagBytes;
            return inTag;
        }
        uint length = BinaryPrimitives.ReadUInt32LittleEndian(tag[4..]);
        if (length > left - TagBytes) throw Damaged($"has an element of {length} bytes where {left - TagBytes} are left");
        MatElement element = new((MatType)first, bytes.Slice(position + TagBytes, (int)length));
        // Compressed elements are not padded; the last one may not be.
        long end = (long)position + TagBytes + (element.Type == MatType.Compressed ? length : (length + 7L) / 8 * 8);
        position = (int)Math.Min(end, bytes.Length);
        return element;
    }

    /// <summary>The next element, which has to be there.</summary>
    /// <exception cref="InputException">There is none.</exception>
    public MatElement Need() => Next() ?? throw Damaged("ends within an array");

    private InputException Damaged(string what) => new($"{name}: {what}; the MATLAB file is damaged, download it again");
}
