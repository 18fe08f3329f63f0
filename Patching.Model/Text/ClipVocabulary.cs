using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Patching.Model.Text;

/// <summary>
/// The two files of a CLIP tokenizer, read and checked: <c>vocab.json</c> (token to id) and <c>merges.txt</c> (one merge per line, best
/// first). Of any size; the special tokens are found by name. Everything that would make byte-pair encoding fail or depend on the
/// implementation later is refused here.
/// </summary>
internal sealed class ClipVocabulary
{
    /// <summary>Marks the symbol that ends a word.</summary>
    public const string EndOfWord = "</w>";

    /// <summary>Larger files are refused unread; CLIP's own have 0.9 and 0.5 MB.</summary>
    private const long MaxFileLength = 64 << 20;

    private static readonly string[] StartNames = ["<|startoftext|>", ClipPieces.StartSpelling];
    private static readonly string[] EndNames = ["<|endoftext|>", ClipPieces.EndSpelling];

    private ClipVocabulary(Dictionary<string, int> ids, List<string> merges, int startOfText, int endOfText)
    {
        Ids = ids;
        Merges = merges;
        StartOfText = startOfText;
        EndOfText = endOfText;
    }

    /// <summary>
    /// The printable character for each byte: itself where it is printable Latin-1, else the next of U+0100, U+0101, ... (the byte alphabet
    /// of GPT-2).
    /// </summary>
    public static char[] ByteAlphabet { get; } = MakeByteAlphabet();

    /// <summary>Token to id; the ids are 0..Count-1.</summary>
    public Dictionary<string, int> Ids { get; }

    /// <summary>Pairs "first second", best first.</summary>
    public List<string> Merges { get; }

    /// <summary>Id of the start-of-text token.</summary>
    public int StartOfText { get; }

    /// <summary>Id of the end-of-text token.</summary>
    public int EndOfText { get; }

    /// <summary>Reads both files of a model folder.</summary>
    /// <exception cref="InputException">A file is missing, unreadable, damaged, or the two do not fit together.</exception>
    public static ClipVocabulary Load(string directory)
    {
        string vocabularyPath = Path.Combine(directory, "vocab.json"), mergesPath = Path.Combine(directory, "merges.txt");
        byte[] vocabulary = Read(vocabularyPath), merges = Read(mergesPath);
        Dictionary<string, int> ids = ParseIds(vocabularyPath, vocabulary);
        int start = FindSpecial(vocabularyPath, ids, StartNames), end = FindSpecial(vocabularyPath, ids, EndNames);
        List<string> pairs = ParseMerges(mergesPath, merges);
        CheckMerges(vocabularyPath, mergesPath, ids, pairs);
        return new ClipVocabulary(ids, pairs, start, end);
    }

    private static byte[] Read(string path)
    {
        try
        {
            using var stream = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.Read);
            long length = stream.Length;
            if (length > MaxFileLength)
                throw new InputException(string.Create(CultureInfo.InvariantCulture,
                    $"{path}: {length} bytes is too much for a tokenizer file (at most {MaxFileLength}); give the folder of a CLIP model"));
            byte[] bytes = new byte[length];
            stream.ReadExactly(bytes);
            return bytes;
        }
        catch (Exception error) when (error is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new InputException($"{path}: not found; a CLIP model folder needs vocab.json and merges.txt beside its weights", error);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException or NotSupportedException)
        {
            string reason = error.Message.ReplaceLineEndings(" ");
            throw new InputException($"{path}: cannot be read ({reason}); check that it is a readable file", error);
        }
    }

    private static Dictionary<string, int> ParseIds(string path, byte[] bytes)
    {
        var ids = new Dictionary<string, int>(StringComparer.Ordinal);
        try
        {
            using JsonDocument document = JsonDocument.Parse(bytes);
            if (document.RootElement.ValueKind != JsonValueKind.Object) throw Bad(path, "is not a JSON object of tokens and ids");
            foreach (JsonProperty entry in document.RootElement.EnumerateObject())
            {
                if (entry.Value.ValueKind != JsonValueKind.Number || !entry.Value.TryGetInt32(out int id))
                    throw Bad(path, $"token {Show(entry.Name)} has no whole number as id");
                if (entry.Name.Length == 0 || entry.Name.AsSpan().IndexOfAnyExcept(ByteAlphabet) >= 0)
                    throw Bad(path, $"token {Show(entry.Name)} is not written in the byte alphabet");
                if (!ids.TryAdd(entry.Name, id)) throw Bad(path, $"token {Show(entry.Name)} is there twice");
            }
        }
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            // InvalidOperationException: a string that is no valid UTF-16 (an escaped lone surrogate).
            string reason = error.Message.ReplaceLineEndings(" ");
            throw new InputException($"{path}: is not valid JSON ({reason}); copy the file again from the model's source", error);
        }
        CheckIds(path, ids);
        return ids;
    }

    /// <summary>The ids must be the rows of the token embedding: 0..n-1, each once.</summary>
    private static void CheckIds(string path, Dictionary<string, int> ids)
    {
        string?[] owners = new string?[ids.Count];
        foreach ((string token, int id) in ids)
        {
            if (id < 0 || id >= owners.Length)
                throw Bad(path, string.Create(CultureInfo.InvariantCulture, $"id {id} of {Show(token)} is outside 0..{owners.Length - 1}"));
            if (owners[id] is string other)
                throw Bad(path, string.Create(CultureInfo.InvariantCulture, $"{Show(other)} and {Show(token)} share the id {id}"));
            owners[id] = token;
        }
        foreach (char symbol in ByteAlphabet)
            foreach (string token in (string[])[symbol.ToString(), symbol + EndOfWord])
                if (!ids.ContainsKey(token)) throw Bad(path, $"the byte symbol {Show(token)} is missing");
    }

    private static int FindSpecial(string path, Dictionary<string, int> ids, string[] names)
    {
        foreach (string name in names)
            if (ids.TryGetValue(name, out int id)) return id;
        throw Bad(path, $"the special token {names[0]} is missing");
    }

    private static List<string> ParseMerges(string path, byte[] bytes)
    {
        string text;
        try
        {
            text = new UTF8Encoding(false, throwOnInvalidBytes: true).GetString(bytes);
        }
        catch (DecoderFallbackException error)
        {
            throw new InputException($"{path}: is not UTF-8 text; copy the file again from the model's source", error);
        }
        var merges = new List<string>();
        int number = 0;
        foreach (ReadOnlySpan<char> raw in text.AsSpan().EnumerateLines())
        {
            number++;
            ReadOnlySpan<char> line = raw.Trim(" \t");
            if (line.IsEmpty || (number == 1 && line.StartsWith("#version"))) continue;
            int space = line.IndexOf(' ');
            if (space < 0 || line[(space + 1)..].Contains(' '))
                throw Bad(path, string.Create(CultureInfo.InvariantCulture, $"line {number} is not a pair of symbols"));
            merges.Add(line.ToString());
        }
        return merges;
    }

    /// <summary>
    /// Every symbol must be a byte symbol or made by an earlier merge, and be made once. Then CLIP's way of merging (all places of the best
    /// pair at once) and the library's (one place after the other, by rank and position) give the same tokens: no merge can enable one that
    /// ranks before it.
    /// </summary>
    private static void CheckMerges(string vocabularyPath, string mergesPath, Dictionary<string, int> ids, List<string> merges)
    {
        var known = new HashSet<string>(StringComparer.Ordinal);
        foreach (char symbol in ByteAlphabet)
        {
            known.Add(symbol.ToString());
            known.Add(symbol + EndOfWord);
        }
        for (int i = 0; i < merges.Count; i++)
        {
            string[] pair = merges[i].Split(' ');
            string rank = (i + 1).ToString(CultureInfo.InvariantCulture), made = pair[0] + pair[1];
            foreach (string symbol in pair)
                if (!known.Contains(symbol))
                    throw Bad(mergesPath, $"merge {rank} uses {Show(symbol)}, which no byte and no earlier merge gives");
            if (!ids.ContainsKey(made)) throw Bad(mergesPath, $"merge {rank} makes {Show(made)}, which {vocabularyPath} does not have");
            if (!known.Add(made)) throw Bad(mergesPath, $"merge {rank} makes {Show(made)} a second time");
        }
    }

    private static InputException Bad(string path, string what) => new($"{path}: {what}; copy the file again from the model's source");

    /// <summary>A token for a one-line message: quoted, cut, without control characters.</summary>
    private static string Show(string token)
    {
        string cut = token.Length > 40 ? token[..40] + "..." : token;
        return "\"" + string.Concat(cut.Select(c => char.IsControl(c) || char.IsSurrogate(c) ? '\uFFFD' : c)) + "\"";
    }

    private static char[] MakeByteAlphabet()
    {
        char[] alphabet = new char[256];
        int next = 256;
        for (int value = 0; value < alphabet.Length; value++)
        {
            bool printable = value is (>= '!' and <= '~') or (>= 0xA1 and <= 0xAC) or (>= 0xAE and <= 0xFF);
            alphabet[value] = (char)(printable ? value : next++);
        }
        return alphabet;
    }
}
