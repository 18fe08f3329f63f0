using System.Globalization;
using System.Runtime.ExceptionServices;
using Microsoft.Win32.SafeHandles;
using Patching.Model.Images;

namespace Patching.Model.Data;

/// <summary>
/// Fills a <see cref="CacheFile"/>: decodes every image once, on threads of its own. The file has another name until it is complete and on
/// the disk. An image that cannot be read is left out, and whoever wants it meets the same error as without a cache.
/// </summary>
internal sealed class CacheWriter
{
    private static readonly TimeSpan ReportInterval = TimeSpan.FromMilliseconds(200);

    private readonly ImageDataset dataset;
    private readonly CacheContent content;
    private readonly SafeFileHandle file;
    private readonly CacheEntry[] entries;
    private int next = -1;
    private int done;
    private long end;
    private volatile Exception? failure;

    private CacheWriter(ImageDataset dataset, CacheContent content, SafeFileHandle file)
    {
        this.dataset = dataset;
        this.content = content;
        this.file = file;
        entries = new CacheEntry[dataset.Count];
        end = CacheFile.PixelsAt(dataset.Count);
    }

    /// <summary>Writes the file.</summary>
    /// <param name="path">Where it goes; another process must not write it at the same time.</param>
    /// <param name="dataset">Images.</param>
    /// <param name="content">What is kept of them.</param>
    /// <param name="key">Their key.</param>
    /// <param name="workers">Threads that decode.</param>
    /// <param name="progress">Called with images done and to do, on the calling thread.</param>
    /// <param name="cancellation">Gives up; no file is left.</param>
    /// <exception cref="IOException">The disk is full or fails; no file is left.</exception>
    public static void Write(
        string path, ImageDataset dataset, CacheContent content, ReadOnlySpan<byte> key, int workers, Action<long, long>? progress,
        CancellationToken cancellation)
    {
        string temporary = path + ".tmp";
        try
        {
            using (SafeFileHandle file = File.OpenHandle(temporary, FileMode.Create, FileAccess.Write, FileShare.None))
            {
                CacheWriter writer = new(dataset, content, file);
                writer.Run(workers, progress, cancellation);
                RandomAccess.Write(file, CacheFile.Head(key, writer.entries, writer.end), 0);
                RandomAccess.FlushToDisk(file);
            }
            File.Move(temporary, path, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }
    }

    private void Run(int workers, Action<long, long>? progress, CancellationToken cancellation)
    {
        Thread[] threads = new Thread[Math.Min(workers, entries.Length)];
        for (int i = 0; i < threads.Length; i++)
        {
            string name = string.Create(CultureInfo.InvariantCulture, $"cache writer {i}");
            threads[i] = new Thread(() => Work(cancellation)) { IsBackground = true, Name = name };
            threads[i].Start();
        }
        foreach (Thread thread in threads)
        {
            while (!thread.Join(ReportInterval)) progress?.Invoke(Volatile.Read(ref done), entries.Length);
        }
        cancellation.ThrowIfCancellationRequested();
        if (failure is { } error) ExceptionDispatchInfo.Throw(error);
        progress?.Invoke(entries.Length, entries.Length);
    }

    private void Work(CancellationToken cancellation)
    {
        try
        {
            ImagePreprocessor? preprocessor = content.Side is { } side ? new ImagePreprocessor(side, content.Resize) : null;
            byte[] square = new byte[preprocessor?.OutputBytes ?? 0];
            for (int i; (i = Interlocked.Increment(ref next)) < entries.Length && failure is null && !cancellation.IsCancellationRequested;)
            {
                Add(i, preprocessor, square);
                Interlocked.Increment(ref done);
            }
        }
        catch (Exception error)
        {
            failure = error;
        }
    }

    private void Add(int index, ImagePreprocessor? preprocessor, byte[] square)
    {
        RgbImage image;
        try
        {
            image = content.Enough is { } enough ? dataset.LoadReduced(index, enough) : dataset.Load(index);
        }
        catch (InputException)
        {
            return;
        }
        preprocessor?.Apply(image, square);
        byte[] pixels = preprocessor is null ? image.Pixels : square;
        long offset = Interlocked.Add(ref end, pixels.Length) - pixels.Length;
        RandomAccess.Write(file, pixels, offset);
        (int width, int height) = preprocessor is null ? (image.Width, image.Height) : (preprocessor.Size, preprocessor.Size);
        entries[index] = new CacheEntry(offset, width, height, CacheFile.Checksum(pixels));
    }
}
