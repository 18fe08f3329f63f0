namespace Patching.Model.Images;

/// <summary>
/// A code of JPEG (ITU-T T.81, annexes C and F) as a table over the next <see cref="LookupBits"/> bits. Where the number that follows a
/// code fits as well, which is most of the time, one look gives both: how many coefficients are zero, the one after them, and how many bits
/// that took.
/// </summary>
internal sealed class HuffmanTable
{
    /// <summary>Bits that are looked at.</summary>
    public const int LookupBits = 10;

    private const int LongestCode = 16;
    private const int ZeroRun = 0xF0;

    private readonly int[] _lastCode = new int[LongestCode + 1];
    private readonly int[] _offset = new int[LongestCode + 1];
    private readonly byte[] _symbols;

    private HuffmanTable(byte[] symbols) => _symbols = symbols;

    /// <summary>
    /// By the next bits. Bits 0 to 7: how many bits belong to the entry, 0 where the code is longer. Bits 8 to 15: how many coefficients
    /// it is about, 0 where it is only a code, whose symbol is in bits 16 to 23. Else bits 16 to 31: the last of these coefficients; the others
    /// are zero.
    /// </summary>
    public int[] Lookup { get; } = new int[1 << LookupBits];

    /// <summary>Makes a table from the number of codes of each length and their symbols; null where these are no code.</summary>
    /// <param name="counts">16 numbers.</param>
    /// <param name="symbols">As many as the sum of the numbers.</param>
    /// <param name="isDc">Whether symbols are sizes of differences; else runs and sizes.</param>
    public static HuffmanTable? Make(ReadOnlySpan<byte> counts, ReadOnlySpan<byte> symbols, bool isDc)
    {
        var table = new HuffmanTable(symbols.ToArray());
        int code = 0, index = 0;
        for (int length = 1; length <= LongestCode; length++, code <<= 1)
        {
            table._offset[length] = index - code;
            for (int i = 0; i < counts[length - 1]; i++, index++, code++)
            {
                if (code >= (1 << length) - 1) return null;
                if (isDc && symbols[index] > 15) return null;
                if (length <= LookupBits) table.Fill(code, length, symbols[index], isDc);
            }
            table._lastCode[length] = counts[length - 1] > 0 ? code - 1 : -1;
        }
        return table;
    }

    /// <summary>The symbol and length of a code that is too long for the table; length 0 where there is none.</summary>
    /// <param name="next">The next 16 bits.</param>
    public (byte Symbol, int Length) Find(int next)
    {
        for (int length = LookupBits + 1; length <= LongestCode; length++)
        {
            int code = next >> (LongestCode - length);
            if (code <= _lastCode[length]) return (_symbols[code + _offset[length]], length);
        }
        return (0, 0);
    }

    /// <summary>The number that some bits after a code stand for: with a leading one themselves, else themselves less 2^size - 1.</summary>
    public static int Extend(int bits, int size) => bits < 1 << (size - 1) ? bits - (1 << size) + 1 : bits;

    private void Fill(int code, int length, byte symbol, bool isDc)
    {
        int size = isDc ? symbol : symbol & 15, run = isDc ? 0 : symbol >> 4, rest = LookupBits - length;
        for (int bits = 0; bits < 1 << rest; bits++)
        {
            int entry = length | symbol << 16;
            if (size > 0 && size <= rest) entry = (length + size) | (run + 1) << 8 | Extend(bits >> (rest - size), size) << 16;
            else if (size == 0 && (isDc || symbol == ZeroRun)) entry = length | (run + 1) << 8;
            Lookup[code << rest | bits] = entry;
        }
    }
}
