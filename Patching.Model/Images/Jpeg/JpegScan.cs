using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Patching.Model.Images;

/// <summary>
/// The numbers of a JPEG, block by block: differences of mean values and runs of zeros, Huffman-coded (ITU-T T.81, annex F). Anything that
/// is not as the standard has it ends the reading, so that another decoder can say what is to be made of it.
/// </summary>
internal ref struct JpegScan
{
    private const byte EndOfImage = 0xD9;

    // So many bytes are read at once, also behind the end.
    private const int Slack = 2 * sizeof(ulong);

    // Where in a block the coefficients belong, in the order in which they come.
    private static readonly byte[] ZigZag =
    [
        0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
        35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
    ];

    private readonly ref byte _data;
    private readonly int _length;
    private ulong _bits;
    private int _count;
    private int _position;

    private JpegScan(ReadOnlySpan<byte> data)
    {
        _length = data.Length - Slack;
        _data = ref MemoryMarshal.GetReference(data);
    }

    /// <summary>Whether every bit was used but for less than a byte of padding.</summary>
    public readonly bool IsAtEnd => 8L * _position - _count is var used && used <= 8L * _length && used > 8L * (_length - 1);

    /// <summary>
    /// Copies the numbers out of a file: a byte FF of theirs is followed by a zero there, which is left out. False where anything but the
    /// end of the image comes next.
    /// </summary>
    /// <param name="file">The file from the first number on.</param>
    /// <param name="buffer">Room for as many bytes as the file and 16 more; the scan reads from it.</param>
    /// <param name="scan">Begins with the first block.</param>
    public static bool TryStart(ReadOnlySpan<byte> file, Span<byte> buffer, out JpegScan scan)
    {
        int length = 0;
        scan = default;
        while (true)
        {
            int plain = file.IndexOf((byte)0xFF);
            if (plain < 0 || plain + 1 >= file.Length) return false;
            byte next = file[plain + 1];
            int keep = next == 0 ? plain + 1 : plain;
            file[..keep].CopyTo(buffer[length..]);
            length += keep;
            if (next == EndOfImage) break;
            if (next != 0) return false;
            file = file[(plain + 2)..];
        }
        buffer.Slice(length, Slack).Clear();
        scan = new JpegScan(buffer[..(length + Slack)]);
        return true;
    }

    /// <summary>Reads a block. False where it cannot be one.</summary>
    /// <param name="block">64 coefficients times their steps, row by row; must be zero.</param>
    /// <param name="component">Tables and steps.</param>
    /// <param name="mean">The mean value before, in steps; becomes that of this block.</param>
    /// <param name="last">Place of the last coefficient in zigzag order: 0 where the block is its mean value.</param>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    public unsafe bool ReadBlock(int* block, JpegComponent component, ref int mean, out int last)
    {
        last = 0;
        ref int ac = ref MemoryMarshal.GetArrayDataReference(component.Ac!.Lookup);
        ref int steps = ref MemoryMarshal.GetArrayDataReference(component.Steps);
        ref byte zigZag = ref MemoryMarshal.GetArrayDataReference(ZigZag);
        if (!ReadMean(component.Dc!, ref mean)) return false;
        block[0] = mean * steps;
        (ulong bits, int count, int position) = (_bits, _count, _position);
        int k = 1;
        while (k < 64)
        {
            // At least 56 bits are there afterwards: for two entries of the table and then the longest code with its number, which have 31.
            bits |= BinaryPrimitives.ReverseEndianness(Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref _data, position))) >> count;
            position += (63 - count) >> 3;
            count |= 56;
            if (position > _length + sizeof(ulong)) return false;
            int entry = Unsafe.Add(ref ac, (int)(bits >> (64 - HuffmanTable.LookupBits))), advance = entry >> 8 & 255;
            for (int i = 0; i < 2 && advance > 0 && k < 64; i++)
            {
                bits <<= entry;
                count -= entry & 255;
                k += advance;
                if (k > 64) return false;
                block[Unsafe.Add(ref zigZag, k - 1)] = (entry >> 16) * Unsafe.Add(ref steps, k - 1);
                entry = Unsafe.Add(ref ac, (int)(bits >> (64 - HuffmanTable.LookupBits)));
                advance = entry >> 8 & 255;
            }
            if (advance > 0 || k == 64) continue;
            int used = entry & 255, symbol = entry >> 16 & 255;
            if (used == 0 && !FindCode(component.Ac!, bits, out symbol, out used)) return false;
            int size = symbol & 15;
            if (size == 0 && symbol != 0xF0)
            {
                bits <<= used;
                count -= used;
                break;
            }
            int value = size == 0 ? 0 : HuffmanTable.Extend((int)(bits << used >> (64 - size)), size);
            used += size;
            bits <<= used;
            count -= used;
            k += (symbol >> 4) + 1;
            if (k > 64) return false;
            block[Unsafe.Add(ref zigZag, k - 1)] = value * Unsafe.Add(ref steps, k - 1);
        }
        last = k - 1;
        (_bits, _count, _position) = (bits, count, position);
        return true;
    }

    private bool ReadMean(HuffmanTable table, ref int mean)
    {
        _bits |= BinaryPrimitives.ReverseEndianness(Unsafe.ReadUnaligned<ulong>(ref Unsafe.Add(ref _data, _position))) >> _count;
        _position += (63 - _count) >> 3;
        _count |= 56;
        if (_position > _length + sizeof(ulong)) return false;
        int entry = table.Lookup[(int)(_bits >> (64 - HuffmanTable.LookupBits))], used = entry & 255, value = entry >> 16;
        if ((entry >> 8 & 255) == 0)
        {
            int size = value & 255;
            if (used == 0 && !FindCode(table, _bits, out size, out used)) return false;
            // 8-bit pictures need no more than 11 bits.
            if (size > 11) return false;
            value = size == 0 ? 0 : HuffmanTable.Extend((int)(_bits << used >> (64 - size)), size);
            used += size;
        }
        _bits <<= used;
        _count -= used;
        mean += value;
        return mean is > -(1 << 15) and < 1 << 15;
    }

    private static bool FindCode(HuffmanTable table, ulong bits, out int symbol, out int length)
    {
        (symbol, length) = table.Find((int)(bits >> 48));
        return length > 0;
    }
}
