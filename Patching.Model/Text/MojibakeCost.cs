using System.Globalization;

namespace Patching.Model.Text;

/// <summary>
/// How improbable a text is as something a person wrote: its length, plus two for every odd neighbourhood of character classes and every
/// sequence typical of mojibake, minus one for every symbol that is common on its own (ftfy 5.8, <c>badness.text_cost</c>). Counted on form
/// C, in code points.
/// </summary>
internal static class MojibakeCost
{
    /// <summary>
    /// Letters whose Unicode name starts with LATIN, outside the IPA block; what lies between them in a range is no letter.
    /// </summary>
    private static readonly (int First, int Last)[] LatinLetters =
    [
        (0x41, 0x7A), (0xC0, 0x24F), (0x259, 0x259), (0x1D00, 0x1D25), (0x1D62, 0x1D65), (0x1D6B, 0x1D77), (0x1D79, 0x1D9A),
        (0x1E00, 0x1EFF), (0x2090, 0x209C), (0x2184, 0x2184), (0x2C60, 0x2C7C), (0x2C7E, 0x2C7F), (0xA722, 0xA76F), (0xA771, 0xA787),
        (0xA78B, 0xA7DC),
        (0xA7F5, 0xA7F7), (0xA7FA, 0xA7FF), (0xAB30, 0xAB5A), (0xAB60, 0xAB64), (0xAB66, 0xAB68), (0xFB00, 0xFB06), (0x1DF00, 0x1DF2A),
    ];

    /// <summary>
    /// Ranges of code points that Unicode 12.1 had not assigned and a later version has (with unassigned ones between them): ftfy's classes
    /// are those of 12.1 wherever it runs, so that new scripts still count as odd.
    /// </summary>
    private const string AssignedLater = """
        61D 870-89F 8B5 8BE-8D2 B55 C3C C5D CDD CF3 D04 D81 ECE 170D 1715-171F 180F 1ABF-1ACE 1B4C-1B4F 1B7D-1B7F 1C89-1C8A 1DFA 20C0
        2427-2429 2B97 2C2F 2C5F 2E50-2E5D 2FFC-2FFF 31BB-31BF 31E4-31EF 4DB6-4DBF 9FF0-9FFF A7C0-A7C1 A7C7-A7F6 A82C AB68-AB6B FBC2
        FD40-FD4F FDCF FDFE-FDFF 1019C 10570-105F3 10780-107BA 10D40-10D8F 10E80-10EFF 10F70-10FCB 11070-11075 110C2 11147 111CE-111CF
        1123F-11241 11380-113E2 1145A 11460-11461 116B9 116D0-116E3 11740-11746 11900-11959 11AB0-11ABF 11B00-11BF9 11F00-11FB0
        12F90-12FF2 1342F 13439-143FA 16100-16139 16A70-16AC9 16D40-16D79 16FE4-16FF1 18AF3-1AFFE 1B11F-1B132 1B155 1CC00-1CFC3
        1D1E9-1D1EA 1D2C0-1D2D3 1DF00-1DF2A 1E030-1E08F 1E290-1E2AE 1E4D0-1E7FE 2A6D7-2A6DF 2B735-2B739 2EBF0-2EE5D 30000-323AF
        """;

    private static readonly (int First, int Last)[] LaterRanges =
    [
        .. AssignedLater.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)
            .Select(range => range.Split('-')).Select(ends => (Hex(ends[0]), Hex(ends[^1]))),
    ];

    private const string Common = "…—–‘“’”¡¿°™®‹›«»\u00A0´×ß\uFEFF";
    private const string LeadBytes = "ÂÃÎÏÐÑØÙĂĎĐŃŘŮ";
    private const string AfterLead = "€ƒ‚„†‡ˆ‰‹Œ“•˜œŸ¡¢£¤¥¦§¨ª«¬¯°±²³µ¶·¸¹º¼½¾¿ˇ˘˝";
    private const string AfterLeadInWord = "›»‘”´©™";
    private const string AfterTimes = "ƒ‚„†‡ˆ‰‹Œ“•˜œŸ¡¦§¨ª«¬¯°²³ˇ˘›‘”´©™";
    private const string AfterMacRomanLead = "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñúùûü†¢£§¶ß®©™≠ÆØ¥ªæø≤≥";
    private const string AfterCyrillicLead = "љћ¦°№™ќ“”";

    /// <summary>The cost of a text.</summary>
    public static int Of(string text)
    {
        int length = text.EnumerateRunes().Count();
        int[] codes = [.. CanonicalComposition.Compose(text).EnumerateRunes().Select(rune => rune.Value)];
        int common = codes.Count(code => code <= char.MaxValue && Common.Contains((char)code));
        return length + (2 * OddNeighbours(codes)) + (2 * MojibakeSequences(codes)) - common;
    }

    private static int OddNeighbours(int[] codes)
    {
        char[] classes = Array.ConvertAll(codes, Class);
        int count = 0;
        for (int i = 0; i < classes.Length; i++)
        {
            if (i + 1 < classes.Length && IsOddPair(classes[i], classes[i + 1]))
            {
                count++;
                i++;
            }
            else if (classes[i] is '2' or 'X' or 'P' or '_')
            {
                count++;
            }
            else if (i + 1 < classes.Length && IsSymbol(classes[i]) && IsSymbol(classes[i + 1]) && classes[i] != classes[i + 1])
            {
                count++;
                i++;
            }
        }
        return count;
    }

    /// <summary>A mark on something that takes none, Latin beside other letters, or IPA beside capitals.</summary>
    private static bool IsOddPair(char first, char second) =>
        (second == 'M' && first is not ('C' or 'M'))
        || (first is 'L' or 'l' && second is 'A' or 'a' or 'C')
        || (first is 'A' or 'a' or 'C' && second is 'L' or 'l')
        || (first is 'L' or 'A' && second == 'i')
        || (first == 'i' && second is 'L' or 'A');

    private static bool IsSymbol(char c) => c is 'M' or 'm' or 'N' or '1' or '3';

    private static int MojibakeSequences(int[] codes)
    {
        int count = 0;
        for (int i = 0; i < codes.Length;)
        {
            int length = SequenceLength(codes.AsSpan(i));
            if (length > 0) count++;
            i += Math.Max(length, 1);
        }
        return count;
    }

    /// <summary>Length of the typical mojibake at the start of <paramref name="codes"/>, or 0.</summary>
    private static int SequenceLength(ReadOnlySpan<int> codes)
    {
        char first = Bmp(codes, 0), second = Bmp(codes, 1), third = Bmp(codes, 2);
        bool control = second is >= '\u0080' and <= '\u009F';
        if (LeadBytes.Contains(first))
        {
            if (control || AfterLead.Contains(second)) return 2;
            if (AfterLeadInWord.Contains(second) && IsWord(codes, 2)) return 3;
        }
        if (first == '×' && (control || AfterTimes.Contains(second))) return 2;
        if (first is '¬' or '√' && AfterMacRomanLead.Contains(second)) return 2;
        if (IsWord(codes, 0) && second == '√' && third is '±' or '∂' && IsWord(codes, 3)) return 4;
        return first switch
        {
            '◊' => 1,
            'ð' or 'đ' when second is 'Ÿ' or '\u009F' => 2,
            'â' when second == '€' => 2,
            'в' when second == 'Ђ' && AfterCyrillicLead.Contains(third) => 3,
            _ => 0,
        };
    }

    /// <summary>The code point as a char; a noncharacter that no table holds where there is none or it lies beyond the BMP.</summary>
    private static char Bmp(ReadOnlySpan<int> codes, int at) =>
        at < codes.Length && codes[at] <= char.MaxValue ? (char)codes[at] : '\uFFFF';

    /// <summary>Python's <c>\w</c>: letters, numbers of every kind, underscore.</summary>
    private static bool IsWord(ReadOnlySpan<int> codes, int at)
    {
        if (at >= codes.Length) return false;
        if (codes[at] == '_') return true;
        UnicodeCategory category = CharUnicodeInfo.GetUnicodeCategory(codes[at]);
        return category is >= UnicodeCategory.UppercaseLetter and <= UnicodeCategory.OtherLetter
            or UnicodeCategory.DecimalDigitNumber or UnicodeCategory.LetterNumber or UnicodeCategory.OtherNumber;
    }

    /// <summary>
    /// ftfy's class of a character: L l Latin letter, A a other letter with case, C letter without, i IPA, m modifier letter, M mark, N
    /// number that is no digit, 1 mathematical or currency symbol, 2 modifier symbol, 3 other symbol, X control, P private, _ unassigned,
    /// space, o everything else.
    /// </summary>
    private static char Class(int code)
    {
        if (code is '\t' or '\n' or '\f' or '\r') return ' ';
        if (code is '^' or '~' or '`' or 0xB4 or 0x2DD or 0xFF3E or 0xFF40) return 'o';
        if (code is >= 0x250 and < 0x300 and not 0x259) return 'i';
        UnicodeCategory category = IsAssignedLater(code) ? UnicodeCategory.OtherNotAssigned : CharUnicodeInfo.GetUnicodeCategory(code);
        if (category <= UnicodeCategory.OtherLetter) return LetterClass(code, category);
        if (code is (>= 0xFE00 and <= 0xFE0F) or (>= 0x1F3FB and <= 0x1F3FF)) return '3';
        return category switch
        {
            UnicodeCategory.NonSpacingMark or UnicodeCategory.SpacingCombiningMark or UnicodeCategory.EnclosingMark => 'M',
            UnicodeCategory.OtherNumber => 'N',
            UnicodeCategory.MathSymbol or UnicodeCategory.CurrencySymbol => '1',
            UnicodeCategory.ModifierSymbol => '2',
            UnicodeCategory.OtherSymbol => '3',
            UnicodeCategory.Control => 'X',
            UnicodeCategory.PrivateUse => 'P',
            UnicodeCategory.SpaceSeparator or UnicodeCategory.LineSeparator or UnicodeCategory.ParagraphSeparator => ' ',
            _ when code is >= 0x1F000 and <= 0x1FFFF => '3',
            UnicodeCategory.OtherNotAssigned => '_',
            _ => 'o',
        };
    }

    private static char LetterClass(int code, UnicodeCategory category)
    {
        foreach ((int first, int last) in LatinLetters)
            if (code >= first && code <= last) return category == UnicodeCategory.UppercaseLetter ? 'L' : 'l';
        return category switch
        {
            UnicodeCategory.UppercaseLetter or UnicodeCategory.TitlecaseLetter => 'A',
            UnicodeCategory.LowercaseLetter => 'a',
            UnicodeCategory.ModifierLetter => 'm',
            _ => 'C',
        };
    }

    private static bool IsAssignedLater(int code)
    {
        if (code < LaterRanges[0].First) return false;
        int low = 0, high = LaterRanges.Length - 1;
        while (low < high)
        {
            int middle = (low + high + 1) / 2;
            if (LaterRanges[middle].First <= code) low = middle;
            else high = middle - 1;
        }
        return code <= LaterRanges[low].Last;
    }

    private static int Hex(string text) => int.Parse(text, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
}
