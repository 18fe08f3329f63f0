using System.Globalization;
using System.Text;

namespace Patching.Model.Text;

/// <summary>
/// Unicode normalisation form C (UAX #15): canonical decomposition, ordering of marks, canonical composition. .NET delegates this to a
/// system library, which the program does not ask for (invariant globalization), so that the same text gives the same tokens on every
/// machine.
/// </summary>
internal static partial class CanonicalComposition
{
    private const int HangulS = 0xAC00, HangulL = 0x1100, HangulV = 0x1161, HangulT = 0x11A7;
    private const int HangulLCount = 19, HangulVCount = 21, HangulTCount = 28, HangulSCount = HangulLCount * HangulVCount * HangulTCount;

    private static readonly Dictionary<int, int[]> Decomposed = [];
    private static readonly Dictionary<(int First, int Second), int> Composed = [];
    private static readonly Dictionary<int, byte> Classes = [];

    static CanonicalComposition()
    {
        ReadDecompositions();
        ReadClasses();
    }

    /// <summary>The text in form C.</summary>
    public static string Compose(string text)
    {
        // Nothing below U+0300 decomposes in form C or combines with what stands before it.
        if (text.AsSpan().IndexOfAnyExceptInRange('\0', '\u02FF') < 0) return text;
        var codes = new List<int>(text.Length);
        foreach (Rune rune in text.EnumerateRunes()) Decompose(rune.Value, codes);
        Order(codes);
        Combine(codes);
        var builder = new StringBuilder(text.Length);
        foreach (int code in codes) builder.Append(new Rune(code));
        return builder.ToString();
    }

    private static void Decompose(int code, List<int> into)
    {
        if (code is >= HangulS and < HangulS + HangulSCount)
        {
            int index = code - HangulS;
            into.Add(HangulL + (index / (HangulVCount * HangulTCount)));
            into.Add(HangulV + (index / HangulTCount % HangulVCount));
            if (index % HangulTCount != 0) into.Add(HangulT + (index % HangulTCount));
        }
        else if (Decomposed.TryGetValue(code, out int[]? parts))
        {
            foreach (int part in parts) Decompose(part, into);
        }
        else
        {
            into.Add(code);
        }
    }

    /// <summary>
    /// Sorts every run of marks by combining class, keeping the order of equals (a stable sort, so that long runs stay cheap).
    /// </summary>
    private static void Order(List<int> codes)
    {
        for (int start = 0; start < codes.Count;)
        {
            int end = start;
            while (end < codes.Count && Class(codes[end]) != 0) end++;
            if (end - start > 1)
            {
                int[] sorted = [.. codes[start..end].OrderBy(Class)];
                for (int i = 0; i < sorted.Length; i++) codes[start + i] = sorted[i];
            }
            start = end + 1;
        }
    }

    /// <summary>Combines each starter with the marks after it that are not blocked by a mark of the same or a higher class.</summary>
    private static void Combine(List<int> codes)
    {
        int kept = 0, starter = -1, lastClass = -1;
        foreach (int code in codes.ToArray())
        {
            int current = Class(code);
            if (starter >= 0 && lastClass < current && Pair(codes[starter], code) is int composite)
            {
                codes[starter] = composite;
                continue;
            }
            // Between two starters that touch, nothing blocks: their last class counts as below zero.
            lastClass = current == 0 ? -1 : current;
            if (current == 0) starter = kept;
            codes[kept++] = code;
        }
        codes.RemoveRange(kept, codes.Count - kept);
    }

    private static int? Pair(int first, int second)
    {
        if (first is >= HangulL and < HangulL + HangulLCount && second is >= HangulV and < HangulV + HangulVCount)
            return HangulS + ((((first - HangulL) * HangulVCount) + second - HangulV) * HangulTCount);
        bool openSyllable = first is >= HangulS and < HangulS + HangulSCount && (first - HangulS) % HangulTCount == 0;
        if (openSyllable && second is > HangulT and < HangulT + HangulTCount) return first + second - HangulT;
        return Composed.TryGetValue((first, second), out int composite) ? composite : null;
    }

    private static int Class(int code) => Classes.TryGetValue(code, out byte value) ? value : 0;

    private static void ReadDecompositions()
    {
        int code = 0;
        foreach (string word in Words(Decompositions))
        {
            int colon = word.IndexOf(':', StringComparison.Ordinal);
            if (colon >= 0) code = Hex(word[..colon]);
            int[] parts = [.. word[(colon + 1)..].TrimEnd('!').Split('+').Select(Hex)];
            Decomposed.Add(code, parts);
            if (parts.Length == 2 && !word.EndsWith('!')) Composed.Add((parts[0], parts[1]), code);
            code++;
        }
    }

    private static void ReadClasses()
    {
        foreach (string word in Words(CombiningClasses))
        {
            int colon = word.IndexOf(':', StringComparison.Ordinal);
            int[] range = [.. word[..colon].Split('-').Select(Hex)];
            byte value = byte.Parse(word.AsSpan(colon + 1), NumberStyles.None, CultureInfo.InvariantCulture);
            for (int code = range[0]; code <= range[^1]; code++) Classes.Add(code, value);
        }
    }

    private static string[] Words(string table) => table.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);

    private static int Hex(string text) => int.Parse(text, NumberStyles.HexNumber, CultureInfo.InvariantCulture);
}
