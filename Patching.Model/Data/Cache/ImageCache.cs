using System.Globalization;

namespace Patching.Model.Data;

/// <summary>
/// A folder that keeps images as the model's passes need them (<c>--cache</c>), a file per data set and preprocessing, so that every pass
/// after the first decodes nothing. A file that is not of these very images, or damaged, is made again; processes that share the folder
/// wait for the one that fills a file.
/// </summary>
public sealed class ImageCache : IDisposable
{
    private const string Advice = "make room, choose another folder, or leave --cache out";
    private const int KeyDigits = 16;
    private static readonly TimeSpan RetryInterval = TimeSpan.FromMilliseconds(100);

    private readonly string folder;
    private readonly Action<string>? note;
    private readonly Action<string, long, long>? progress;
    private readonly List<CachedDataset> open = [];

    /// <summary>Uses a folder, which is created with the first file.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="note">Gets one line where something is out of the ordinary.</param>
    /// <param name="progress">Called while a file is filled: what it is, images done and to do.</param>
    public ImageCache(string folder, Action<string>? note = null, Action<string, long, long>? progress = null)
    {
        this.folder = folder;
        this.note = note;
        this.progress = progress;
    }

    /// <summary>The data set as evaluation reads it, from the cache, which is filled first if need be.</summary>
    /// <exception cref="InputException">The folder cannot be written, or a file that is no cache is in the place of one.</exception>
    public ImageDataset ForEvaluation(ImageDataset dataset, BatchOptions options, CancellationToken cancellation = default) =>
        Open(dataset, CacheContent.ForEvaluation(options), options.Workers, cancellation);

    /// <summary>The data set as training reads it; the data set itself where its pixels lie in memory anyway.</summary>
    /// <exception cref="InputException">As for <see cref="ForEvaluation"/>.</exception>
    public ImageDataset ForTraining(ImageDataset dataset, BatchOptions options, CancellationToken cancellation = default) =>
        dataset.IsDecoded ? dataset : Open(dataset, CacheContent.ForTraining(options), options.Workers, cancellation);

    /// <summary>Closes the files; deletes those in which damaged pixels were met, so that they are made again next time.</summary>
    public void Dispose()
    {
        foreach (CachedDataset dataset in open)
        {
            dataset.Dispose();
            if (dataset.Damaged == 0) continue;
            note?.Invoke(string.Create(
                CultureInfo.InvariantCulture,
                $"{dataset.CachePath}: {dataset.Damaged} damaged images were decoded again from {dataset.Name}; ")
                + "the file is deleted, the next run makes a new one");
            TryDelete(dataset.CachePath);
        }
        open.Clear();
    }

    private CachedDataset Open(ImageDataset dataset, CacheContent content, int workers, CancellationToken cancellation)
    {
        byte[] key = content.Key(dataset);
        string path = Path.Combine(folder, $"{DatasetCatalog.FileName(dataset.Name)}-{content.Name}-{Convert.ToHexStringLower(key)[..KeyDigits]}.images");
        CachedDataset cached = new(dataset, content, OpenFile(path, dataset, content, key, workers, cancellation));
        open.Add(cached);
        return cached;
    }

    private CacheFile OpenFile(
        string path, ImageDataset dataset, CacheContent content, byte[] key, int workers, CancellationToken cancellation)
    {
        try
        {
            if (Existing(path, key, dataset.Count) is { } complete) return complete;
            Directory.CreateDirectory(folder);
            using FileStream turn = WaitForTurn(path + ".lock", cancellation);
            // Whoever had the turn before may have filled it.
            if (Existing(path, key, dataset.Count, tell: true) is { } filled) return filled;
            RequireSpace(dataset, content);
            void Report(long done, long total) => progress?.Invoke($"cache {dataset.Name}", done, total);
            CacheWriter.Write(path, dataset, content, key, workers, Report, cancellation);
            return Existing(path, key, dataset.Count)
                ?? throw new InputException($"--cache {folder}: {path} was damaged as soon as it was written; is the disk failing?");
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"--cache {folder}: cannot be written ({OneLine.Of(error)}); {Advice}", error);
        }
    }

    private CacheFile? Existing(string path, byte[] key, int images, bool tell = false)
    {
        if (!File.Exists(path)) return null;
        CacheFile? file = CacheFile.Open(path, key, images, out string? problem);
        if (file is null && tell) note?.Invoke($"{path}: {problem}; it is made again");
        return file;
    }

    // The lock file stays: deleting it would let two processes hold locks on two files of one name.
    private FileStream WaitForTurn(string path, CancellationToken cancellation)
    {
        for (bool told = false; ; told = true)
        {
            cancellation.ThrowIfCancellationRequested();
            try
            {
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 0);
            }
            catch (IOException) when (File.Exists(path))
            {
                if (!told) note?.Invoke($"{path}: another process fills this part of the cache; waiting for it");
            }
            cancellation.WaitHandle.WaitOne(RetryInterval);
        }
    }

    // Squares have a known size; whole pictures do not, and end with the same error when the disk is full.
    private void RequireSpace(ImageDataset dataset, CacheContent content)
    {
        if (content.Side is not { } side) return;
        long needed = CacheFile.PixelsAt(dataset.Count) + 3L * side * side * dataset.Count;
        long free = new DriveInfo(Path.GetFullPath(folder)).AvailableFreeSpace;
        if (needed > free)
            throw new InputException(string.Create(
                CultureInfo.InvariantCulture,
                $"--cache {folder}: {dataset.Name} needs {needed >> 20} MiB, the disk has {free >> 20} MiB; {Advice}"));
    }

    private static void TryDelete(string path)
    {
        try
        {
            File.Delete(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            // It stays damaged, and every read of it is checked.
        }
    }
}
