using System.Globalization;
using System.Text;

namespace Patching.Model.Text;

/// <summary>
/// HTML character references. <see cref="Unescape"/> is what browsers do (Python's <c>html.unescape</c>); <see cref="UnescapeUnambiguous"/>
/// is ftfy's careful version, which wants the semicolon. (.NET's own <c>WebUtility.HtmlDecode</c> knows an eighth of the names and no name
/// without a semicolon.)
/// </summary>
internal static partial class HtmlEntities
{
    /// <summary>Longest name the standard's prefix rule looks at, and longest run that can be a reference.</summary>
    private const int LongestRun = 32;

    /// <summary>Longest name between ampersand and semicolon that ftfy looks at.</summary>
    private const int LongestUnambiguous = 24;

    /// <summary>Names with their semicolon, and without it where the standard allows that.</summary>
    private static readonly Dictionary<string, string> Names = ReadTable();

    /// <summary>
    /// ftfy's additions: all-capitals forms of lower-case names that mean nothing else, for the upper case of the character.
    /// </summary>
    private static readonly Dictionary<string, string> Capitals = MakeCapitals();

    /// <summary>Replaces every reference, also names without semicolon and names followed by other letters (<c>&amp;notit;</c>).</summary>
    public static string Unescape(string text)
    {
        if (!text.Contains('&')) return text;
        var builder = new StringBuilder(text.Length);
        for (int i = 0; i < text.Length;)
        {
            int end = text[i] == '&' ? ReferenceEnd(text, i + 1) : 0;
            if (end > 0) builder.Append(Replacement(text[(i + 1)..end]));
            else builder.Append(text[i]);
            i = end > 0 ? end : i + 1;
        }
        return builder.ToString();
    }

    /// <summary>Replaces <c>&amp;name;</c>, <c>&amp;NAME;</c> and <c>&amp;#number;</c> where that is beyond doubt.</summary>
    public static string UnescapeUnambiguous(string text)
    {
        if (!text.Contains('&')) return text;
        var builder = new StringBuilder(text.Length);
        for (int i = 0; i < text.Length;)
        {
            int end = text[i] == '&' ? UnambiguousEnd(text, i) : 0;
            if (end > 0) builder.Append(UnambiguousReplacement(text[i..end]));
            else builder.Append(text[i]);
            i = end > 0 ? end : i + 1;
        }
        return builder.ToString();
    }

    /// <summary>End of <c>&amp;#?[0-9A-Za-z]{1,24};</c> that starts at <paramref name="start"/>, or 0.</summary>
    private static int UnambiguousEnd(string text, int start)
    {
        int first = start + 1;
        if (first < text.Length && text[first] == '#') first++;
        int end = first;
        while (end < text.Length && end - first <= LongestUnambiguous && char.IsAsciiLetterOrDigit(text[end])) end++;
        return end > first && end - first <= LongestUnambiguous && end < text.Length && text[end] == ';' ? end + 1 : 0;
    }

    private static string UnambiguousReplacement(string reference)
    {
        if (reference[1] == '#')
        {
            string character = Unescape(reference);
            return character.Contains(';') ? reference : character;
        }
        string name = reference[1..];
        return Names.TryGetValue(name, out string? value) || Capitals.TryGetValue(name, out value) ? value : reference;
    }

    /// <summary>
    /// End of the reference whose ampersand stands before <paramref name="start"/>: <c>#[0-9]+;?</c>, <c>#[xX][0-9a-fA-F]+;?</c> or
    /// <c>[^\t\n\f &lt;&amp;#;]{1,32};?</c>; 0 where none of them matches.
    /// </summary>
    private static int ReferenceEnd(string text, int start)
    {
        int first = start, end;
        if (start < text.Length && text[start] == '#')
        {
            bool hex = start + 1 < text.Length && text[start + 1] is 'x' or 'X';
            first = end = start + (hex ? 2 : 1);
            while (end < text.Length && (hex ? char.IsAsciiHexDigit(text[end]) : char.IsAsciiDigit(text[end]))) end++;
        }
        else
        {
            // The limit counts code points: a surrogate pair is one.
            end = start;
            for (int count = 0; count < LongestRun && end < text.Length && "\t\n\f <&#;".IndexOf(text[end]) < 0; count++)
                end += char.IsSurrogatePair(text, end) ? 2 : 1;
        }
        if (end == first) return 0;
        return end < text.Length && text[end] == ';' ? end + 1 : end;
    }

    private static string Replacement(string reference)
    {
        if (reference[0] == '#') return FromNumber(reference.AsSpan(1).TrimEnd(';'));
        if (Names.TryGetValue(reference, out string? value)) return value;
        for (int length = reference.Length - 1; length > 1; length--)
            if (Names.TryGetValue(reference[..length], out value)) return value + reference[length..];
        return "&" + reference;
    }

    /// <summary>
    /// The character of a number, with the standard's substitutions: U+FFFD, Windows-1252 for 80..9F, nothing for invalid ones.
    /// </summary>
    private static string FromNumber(ReadOnlySpan<char> digits)
    {
        bool hex = digits[0] is 'x' or 'X';
        long number = 0;
        foreach (char digit in hex ? digits[1..] : digits)
            number = Math.Min((number * (hex ? 16 : 10)) + (char.IsAsciiDigit(digit) ? digit - '0' : (digit | 0x20) - 'a' + 10), 0x110000);
        return number switch
        {
            0 or (>= 0xD800 and <= 0xDFFF) or > 0x10FFFF => "\uFFFD",
            0x0D => "\r",
            >= 0x80 and <= 0x9F => SingleByteEncoding.Windows1252.Decode((byte)number).ToString(),
            (>= 0x01 and <= 0x08) or 0x0B or (>= 0x0E and <= 0x1F) or 0x7F or (>= 0xFDD0 and <= 0xFDEF) => "",
            _ => (number & 0xFFFE) == 0xFFFE ? "" : char.ConvertFromUtf32((int)number),
        };
    }

    private static Dictionary<string, string> ReadTable()
    {
        var names = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach (string item in Table.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries))
        {
            int equals = item.IndexOf('=', StringComparison.Ordinal);
            string value = string.Concat(item[(equals + 1)..].Split('+').Select(code =>
                char.ConvertFromUtf32(int.Parse(code, NumberStyles.HexNumber, CultureInfo.InvariantCulture))));
            string name = item[..equals].TrimEnd('*');
            names.Add(name + ";", value);
            if (item[equals - 1] == '*') names.Add(name, value);
        }
        return names;
    }

    private static Dictionary<string, string> MakeCapitals()
    {
        var capitals = new Dictionary<string, string>(StringComparer.Ordinal);
        foreach ((string name, string value) in Names)
        {
            string upper = name.ToUpperInvariant();
            if (!name.EndsWith(';') || name != name.ToLowerInvariant() || Unescape("&" + upper) != "&" + upper) continue;
            capitals[upper] = ToUpper(value);
        }
        return capitals;
    }

    /// <summary>Upper case with the expansions that occur among the named characters.</summary>
    private static string ToUpper(string value) => value switch
    {
        "\u00DF" => "SS",
        "\u0131" => "I", // .NET's invariant casing leaves the dotless i alone
        "\u0149" => "\u02BCN",
        "\uFB00" => "FF",
        "\uFB01" => "FI",
        "\uFB02" => "FL",
        "\uFB03" => "FFI",
        "\uFB04" => "FFL",
        _ => string.Concat(value.EnumerateRunes().Select(Rune.ToUpperInvariant)),
    };
}
