using System.Buffers;
using System.Text;

namespace Patching.Model.Text;

/// <summary>
/// Undoes mojibake: UTF-8 that was read in one of the encodings of <see cref="SingleByteEncoding"/>, once or several times over, and
/// Windows-1252 that was read as Latin-1. A repair is kept only if it makes the text cheaper by <see cref="MojibakeCost"/> (ftfy 5.8,
/// <c>fix_encoding</c>).
/// </summary>
internal static class Mojibake
{
    /// <summary>Stands for a lost byte in text encoded by a sloppy encoding.</summary>
    private const byte Lost = 0x1A;

    /// <summary>The cheapest of the text and all texts that successive decoding steps lead to.</summary>
    public static string Fix(string text)
    {
        if (Ascii.IsValid(text)) return text;
        string best = text;
        int bestCost = MojibakeCost.Of(text), stepCosts = 0;
        while (true)
        {
            (string next, int stepCost) = Step(text);
            stepCosts += stepCost;
            // A step that changes nothing cannot be the cheapest: its cost is what it was.
            if (next == text) return best;
            int cost = MojibakeCost.Of(next) + stepCosts;
            if (cost < bestCost) (best, bestCost) = (next, cost);
            text = next;
        }
    }

    /// <summary>One decoding step and what it adds to the cost of every text after it.</summary>
    private static (string Text, int Cost) Step(string text)
    {
        if (Ascii.IsValid(text)) return (text, 0);
        foreach (SingleByteEncoding encoding in SingleByteEncoding.All)
        {
            if (encoding.Encode(text) is not byte[] bytes) continue;
            int cost = encoding.Cost + RestoreSpaces(bytes);
            if (encoding.IsSloppy && bytes.Contains(Lost)) bytes = ReplaceLost(bytes);
            if (DecodeUtf8(bytes) is string decoded) return (decoded, cost);
        }
        if (FixPunctuation(text) is string punctuated) return (punctuated, 1);
        return Latin1ToWindows1252(text) is string windows && windows != text ? (windows, 1) : (text, 0);
    }

    /// <summary>
    /// Puts back the bytes A0 that a program took for spaces, where that makes a UTF-8 sequence that is likely in text. The cost is two for
    /// every byte A0 the text has then, if anything was put back.
    /// </summary>
    private static int RestoreSpaces(byte[] bytes)
    {
        bool restored = false;
        for (int i = 0; i < bytes.Length;)
        {
            int length = AlteredLength(bytes.AsSpan(i));
            bytes.AsSpan(i, length).Replace((byte)' ', (byte)0xA0);
            restored |= length > 0;
            i += Math.Max(length, 1);
        }
        return restored ? bytes.AsSpan().Count((byte)0xA0) * 2 : 0;
    }

    /// <summary>
    /// Length of a UTF-8 sequence in which exactly one continuation byte is a space, or 0. Of two-byte ones only those that make frequent
    /// letters.
    /// </summary>
    private static int AlteredLength(ReadOnlySpan<byte> bytes)
    {
        int length = bytes[0] switch
        {
            0xC2 or 0xC3 or 0xC5 or 0xCE or 0xD0 => 2,
            >= 0xE0 and <= 0xEF => 3,
            >= 0xF0 and <= 0xF4 => 4,
            _ => 0,
        };
        if (length == 0 || bytes.Length < length) return 0;
        int spaces = 0;
        foreach (byte value in bytes[1..length])
        {
            if (value == ' ') spaces++;
            else if (!IsContinuation(value)) return 0;
        }
        return spaces == 1 ? length : 0;
    }

    /// <summary>Replaces UTF-8 sequences with lost bytes, and lost bytes on their own, by the UTF-8 of U+FFFD.</summary>
    private static byte[] ReplaceLost(byte[] bytes)
    {
        var result = new List<byte>(bytes.Length + 2);
        for (int i = 0; i < bytes.Length;)
        {
            int length = LossyLength(bytes.AsSpan(i));
            if (length > 0) result.AddRange([0xEF, 0xBF, 0xBD]);
            else result.Add(bytes[i]);
            i += Math.Max(length, 1);
        }
        return [.. result];
    }

    private static int LossyLength(ReadOnlySpan<byte> bytes)
    {
        if (IsLossySurrogatePair(bytes)) return 6;
        int length = bytes[0] switch
        {
            Lost => 1,
            >= 0xC2 and <= 0xDF => 2,
            >= 0xE0 and <= 0xEF => 3,
            >= 0xF0 and <= 0xF4 => 4,
            _ => 0,
        };
        if (length == 0 || bytes.Length < length || !bytes[..length].Contains(Lost)) return 0;
        foreach (byte value in bytes[1..length])
            if (!IsContinuationOrLost(value)) return 0;
        return length;
    }

    /// <summary>A surrogate pair written as two three-byte sequences (CESU-8), of which one or both last bytes are lost.</summary>
    private static bool IsLossySurrogatePair(ReadOnlySpan<byte> bytes) => bytes.Length >= 6
        && bytes[0] == 0xED && bytes[1] is >= 0xA0 and <= 0xAF && IsContinuationOrLost(bytes[2])
        && bytes[3] == 0xED && bytes[4] is >= 0xB0 and <= 0xBF && IsContinuationOrLost(bytes[5])
        && (bytes[2] == Lost || bytes[5] == Lost);

    /// <summary>
    /// Strict UTF-8, plus Java's two bytes for U+0000 and surrogate pairs written as two three-byte sequences; null for anything else.
    /// </summary>
    private static string? DecodeUtf8(ReadOnlySpan<byte> bytes)
    {
        var builder = new StringBuilder(bytes.Length);
        while (!bytes.IsEmpty)
        {
            int length;
            if (bytes[0] == 0xC0 && bytes.Length > 1 && IsContinuationOrEnd(bytes, 1) && bytes[1] is 0x80 or (byte)'\n')
            {
                builder.Append('\0');
                length = 2;
            }
            else if (IsSurrogatePair(bytes))
            {
                int high = ((bytes[1] & 0x0F) << 16) + ((bytes[2] & 0x3F) << 10), low = ((bytes[4] & 0x0F) << 6) + (bytes[5] & 0x3F);
                builder.Append(new Rune(0x10000 + high + low));
                length = 6;
            }
            else
            {
                if (Rune.DecodeFromUtf8(bytes, out Rune rune, out length) != OperationStatus.Done) return null;
                builder.Append(rune);
            }
            bytes = bytes[length..];
        }
        return builder.ToString();
    }

    private static bool IsSurrogatePair(ReadOnlySpan<byte> bytes) => bytes.Length >= 6
        && bytes[0] == 0xED && bytes[1] is >= 0xA0 and <= 0xAF && IsContinuation(bytes[2])
        && bytes[3] == 0xED && bytes[4] is >= 0xB0 and <= 0xBF && IsContinuationOrEnd(bytes, 5);

    private static bool IsContinuation(byte value) => (value & 0xC0) == 0x80;

    private static bool IsContinuationOrLost(byte value) => value == Lost || IsContinuation(value);

    /// <summary>
    /// ftfy takes a line break at the very end for the end of the bytes (its patterns end in <c>$</c>), and so swallows it.
    /// </summary>
    private static bool IsContinuationOrEnd(ReadOnlySpan<byte> bytes, int at) =>
        IsContinuation(bytes[at]) || (at == bytes.Length - 1 && bytes[at] == '\n');

    /// <summary>
    /// Repairs general punctuation (U+2000..U+203F, which starts with a circumflex and a euro sign when read as Windows-1252) on its own,
    /// in text that as a whole does not decode; C1 controls become what Windows-1252 has in their place. Null where there is no such
    /// punctuation.
    /// </summary>
    private static string? FixPunctuation(string text)
    {
        SingleByteEncoding encoding = SingleByteEncoding.Windows1252;
        string windows = string.Concat(text.Select(c => c is >= '\u0080' and <= '\u009F' ? encoding.Decode((byte)c) : c));
        var builder = new StringBuilder(text.Length);
        bool found = false;
        for (int i = 0; i < windows.Length; i++)
        {
            bool starts = i + 2 < windows.Length && windows[i] == 'â' && windows[i + 1] == '€';
            int last = starts ? encoding.Encode(windows[i + 2]) : -1;
            if (last is >= 0x80 and <= 0xBF)
            {
                builder.Append((char)(0x2000 + last - 0x80));
                found = true;
                i += 2;
            }
            else
            {
                builder.Append(windows[i]);
            }
        }
        return found ? builder.ToString() : null;
    }

    /// <summary>Latin-1 text whose C1 controls all mean something in (strict) Windows-1252 was meant to be that; otherwise null.</summary>
    private static string? Latin1ToWindows1252(string text)
    {
        foreach (char c in text)
            if (c > '\u00FF' || c is '\u0081' or '\u008D' or '\u008F' or '\u0090' or '\u009D') return null;
        return string.Concat(text.Select(c => c < 0x80 ? c : SingleByteEncoding.Windows1252.Decode((byte)c)));
    }
}
