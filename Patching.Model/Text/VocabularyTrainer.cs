using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Patching.Model.Text;

/// <summary>
/// Learns a CLIP vocabulary from texts: byte-level byte-pair encoding with an end-of-word suffix (Sennrich et al. 2016; Radford et al. 2019, 2021). Starts from the
/// 256 byte symbols and the same with <c>&lt;/w&gt;</c>, then joins the most frequent pair of neighbours inside words again and again. Of pairs that are equally
/// frequent the ordinally first is joined, so the result depends on the texts alone, not on their order.
/// </summary>
public sealed class VocabularyTrainer
{
    /// <summary>Tokens of the smallest vocabulary: the byte symbols, the same at the end of a word, start-of-text and end-of-text.</summary>
    public const int SmallestVocabulary = 256 + 256 + 2;

    private const string StartOfText = "<|startoftext|>";
    private const string EndOfText = "<|endoftext|>";

    private static readonly JsonSerializerOptions VocabularyFormat = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly Dictionary<string, long> wordCounts = new(StringComparer.Ordinal);

    /// <summary>Counts the words of a text, cleaned and cut as the tokenizer does it.</summary>
    public void Add(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        ClipPieces pieces = new(TextCleaning.Clean(text));
        while (pieces.MoveNext())
        {
            if (pieces.Current.SequenceEqual(ClipPieces.StartSpelling) || pieces.Current.SequenceEqual(ClipPieces.EndSpelling)) continue;
            string piece = pieces.Current.ToString();
            wordCounts[piece] = wordCounts.GetValueOrDefault(piece) + 1;
        }
    }

    /// <summary>
    /// Writes <c>vocab.json</c> and <c>merges.txt</c>, which <see cref="ClipTokenizer.Load"/> reads. End-of-text gets the largest id, as in CLIP's own vocabulary.
    /// </summary>
    /// <param name="directory">Where the files go; made if it is not there.</param>
    /// <param name="vocabularySize">Most tokens. There are fewer when the texts have no more pairs to join.</param>
    /// <returns>Tokens of the vocabulary.</returns>
    public int Write(string directory, int vocabularySize)
    {
        List<(string First, string Second)> merges = Learn(vocabularySize);
        List<string> tokens = [.. ByteSymbols(), .. merges.Select(merge => merge.First + merge.Second), StartOfText, EndOfText];
        Directory.CreateDirectory(directory);
        Dictionary<string, int> ids = tokens.Select((token, id) => (token, id)).ToDictionary(entry => entry.token, entry => entry.id, StringComparer.Ordinal);
        WriteWhole(Path.Combine(directory, "vocab.json"), JsonSerializer.Serialize(ids, VocabularyFormat));
        string lines = string.Concat(merges.Select(merge => $"{merge.First} {merge.Second}\n"));
        WriteWhole(Path.Combine(directory, "merges.txt"), $"#version: 0.2\n{lines}");
        return tokens.Count;
    }

    /// <summary>The pairs to join, best first.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The vocabulary has no room for the byte symbols.</exception>
    internal List<(string First, string Second)> Learn(int vocabularySize)
    {
        if (vocabularySize < SmallestVocabulary)
            throw new ArgumentOutOfRangeException(nameof(vocabularySize), vocabularySize, string.Create(CultureInfo.InvariantCulture,
                $"a byte-level vocabulary has at least {SmallestVocabulary} tokens"));
        List<Word> words = [.. wordCounts.OrderBy(entry => entry.Key, StringComparer.Ordinal).Select(entry => new Word(Symbols(entry.Key), entry.Value))];
        PairIndex pairs = new(words);
        List<(string, string)> merges = [];
        HashSet<string> made = new(ByteSymbols(), StringComparer.Ordinal);
        while (merges.Count < vocabularySize - SmallestVocabulary && pairs.Best(made) is { } best)
        {
            merges.Add(best);
            made.Add(best.First + best.Second);
            pairs.Join(best);
        }
        return merges;
    }

    private static IEnumerable<string> ByteSymbols() =>
        ClipVocabulary.ByteAlphabet.Select(symbol => symbol.ToString()).Concat(ClipVocabulary.ByteAlphabet.Select(symbol => symbol + ClipVocabulary.EndOfWord));

    private static List<string> Symbols(string word)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(word);
        List<string> symbols = [.. bytes.Select(value => ClipVocabulary.ByteAlphabet[value].ToString())];
        symbols[^1] += ClipVocabulary.EndOfWord;
        return symbols;
    }

    private static void WriteWhole(string path, string text)
    {
        string temporary = $"{path}.tmp";
        File.WriteAllText(temporary, text);
        File.Move(temporary, path, overwrite: true);
    }

    /// <summary>A word as it is joined so far, and how often it occurs.</summary>
    private sealed record Word(List<string> Symbols, long Count);

    /// <summary>How often each pair of neighbours occurs and in which words, kept up to date while pairs are joined.</summary>
    private sealed class PairIndex
    {
        private readonly List<Word> words;
        private readonly Dictionary<(string First, string Second), long> counts = [];
        private readonly Dictionary<(string First, string Second), HashSet<int>> places = [];

        public PairIndex(List<Word> words)
        {
            this.words = words;
            for (int i = 0; i < words.Count; i++) Count(i, words[i].Count);
        }

        /// <summary>The most frequent pair whose union is not a token yet (two ways to make one token would make merging ambiguous); null if there is none.</summary>
        public (string First, string Second)? Best(HashSet<string> made)
        {
            (string First, string Second)? best = null;
            long most = 0;
            foreach ((var pair, long count) in counts)
            {
                if (count < most || count <= 0 || (count == most && Compare(pair, best!.Value) >= 0)) continue;
                if (made.Contains(pair.First + pair.Second)) continue;
                (best, most) = (pair, count);
            }
            return best;
        }

        /// <summary>Joins a pair wherever it occurs.</summary>
        public void Join((string First, string Second) pair)
        {
            foreach (int index in places[pair].ToArray())
            {
                Word word = words[index];
                Count(index, -word.Count);
                for (int i = 0; i + 1 < word.Symbols.Count; i++)
                {
                    if (word.Symbols[i] != pair.First || word.Symbols[i + 1] != pair.Second) continue;
                    word.Symbols[i] = pair.First + pair.Second;
                    word.Symbols.RemoveAt(i + 1);
                }
                Count(index, word.Count);
            }
            counts.Remove(pair);
            places.Remove(pair);
        }

        private void Count(int index, long change)
        {
            List<string> symbols = words[index].Symbols;
            for (int i = 0; i + 1 < symbols.Count; i++)
            {
                (string, string) pair = (symbols[i], symbols[i + 1]);
                counts[pair] = counts.GetValueOrDefault(pair) + change;
                if (change < 0) continue;
                if (!places.TryGetValue(pair, out HashSet<int>? where)) places[pair] = where = [];
                where.Add(index);
            }
        }

        private static int Compare((string First, string Second) a, (string First, string Second) b)
        {
            int first = string.CompareOrdinal(a.First, b.First);
            return first != 0 ? first : string.CompareOrdinal(a.Second, b.Second);
        }
    }
}
