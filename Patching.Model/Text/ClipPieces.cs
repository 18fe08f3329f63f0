using System.Globalization;
using System.Text;

namespace Patching.Model.Text;

/// <summary>
/// Cuts a cleaned text into the pieces that byte-pair encoding works on, as CLIP's pattern does, case ignored:
/// <c>&lt;start_of_text&gt;|&lt;end_of_text&gt;|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+</c>. Written out because .NET's
/// patterns see UTF-16 units, for which a letter beyond the BMP is no letter.
/// </summary>
internal ref struct ClipPieces(ReadOnlySpan<char> text)
{
    /// <summary>How the start-of-text token is written in a text (the vocabulary file spells it otherwise).</summary>
    public const string StartSpelling = "<start_of_text>";

    /// <summary>How the end-of-text token is written in a text.</summary>
    public const string EndSpelling = "<end_of_text>";

    private static readonly string[] Literals = [StartSpelling, EndSpelling, "'s", "'t", "'re", "'ve", "'m", "'ll", "'d"];

    private ReadOnlySpan<char> rest = text;

    private enum Kind
    {
        Space,
        Letter,
        Number,
        Other,
    }

    /// <summary>The piece that <see cref="MoveNext"/> found.</summary>
    public ReadOnlySpan<char> Current { get; private set; }

    /// <summary>Finds the next piece; false at the end of the text.</summary>
    public bool MoveNext()
    {
        Kind kind = Kind.Space;
        int length = 0;
        while (!rest.IsEmpty && (kind = KindAt(rest, out length)) == Kind.Space) rest = rest[length..];
        if (rest.IsEmpty) return false;
        int literal = LiteralLength(rest);
        if (literal > 0) length = literal;
        else if (kind != Kind.Number)
            while (length < rest.Length && KindAt(rest[length..], out int next) == kind) length += next;
        Current = rest[..length];
        rest = rest[length..];
        return true;
    }

    private static int LiteralLength(ReadOnlySpan<char> text)
    {
        if (text[0] is not ('<' or '\'')) return 0;
        foreach (string literal in Literals)
            if (text.Length >= literal.Length && EqualsIgnoringCase(text[..literal.Length], literal)) return literal.Length;
        return 0;
    }

    /// <summary>Texts are lower case already; what remains of case is the long s, which the pattern takes for an s.</summary>
    private static bool EqualsIgnoringCase(ReadOnlySpan<char> text, string literal)
    {
        for (int i = 0; i < literal.Length; i++)
            if (text[i] != literal[i] && !(text[i] == '\u017F' && literal[i] == 's')) return false;
        return true;
    }

    private static Kind KindAt(ReadOnlySpan<char> text, out int length)
    {
        length = 1;
        char c = text[0];
        if (char.IsAscii(c)) return AsciiKind(c);
        _ = Rune.DecodeFromUtf16(text, out Rune rune, out length);
        return Rune.GetUnicodeCategory(rune) switch
        {
            >= UnicodeCategory.UppercaseLetter and <= UnicodeCategory.OtherLetter => Kind.Letter,
            UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber => Kind.Number,
            _ => Rune.IsWhiteSpace(rune) ? Kind.Space : Kind.Other,
        };
    }

    private static Kind AsciiKind(char c)
    {
        if (char.IsAsciiLetter(c)) return Kind.Letter;
        if (char.IsAsciiDigit(c)) return Kind.Number;
        return c is ' ' or (>= '\t' and <= '\r') ? Kind.Space : Kind.Other;
    }
}
