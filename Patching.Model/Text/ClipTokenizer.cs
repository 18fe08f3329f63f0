using System.Globalization;
using System.Text;
using Microsoft.ML.Tokenizers;

namespace Patching.Model.Text;

/// <summary>
/// CLIP's tokenizer: text to token ids and back, id for id as the original (OpenAI CLIP, simple_tokenizer.py): <see cref="TextCleaning"/>,
/// then <see cref="ClipPieces"/>, then byte-pair encoding of each piece, which Microsoft.ML.Tokenizers does. Works with any vocabulary laid
/// out as CLIP's, of any size. All members may be called from several threads at once.
/// </summary>
public sealed class ClipTokenizer
{
    /// <summary>
    /// Longest run of letters or symbols that is merged: the library's time grows with its square (under a second here).
    /// </summary>
    private const int MaxPieceLength = 1 << 16;

    private readonly BpeTokenizer bytePairs;
    private readonly byte[][] tokenBytes;

    private ClipTokenizer(ClipVocabulary vocabulary)
    {
        StartOfText = vocabulary.StartOfText;
        EndOfText = vocabulary.EndOfText;
        bytePairs = BpeTokenizer.Create(new BpeOptions(vocabulary.Ids)
        {
            Merges = vocabulary.Merges,
            ByteLevel = true,
            EndOfWordSuffix = ClipVocabulary.EndOfWord,
        });
        tokenBytes = BytesOfTokens(vocabulary);
        tokenBytes[StartOfText] = Encoding.UTF8.GetBytes(ClipPieces.StartSpelling);
        tokenBytes[EndOfText] = Encoding.UTF8.GetBytes(ClipPieces.EndSpelling);
    }

    /// <summary>Id of the token that starts every row.</summary>
    public int StartOfText { get; }

    /// <summary>Id of the token that ends every row; the text tower's feature is read where it stands.</summary>
    public int EndOfText { get; }

    /// <summary>Number of tokens: ids are 0..VocabularySize-1, the rows of the token embedding.</summary>
    public int VocabularySize => tokenBytes.Length;

    /// <summary>Reads <c>vocab.json</c> and <c>merges.txt</c> of a model folder.</summary>
    /// <exception cref="InputException">A file is missing, unreadable, damaged, or the two do not fit together.</exception>
    public static ClipTokenizer Load(string directory)
    {
        ArgumentNullException.ThrowIfNull(directory);
        return new ClipTokenizer(ClipVocabulary.Load(directory));
    }

    /// <summary>The ids of a text, cleaned first, without start and end token.</summary>
    /// <exception cref="InputException">The text has a single word of more than 65,536 characters.</exception>
    public int[] Encode(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var ids = new List<int>();
        var pieces = new ClipPieces(TextCleaning.Clean(text));
        while (pieces.MoveNext())
        {
            ReadOnlySpan<char> piece = pieces.Current;
            if (piece.SequenceEqual(ClipPieces.StartSpelling)) ids.Add(StartOfText);
            else if (piece.SequenceEqual(ClipPieces.EndSpelling)) ids.Add(EndOfText);
            else ids.AddRange(Merge(piece));
        }
        return [.. ids];
    }

    /// <summary>
    /// One row for the text tower: start token, ids, end token, then zeros. A text that does not fit is cut before the end token, which
    /// stays the last id (the original cuts the end token too, so that all long texts are read at a meaningless place).
    /// </summary>
    /// <param name="text">The text as written.</param>
    /// <param name="contextLength">Length of the row; at least 2.</param>
    /// <param name="strict">Refuse a text that does not fit.</param>
    /// <exception cref="InputException"><paramref name="strict"/> and the text has more tokens than fit.</exception>
    public int[] Tokenize(string text, int contextLength = 77, bool strict = false)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(contextLength, 2);
        int[] ids = Encode(text);
        if (strict && ids.Length > contextLength - 2) throw TooLong(text, ids.Length, contextLength);
        int kept = Math.Min(ids.Length, contextLength - 2);
        int[] row = new int[contextLength];
        row[0] = StartOfText;
        ids.AsSpan(0, kept).CopyTo(row.AsSpan(1));
        row[kept + 1] = EndOfText;
        return row;
    }

    /// <summary>
    /// The cleaned text of the ids, with a space after each word; special tokens appear as they are written in texts, bytes that are no
    /// UTF-8 as U+FFFD.
    /// </summary>
    /// <exception cref="ArgumentOutOfRangeException">An id is outside 0..VocabularySize-1.</exception>
    public string Decode(ReadOnlySpan<int> ids)
    {
        var bytes = new List<byte>();
        foreach (int id in ids)
        {
            if ((uint)id >= (uint)tokenBytes.Length)
                throw new ArgumentOutOfRangeException(nameof(ids), id, "no token of this vocabulary");
            bytes.AddRange(tokenBytes[id]);
        }
        return Encoding.UTF8.GetString([.. bytes]).Replace(ClipVocabulary.EndOfWord, " ", StringComparison.Ordinal);
    }

    private IReadOnlyList<int> Merge(ReadOnlySpan<char> piece)
    {
        if (piece.Length > MaxPieceLength)
            throw new InputException(string.Create(CultureInfo.InvariantCulture,
                $"text has a word of {piece.Length} characters, at most {MaxPieceLength} are allowed; check that it is text"));
        return bytePairs.EncodeToIds(piece, considerPreTokenization: false, considerNormalization: false);
    }

    private static InputException TooLong(string text, int count, int contextLength)
    {
        string start = string.Concat(text.Take(40).Select(c => char.IsControl(c) || char.IsSurrogate(c) ? ' ' : c));
        return new InputException(string.Create(CultureInfo.InvariantCulture,
            $"text \"{start}...\" has {count} tokens, {contextLength - 2} fit; shorten it or allow it to be cut"));
    }

    private static byte[][] BytesOfTokens(ClipVocabulary vocabulary)
    {
        var values = new Dictionary<char, byte>();
        for (int value = 0; value < 256; value++) values.Add(ClipVocabulary.ByteAlphabet[value], (byte)value);
        byte[][] result = new byte[vocabulary.Ids.Count][];
        foreach ((string token, int id) in vocabulary.Ids) result[id] = [.. token.Select(c => values[c])];
        return result;
    }
}
