using System.Globalization;
using System.Text;

namespace Patching.Model.Text;

/// <summary>
/// What CLIP's tokenizer does to a text before it looks for words: <c>whitespace_clean(basic_clean(text)).lower()</c>, with ftfy 5.8 as the
/// text repair (OpenAI CLIP, simple_tokenizer.py). docs/tokenizer.md lists the steps and where they end.
/// </summary>
public static class TextCleaning
{
    /// <summary>Punctuation that stands inside words and is therefore case-ignorable.</summary>
    private const string InnerPunctuation = "'.:\u00B7\u0387\u055F\u05F4\u2018\u2019\u2024\u2027\uFE13\uFE52\uFE55\uFF07\uFF0E\uFF1A";

    /// <summary>The text as the tokenizer splits it: repaired, unescaped, white space collapsed, lower case.</summary>
    public static string Clean(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return IsPlain(text) ? CleanPlain(text) : ToLower(WhitespaceClean(BasicClean(text)));
    }

    /// <summary>ftfy's repairs (<see cref="TextRepair"/>), then HTML unescaping twice, then white space trimmed at both ends.</summary>
    public static string BasicClean(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        string repaired = TextRepair.Fix(text);
        return Strip(HtmlEntities.Unescape(HtmlEntities.Unescape(repaired)));
    }

    /// <summary>Every run of Unicode white space becomes one space; white space at both ends goes.</summary>
    public static string WhitespaceClean(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var builder = new StringBuilder(text.Length);
        foreach (char c in text)
        {
            if (!char.IsWhiteSpace(c)) builder.Append(c);
            else if (builder.Length == 0 || builder[^1] != ' ') builder.Append(' ');
        }
        return Strip(builder.ToString());
    }

    /// <summary>
    /// Lower case as Python's <c>str.lower</c> gives it: Unicode's simple mapping for each code point, except that capital I with a dot
    /// becomes i and a combining dot, and that a capital sigma at the end of a word becomes a final sigma.
    /// </summary>
    public static string ToLower(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        if (text.AsSpan().IndexOfAny('\u0130', '\u03A3') < 0) return LowerSimple(text);
        Rune[] runes = [.. text.EnumerateRunes()];
        var builder = new StringBuilder(text.Length + 4);
        for (int i = 0; i < runes.Length; i++)
        {
            if (runes[i].Value == 0x0130) builder.Append("i\u0307");
            else if (runes[i].Value == 0x03A3) builder.Append(IsFinalSigma(runes, i) ? '\u03C2' : '\u03C3');
            else builder.Append(Rune.ToLowerInvariant(runes[i]));
        }
        return builder.ToString();
    }

    /// <summary>
    /// Printable ASCII without an ampersand: no repair and no entity can apply, which is the case of almost every prompt.
    /// </summary>
    private static bool IsPlain(string text)
    {
        foreach (char c in text)
            if (c is < ' ' or > '~' or '&') return false;
        return true;
    }

    private static string CleanPlain(string text)
    {
        string trimmed = text.Trim(' ');
        return (trimmed.Contains("  ", StringComparison.Ordinal) ? WhitespaceClean(trimmed) : trimmed).ToLowerInvariant();
    }

    private static string LowerSimple(string text)
    {
        if (Ascii.IsValid(text)) return text.ToLowerInvariant();
        var builder = new StringBuilder(text.Length);
        foreach (Rune rune in text.EnumerateRunes()) builder.Append(Rune.ToLowerInvariant(rune));
        return builder.ToString();
    }

    /// <summary>Python's <c>str.strip</c>: Unicode white space and the four ASCII separators.</summary>
    private static string Strip(string text)
    {
        int start = 0, end = text.Length;
        while (start < end && IsStripped(text[start])) start++;
        while (end > start && IsStripped(text[end - 1])) end--;
        return text[start..end];
    }

    private static bool IsStripped(char c) => char.IsWhiteSpace(c) || c is >= '\u001C' and <= '\u001F';

    /// <summary>Unicode's Final_Sigma condition: a cased letter before and none after, case-ignorable characters skipped.</summary>
    private static bool IsFinalSigma(Rune[] runes, int at)
    {
        int before = at - 1;
        while (before >= 0 && IsCaseIgnorable(runes[before])) before--;
        if (before < 0 || !IsCased(runes[before])) return false;
        int after = at + 1;
        while (after < runes.Length && IsCaseIgnorable(runes[after])) after++;
        return after == runes.Length || !IsCased(runes[after]);
    }

    /// <summary>Unicode's Case_Ignorable: marks, formats, modifiers, and the punctuation that stands inside words.</summary>
    private static bool IsCaseIgnorable(Rune rune) => Rune.GetUnicodeCategory(rune) switch
    {
        UnicodeCategory.NonSpacingMark or UnicodeCategory.EnclosingMark or UnicodeCategory.Format => true,
        UnicodeCategory.ModifierLetter or UnicodeCategory.ModifierSymbol => true,
        _ => rune.IsBmp && InnerPunctuation.Contains((char)rune.Value),
    };

    /// <summary>
    /// Unicode's Cased, for characters that are not case-ignorable: letters with case, ordinal indicators, Roman numerals, circled letters.
    /// </summary>
    private static bool IsCased(Rune rune) => Rune.GetUnicodeCategory(rune) switch
    {
        UnicodeCategory.UppercaseLetter or UnicodeCategory.LowercaseLetter or UnicodeCategory.TitlecaseLetter => true,
        _ => rune.Value is 0xAA or 0xBA or (>= 0x2160 and <= 0x217F) or (>= 0x24B6 and <= 0x24E9)
            or (>= 0x1F130 and <= 0x1F149) or (>= 0x1F150 and <= 0x1F169) or (>= 0x1F170 and <= 0x1F189),
    };
}
