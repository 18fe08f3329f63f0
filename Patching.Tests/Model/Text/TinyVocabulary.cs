using System.Text;
using System.Text.Json;

namespace Patching.Tests.Model.Text;

/// <summary>
/// A model folder with a vocabulary of a few hundred entries, laid out as CLIP's: 256 byte symbols, the same with <c>&lt;/w&gt;</c>, the
/// merges' products, start and end token. Tests change the parts before they write it.
/// </summary>
internal sealed class TinyVocabulary : IDisposable
{
    public const string Start = "<|startoftext|>";
    public const string End = "<|endoftext|>";

    public TinyVocabulary()
    {
        Folder = Directory.CreateTempSubdirectory("patching-text-").FullName;
        char[] symbols = MakeSymbols();
        Tokens = [.. symbols.Select(symbol => symbol.ToString()), .. symbols.Select(symbol => symbol + "</w>")];
        Tokens.AddRange(Merges.Select(merge => merge.Replace(" ", "", StringComparison.Ordinal)));
        Tokens.AddRange([Start, End]);
    }

    public string Folder { get; }

    /// <summary>Tokens by id.</summary>
    public List<string> Tokens { get; }

    /// <summary>Merges, best first: enough for "dog", "do", "photo" and the two bytes of an accented e.</summary>
    public List<string> Merges { get; } = ["d o", "do g</w>", "d o</w>", "p h", "ph o", "t o</w>", "pho to</w>", "Ã ©</w>", "' s</w>"];

    public string VocabularyPath => Path.Combine(Folder, "vocab.json");

    public string MergesPath => Path.Combine(Folder, "merges.txt");

    public int Id(string token) => Tokens.IndexOf(token);

    public TinyVocabulary Write()
    {
        WriteVocabulary(JsonSerializer.Serialize(Enumerable.Range(0, Tokens.Count).ToDictionary(id => Tokens[id], id => id)));
        File.WriteAllText(MergesPath, "#version: 0.2\n" + string.Join('\n', Merges) + "\n");
        return this;
    }

    public void WriteVocabulary(string json) => File.WriteAllText(VocabularyPath, json, new UTF8Encoding(false));

    public void Dispose()
    {
        if (Directory.Exists(Folder)) Directory.Delete(Folder, recursive: true);
    }

    /// <summary>In the order of the original's vocabulary: printable bytes first, the others after them.</summary>
    private static char[] MakeSymbols()
    {
        int[] printable = [.. Enumerable.Range('!', 94), .. Enumerable.Range(0xA1, 12), .. Enumerable.Range(0xAE, 82)];
        return [.. printable.Concat(Enumerable.Range(256, 256 - printable.Length)).Select(code => (char)code)];
    }
}
