using System.Text;

namespace Patching.Model.Text;

/// <summary>
/// The repairs of <c>ftfy.fix_text</c> 5.8 with its default options, in its order: terminal escapes, mojibake (<see cref="Mojibake"/>),
/// HTML entities, Latin ligatures, character width, curly quotes, line breaks, surrogates, control characters, NFC; each line by itself and
/// again until nothing changes.
/// </summary>
internal static class TextRepair
{
    /// <summary>Lines longer than this many characters are not searched for mojibake (ftfy's <c>max_decode_length</c>).</summary>
    private const int MaxDecodeLength = 1_000_000;

    private static readonly Dictionary<char, string> Ligatures = new()
    {
        ['\u0132'] = "IJ",
        ['\u0133'] = "ij",
        ['\u0149'] = "\u02BCn",
        ['\u01F1'] = "DZ",
        ['\u01F2'] = "Dz",
        ['\u01F3'] = "dz",
        ['\u01C4'] = "D\u017D",
        ['\u01C5'] = "D\u017E",
        ['\u01C6'] = "d\u017E",
        ['\u01C7'] = "LJ",
        ['\u01C8'] = "Lj",
        ['\u01C9'] = "lj",
        ['\u01CA'] = "NJ",
        ['\u01CB'] = "Nj",
        ['\u01CC'] = "nj",
        ['\uFB00'] = "ff",
        ['\uFB01'] = "fi",
        ['\uFB02'] = "fl",
        ['\uFB03'] = "ffi",
        ['\uFB04'] = "ffl",
        ['\uFB05'] = "\u017Ft",
        ['\uFB06'] = "st",
    };

    /// <summary>Standard forms of U+FF5F..U+FFEE, in order; a space where a code point has none.</summary>
    private const string HalfWidth =
        "\u2985\u2986。「」、・ヲァィゥェォャュョッーアイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン\u3099\u309A"
        + "\u1160\u1100\u1101\u11AA\u1102\u11AC\u11AD\u1103\u1104\u1105\u11B0\u11B1\u11B2\u11B3\u11B4\u11B5\u111A\u1106\u1107\u1108"
        + "\u1121\u1109\u110A\u110B\u110C\u110D\u110E\u110F\u1110\u1111\u1112 "
        + "  \u1161\u1162\u1163\u1164\u1165\u1166  \u1167\u1168\u1169\u116A\u116B\u116C"
        + "  \u116D\u116E\u116F\u1170\u1171\u1172  \u1173\u1174\u1175   "
        + "\u00A2\u00A3\u00AC \u00A6\u00A5\u20A9 \u2502\u2190\u2191\u2192\u2193\u25A0\u25CB";

    /// <summary>
    /// Repairs a text line by line. Once a line holds both angle brackets the text may be HTML: its entities are left alone from there on.
    /// </summary>
    public static string Fix(string text)
    {
        text = ReplaceLoneSurrogates(text);
        var builder = new StringBuilder(text.Length);
        bool entities = true;
        for (int start = 0; start < text.Length;)
        {
            int end = text.IndexOf('\n', start) + 1;
            if (end == 0) end = text.Length;
            string line = text[start..end];
            if (line.Contains('<') && line.Contains('>')) entities = false;
            builder.Append(FixLine(line, entities));
            start = end;
        }
        return builder.ToString();
    }

    private static string FixLine(string text, bool entities)
    {
        bool decode = text.Length <= MaxDecodeLength || text.EnumerateRunes().Count() <= MaxDecodeLength;
        while (true)
        {
            string before = text;
            text = RemoveTerminalEscapes(text);
            if (decode) text = Mojibake.Fix(text);
            if (entities) text = HtmlEntities.UnescapeUnambiguous(text);
            text = FixCharacters(text);
            text = FixLineBreaks(text);
            text = CanonicalComposition.Compose(ReplaceLoneSurrogates(RemoveControls(text)));
            if (text == before) return text;
        }
    }

    /// <summary>Removes <c>ESC [ digits and semicolons LETTER</c>.</summary>
    private static string RemoveTerminalEscapes(string text)
    {
        if (!text.Contains('\u001B')) return text;
        var builder = new StringBuilder(text.Length);
        for (int i = 0; i < text.Length;)
        {
            int length = TerminalEscapeLength(text.AsSpan(i));
            if (length == 0) builder.Append(text[i]);
            i += Math.Max(length, 1);
        }
        return builder.ToString();
    }

    private static int TerminalEscapeLength(ReadOnlySpan<char> text)
    {
        if (!text.StartsWith("\u001B[")) return 0;
        int end = 2;
        // Python's \d: a decimal digit of any script.
        while (end < text.Length && (char.IsDigit(text[end]) || text[end] == ';')) end++;
        return end < text.Length && char.IsAsciiLetter(text[end]) ? end + 1 : 0;
    }

    /// <summary>
    /// Ligatures, then width, then quotes: one pass is enough, because what one yields the next leaves alone (except the letter n's
    /// apostrophe).
    /// </summary>
    private static string FixCharacters(string text)
    {
        var builder = new StringBuilder(text.Length);
        foreach (char c in text)
        {
            if (c < '\u0132') builder.Append(c);
            else if (Ligatures.TryGetValue(c, out string? letters)) builder.Append(letters.Replace('\u02BC', '\''));
            else if (c == '\uFFE3') builder.Append(" \u0304");
            else builder.Append(Straighten(StandardWidth(c)));
        }
        return builder.ToString();
    }

    private static char StandardWidth(char c)
    {
        if (c == '\u3000') return ' ';
        if (c is >= '\uFF01' and <= '\uFF5E') return (char)(c - 0xFEE0);
        if (c is < '\uFF5F' or > '\uFFEE') return c;
        char standard = HalfWidth[c - '\uFF5F'];
        return standard == ' ' ? c : standard;
    }

    private static char Straighten(char c) => c switch
    {
        '\u02BC' or (>= '\u2018' and <= '\u201B') => '\'',
        >= '\u201C' and <= '\u201F' => '"',
        _ => c,
    };

    private static string FixLineBreaks(string text) => text.AsSpan().IndexOfAny("\r\u2028\u2029\u0085") < 0
        ? text
        : text.Replace("\r\n", "\n", StringComparison.Ordinal)
            .Replace('\r', '\n').Replace('\u2028', '\n').Replace('\u2029', '\n').Replace('\u0085', '\n');

    /// <summary>
    /// Python texts hold code points, .NET texts UTF-16: a pair already is its code point here, so only lone surrogates are left to replace
    /// by U+FFFD.
    /// </summary>
    private static string ReplaceLoneSurrogates(string text)
    {
        if (text.AsSpan().IndexOfAnyInRange('\uD800', '\uDFFF') < 0) return text;
        var builder = new StringBuilder(text.Length);
        foreach (Rune rune in text.EnumerateRunes()) builder.Append(rune);
        return builder.ToString();
    }

    private static string RemoveControls(string text)
    {
        var builder = new StringBuilder(text.Length);
        foreach (Rune rune in text.EnumerateRunes())
            if (!IsRemoved(rune.Value)) builder.Append(rune);
        return builder.Length == text.Length ? text : builder.ToString();
    }

    /// <summary>
    /// Characters unsuitable for text: ASCII controls that are no white space, and Unicode's deprecated, annotation, musical and tag
    /// controls.
    /// </summary>
    private static bool IsRemoved(int code) => code is
        (>= 0 and <= 0x08) or 0x0B or (>= 0x0E and <= 0x1F) or 0x7F or (>= 0x206A and <= 0x206F)
        or 0xFEFF or (>= 0xFFF9 and <= 0xFFFC) or (>= 0x1D173 and <= 0x1D17A) or (>= 0xE0000 and <= 0xE007F);
}
