using Patching.Model.Images;

namespace Patching.Model.Data;

/// <summary>
/// A data set whose images come from a <see cref="CacheFile"/>. What the file lacks or has damaged comes from the data set itself, so that
/// results and errors are the same with and without it.
/// </summary>
internal sealed class CachedDataset : ImageDataset, IDisposable
{
    private readonly ImageDataset source;
    private readonly CacheContent content;
    private readonly CacheFile file;
    private int damaged;

    /// <summary>Joins the two; the file is disposed with this object.</summary>
    public CachedDataset(ImageDataset source, CacheContent content, CacheFile file)
        : base(source.Name, source.ClassNames)
    {
        this.source = source;
        this.content = content;
        this.file = file;
    }

    /// <inheritdoc/>
    public override int Count => source.Count;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Notes => source.Notes;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Templates => source.Templates;

    /// <inheritdoc/>
    public override string? ManifestSha256 => source.ManifestSha256;

    /// <summary>The cache's file.</summary>
    public string CachePath => file.Path;

    /// <summary>Reads of images whose pixels in the file were not those that were written.</summary>
    public int Damaged => Volatile.Read(ref damaged);

    /// <inheritdoc/>
    public override int Label(int index) => source.Label(index);

    /// <inheritdoc/>
    public override RgbImage Load(int index) => Whole(index, null) ?? source.Load(index);

    /// <inheritdoc/>
    public override RgbImage LoadReduced(int index, int enough) => Whole(index, enough) ?? source.LoadReduced(index, enough);

    /// <inheritdoc/>
    public override int? WrittenLabel(int index) => source.WrittenLabel(index);

    /// <inheritdoc/>
    public override StoredImage Stored(int index) => source.Stored(index);

    /// <inheritdoc/>
    public override string StoredPath(int index) => source.StoredPath(index);

    /// <inheritdoc/>
    public override string SourceFile(int index) => source.SourceFile(index);

    /// <inheritdoc/>
    public override string Describe(int index) => source.Describe(index);

    /// <summary>Copies the finished square of an image; false where it has to be made from the image.</summary>
    /// <param name="index">The image.</param>
    /// <param name="wanted">What the square has to be.</param>
    /// <param name="destination">As many bytes as the square has.</param>
    public bool TryCopySquare(int index, CacheContent wanted, Span<byte> destination) =>
        wanted == content && file.Entry(index) is { Width: > 0 } entry && entry.Bytes == destination.Length && Read(entry, destination);

    /// <inheritdoc/>
    public void Dispose() => file.Dispose();

    private RgbImage? Whole(int index, int? enough)
    {
        if (content.Side is not null || content.Enough != enough || file.Entry(index) is not { Width: > 0, Height: > 0 } entry) return null;
        byte[] pixels = GC.AllocateUninitializedArray<byte>((int)entry.Bytes);
        return Read(entry, pixels) ? new RgbImage(entry.Width, entry.Height, pixels) : null;
    }

    private bool Read(in CacheEntry entry, Span<byte> destination)
    {
        if (file.TryRead(entry, destination)) return true;
        Interlocked.Increment(ref damaged);
        return false;
    }
}
