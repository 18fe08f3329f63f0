using System.Text;
using System.Text.Json;
using Microsoft.VisualBasic.FileIO;
using Patching.Model.Data.Files;
using Patching.Model.Images;

namespace Patching.Model.Data;

/// <summary>
/// Images with captions, for contrastive training: a file of lines that name an image and describe it. <c>.jsonl</c>: <c>{"image": "a.png", "caption": "a red square"}</c>;
/// <c>.csv</c> and <c>.tsv</c>: columns <c>image</c> (or <c>path</c>, <c>filepath</c>) and <c>caption</c> (or <c>title</c>, <c>text</c>) named in the first line, quoted
/// as RFC 4180 has it. Paths are relative to the file. The distinct captions are the class names, so that a label is a caption's number.
/// </summary>
public sealed class CaptionDataset : ImageDataset
{
    private const long MaxFileLength = 4L << 30;

    private static readonly string[] ImageColumns = ["image", "path", "filepath"];
    private static readonly string[] CaptionColumns = ["caption", "title", "text"];

    private readonly string[] files;
    private readonly int[] labels;

    private CaptionDataset(string name, IReadOnlyList<string> captions, string[] files, int[] labels)
        : base(name, captions)
    {
        this.files = files;
        this.labels = labels;
    }

    /// <inheritdoc/>
    public override int Count => files.Length;

    /// <inheritdoc/>
    public override int Label(int index) => labels[index];

    /// <inheritdoc/>
    public override RgbImage Load(int index) => ImageDecoder.DecodeFile(files[index]);

    /// <inheritdoc/>
    public override RgbImage LoadReduced(int index, int enough) => ImageDecoder.DecodeFileReduced(files[index], enough);

    /// <inheritdoc/>
    public override string SourceFile(int index) => files[index];

    /// <inheritdoc/>
    public override StoredImage Stored(int index) => new(files[index], FolderTree.ReadFile(files[index]));

    /// <inheritdoc/>
    public override string StoredPath(int index) => files[index];

    /// <inheritdoc/>
    public override string Describe(int index) => files[index];

    /// <summary>Reads the list; images are looked at when they are loaded.</summary>
    /// <exception cref="InputException">The file is missing, of no known kind, damaged or empty; the message names the line.</exception>
    public static CaptionDataset Open(string path)
    {
        Func<string, IEnumerable<(int Line, string Image, string Caption)>> read = Path.GetExtension(path).ToLowerInvariant() switch
        {
            ".jsonl" => ReadJsonLines,
            ".csv" => file => ReadTable(file, ','),
            ".tsv" => file => ReadTable(file, '\t'),
            _ => throw new InputException($"{path}: captions are read from .jsonl, .csv and .tsv files"),
        };
        RequireReadable(path);
        string folder = Path.GetDirectoryName(Path.GetFullPath(path))!;
        List<string> files = [], captions = [];
        List<int> labels = [];
        Dictionary<string, int> known = new(StringComparer.Ordinal);
        foreach ((int line, string image, string caption) in read(path))
        {
            if (image.Length == 0) throw new InputException($"{path}: line {line} names no image");
            if (string.IsNullOrWhiteSpace(caption)) throw new InputException($"{path}: line {line} has no caption for {image}");
            if (!known.TryGetValue(caption, out int label))
            {
                known[caption] = label = captions.Count;
                captions.Add(caption);
            }
            files.Add(Path.Combine(folder, image));
            labels.Add(label);
        }
        if (files.Count == 0) throw new InputException($"{path}: holds no captions");
        return new CaptionDataset($"captions:{path}", captions, [.. files], [.. labels]);
    }

    private static void RequireReadable(string path)
    {
        try
        {
            using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read);
            if (stream.Length > MaxFileLength) throw new InputException($"{path}: {stream.Length} bytes is too much for a list of captions");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{path}: cannot be read ({error.Message.ReplaceLineEndings(" ")})", error);
        }
    }

    private static IEnumerable<(int Line, string Image, string Caption)> ReadJsonLines(string path)
    {
        int number = 0;
        foreach (string line in File.ReadLines(path, Encoding.UTF8))
        {
            number++;
            if (string.IsNullOrWhiteSpace(line)) continue;
            (string image, string caption) = ParseJson(path, number, line);
            yield return (number, image, caption);
        }
    }

    private static (string Image, string Caption) ParseJson(string path, int number, string line)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(line);
            string? Member(string[] names) => names.Select(name =>
                document.RootElement.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null)
                .FirstOrDefault(value => value is not null);
            if (document.RootElement.ValueKind == JsonValueKind.Object && Member(ImageColumns) is { } image && Member(CaptionColumns) is { } caption)
                return (image, caption);
        }
        catch (JsonException error)
        {
            throw new InputException($"{path}: line {number} is not valid JSON ({error.Message.ReplaceLineEndings(" ")})", error);
        }
        throw new InputException($"{path}: line {number} needs the texts \"image\" and \"caption\"");
    }

    private static IEnumerable<(int Line, string Image, string Caption)> ReadTable(string path, char separator)
    {
        using TextFieldParser table = new(path, Encoding.UTF8) { Delimiters = [separator.ToString()], HasFieldsEnclosedInQuotes = true };
        string[] header = Fields(table, path) ?? throw new InputException($"{path}: is empty");
        int image = Column(path, header, ImageColumns), caption = Column(path, header, CaptionColumns);
        while (true)
        {
            int line = (int)table.LineNumber;
            if (Fields(table, path) is not { } fields) yield break;
            if (fields.Length != header.Length) throw new InputException($"{path}: line {line} has {fields.Length} fields, the first line names {header.Length}");
            yield return (line, fields[image], fields[caption]);
        }
    }

    private static string[]? Fields(TextFieldParser table, string path)
    {
        try
        {
            return table.ReadFields();
        }
        catch (MalformedLineException)
        {
            throw new InputException($"{path}: line {table.ErrorLineNumber} is not a row of the table; is a quote missing?");
        }
    }

    private static int Column(string path, string[] header, string[] names)
    {
        int index = Array.FindIndex(header, field => names.Contains(field.Trim(), StringComparer.OrdinalIgnoreCase));
        return index >= 0 ? index : throw new InputException($"{path}: its first line names no column {string.Join(" or ", names)}");
    }
}
