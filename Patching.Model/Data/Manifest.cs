using System.Globalization;
using System.IO.Hashing;
using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using Patching.Model.Data.Files;

namespace Patching.Model.Data;

/// <summary>One image of a manifest.</summary>
/// <param name="Line">Its line in the file.</param>
/// <param name="Split">Its part of the data set.</param>
/// <param name="Label">Its label.</param>
/// <param name="Hash">XXH128 of its stored bytes, in hexadecimal.</param>
/// <param name="Path">Its path, as <see cref="StoredImage"/> has it.</param>
public sealed record ManifestEntry(int Line, DatasetSplit Split, int Label, string Hash, string Path);

/// <summary>
/// A file that says exactly which images a run uses: a line of JSON with data set, classes and templates, then a line per image with split,
/// label, hash and path, separated by tabs. Lines may be taken out or reordered, so that any subset can be named. Hashes are XXH128 of the
/// bytes as they are stored: they find changed files, not forgers.
/// </summary>
public sealed class Manifest
{
    private const int Version = 1;
    private const int HashDigits = 32;

    private static readonly JsonSerializerOptions Format = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.SnakeCaseLower,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
    };

    private Manifest(string path, string sha256, Header header, List<ManifestEntry> entries)
    {
        Path = path;
        Sha256 = sha256;
        Dataset = header.Dataset!;
        ClassNames = header.Classes!;
        Templates = header.Templates!;
        Entries = entries;
    }

    /// <summary>The file.</summary>
    public string Path { get; }

    /// <summary>SHA-256 of the file, which results cite.</summary>
    public string Sha256 { get; }

    /// <summary>Name of the data set.</summary>
    public string Dataset { get; }

    /// <summary>Class names, indexed by label.</summary>
    public IReadOnlyList<string> ClassNames { get; }

    /// <summary>Prompt templates.</summary>
    public IReadOnlyList<string> Templates { get; }

    /// <summary>The images, in the order of the file.</summary>
    public IReadOnlyList<ManifestEntry> Entries { get; }

    /// <summary>Hash of an image's stored bytes, in hexadecimal.</summary>
    public static string Hash(ReadOnlySpan<byte> bytes) => Convert.ToHexStringLower(XxHash128.Hash(bytes));

    /// <summary>Reads a manifest.</summary>
    /// <exception cref="InputException">It is missing or damaged; the message names the line.</exception>
    public static Manifest Read(string path)
    {
        byte[] bytes = FolderTree.ReadFile(path);
        string[] lines = Encoding.UTF8.GetString(bytes).Split('\n');
        Header header = ReadHeader(path, lines[0]);
        List<ManifestEntry> entries = [];
        for (int i = 1; i < lines.Length; i++)
        {
            string line = lines[i].TrimEnd('\r');
            if (line.Length > 0) entries.Add(ReadEntry(path, i + 1, line, header.Classes!.Length));
        }
        if (entries.Count == 0) throw new InputException($"{path}: names no images");
        return new Manifest(path, Convert.ToHexStringLower(SHA256.HashData(bytes)), header, entries);
    }

    /// <summary>Writes a manifest of some splits, hashing every image on all cores.</summary>
    /// <param name="path">File to write; it gets its name when it is complete.</param>
    /// <param name="dataset">Name of the data set, as a run would give it.</param>
    /// <param name="splits">The splits, opened.</param>
    /// <param name="overwrite">Whether a file that is there is replaced.</param>
    /// <param name="progress">Called with images done and images in all.</param>
    /// <param name="cancellation">Stops; nothing is written then.</param>
    /// <exception cref="InputException">The file is there already or cannot be written, or an image cannot be read.</exception>
    public static void Write(
        string path, string dataset, IReadOnlyList<(DatasetSplit Split, ImageDataset Images)> splits, bool overwrite, Action<long,
            long>? progress = null,
        CancellationToken cancellation = default)
    {
        if (!overwrite && File.Exists(path)) throw new InputException($"{path}: is there already; --overwrite replaces it");
        ImageDataset first = splits[0].Images;
        Header header = new(Version, dataset, [.. first.ClassNames], [.. first.Templates]);
        StringBuilder text = new(JsonSerializer.Serialize(header, Format) + "\n");
        long done = 0, total = splits.Sum(split => (long)split.Images.Count);
        foreach ((DatasetSplit split, ImageDataset images) in splits)
        {
            foreach (string line in Lines(split, images, () => progress?.Invoke(Interlocked.Increment(ref done), total),
                cancellation)) text.Append(line);
        }
        Save(path, text.ToString());
    }

    private static string[] Lines(DatasetSplit split, ImageDataset images, Action hashed, CancellationToken cancellation)
    {
        string[] lines = new string[images.Count];
        try
        {
            Parallel.For(0, lines.Length, new ParallelOptions { CancellationToken = cancellation }, i =>
            {
                StoredImage stored = images.Stored(i);
                if (stored.Path.AsSpan().ContainsAny('\n', '\t', '\r'))
                    throw new InputException(
                        $"{Weights.HostileText.Show(images.Describe(i))}: a path with a tab or line break cannot be in a manifest; "
                        + "rename it");
                lines[i] = string.Create(CultureInfo.InvariantCulture,
                    $"{Word(split)}\t{images.Label(i)}\t{Hash(stored.Bytes.Span)}\t{stored.Path}\n");
                hashed();
            });
        }
        catch (AggregateException e) when (e.InnerExceptions.OfType<InputException>().FirstOrDefault() is { } unusable)
        {
            throw unusable;
        }
        return lines;
    }

    private static void Save(string path, string text)
    {
        try
        {
            Directory.CreateDirectory(System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(path))!);
            File.WriteAllText(path + ".tmp", text);
            File.Move(path + ".tmp", path, overwrite: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{path}: cannot be written ({OneLine.Of(e)})", e);
        }
    }

    private static Header ReadHeader(string path, string line)
    {
        try
        {
            Header? header = JsonSerializer.Deserialize<Header>(line, Format);
            if (header is { Manifest: Version, Dataset.Length: > 0, Classes.Length: > 0, Templates.Length: > 0 }) return header;
        }
        catch (JsonException)
        {
            // Said below.
        }
        throw new InputException($"{path}: line 1 is not the beginning of a manifest; write one with patching data manifest");
    }

    private static ManifestEntry ReadEntry(string path, int number, string line, int classes)
    {
        string[] cells = line.Split('\t');
        if (cells.Length != 4 || cells[2].Length != HashDigits || cells[3].Length == 0)
            throw new InputException($"{path}: line {number} is not split, label, hash and path, separated by tabs");
        DatasetSplit split = cells[0] switch
        {
            "train" => DatasetSplit.Train,
            "test" => DatasetSplit.Test,
            _ => throw new InputException(
                $"{path}: line {number} has the split '{Weights.HostileText.Show(cells[0])}'; known are train and test"),
        };
        if (!int.TryParse(cells[1], NumberStyles.None, CultureInfo.InvariantCulture, out int label) || label >= classes)
            throw new InputException(
                $"{path}: line {number} has the label '{Weights.HostileText.Show(cells[1])}', line 1 names {classes} classes");
        return new ManifestEntry(number, split, label, cells[2], cells[3]);
    }

    private static string Word(DatasetSplit split) => split == DatasetSplit.Train ? "train" : "test";

    /// <summary>The first line.</summary>
    internal sealed record Header(int Manifest, string? Dataset, string[]? Classes, string[]? Templates);
}
