using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Patching.Model.Images;

namespace Patching.Model.Data;

/// <summary>
/// What an image cache keeps of every image: the finished square where it is always the same (evaluation), the decoded picture where it is
/// cropped anew in every epoch (training). Nothing about a batch depends on whether it came from a cache.
/// </summary>
/// <param name="Side">Side of the square in pixels; null for whole pictures.</param>
/// <param name="Resize">How the square is made.</param>
/// <param name="Enough">Sides that are enough where large JPEGs are reduced; null where all are decoded whole.</param>
internal sealed record CacheContent(int? Side, ResizeMode Resize, int? Enough)
{
    /// <summary>What evaluation with these options reads.</summary>
    public static CacheContent ForEvaluation(BatchOptions options) => new(options.ImageSize, options.Resize, options.Enough);

    /// <summary>What training with these options reads.</summary>
    public static CacheContent ForTraining(BatchOptions options) => new(null, ResizeMode.Shortest, options.Enough);

    /// <summary>A short name, part of the file's.</summary>
    public string Name
    {
        get
        {
            string square = Side is { } side ? Text($"{side}-{Resize.ToString().ToLowerInvariant()}") : "whole";
            return Enough is { } enough ? Text($"{square}-from{enough}") : square;
        }
    }

    /// <summary>
    /// SHA-256 over all that decides the bytes: this content, the format's version, the manifest where there is one and, image by image,
    /// where it comes from and the size and time of its file.
    /// </summary>
    public byte[] Key(ImageDataset dataset)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Append(hash, Text($"{CacheFile.Version} {Name} {dataset.Count} {dataset.ManifestSha256}"));
        string? lastFile = null, state = null;
        for (int i = 0; i < dataset.Count; i++)
        {
            string file = dataset.SourceFile(i);
            if (file != lastFile) (lastFile, state) = (file, State(file));
            Append(hash, dataset.Describe(i));
            Append(hash, state!);
        }
        return hash.GetHashAndReset();
    }

    // A file that is not there has a state, too: its image cannot be read, and another key will notice when it can.
    private static string State(string path)
    {
        FileInfo file = new(path);
        return file.Exists
            ? Text($"{file.FullName} {file.Length} {file.LastWriteTimeUtc.Ticks}")
            : $"{file.FullName} missing";
    }

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);

    private static void Append(IncrementalHash hash, string text) => hash.AppendData(Encoding.UTF8.GetBytes(text + "\0"));
}
