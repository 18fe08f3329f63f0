using Patching.Model.Images;

namespace Patching.Model.Data;

/// <summary>Some images of another data set in a given order: the parts of a validation split.</summary>
internal class SubsetDataset : ImageDataset
{
    private readonly ImageDataset whole;
    private readonly int[] indices;

    /// <summary>Creates the part whose image i is image <c>indices[i]</c> of <paramref name="whole"/>.</summary>
    public SubsetDataset(string name, ImageDataset whole, int[] indices)
        : this(name, whole, indices, whole.ClassNames)
    {
    }

    /// <summary>The same with other classes.</summary>
    protected SubsetDataset(string name, ImageDataset whole, int[] indices, IReadOnlyList<string> classNames)
        : base(name, classNames)
    {
        this.whole = whole;
        this.indices = indices;
    }

    /// <inheritdoc/>
    public override int Count => indices.Length;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Notes => whole.Notes;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Templates => whole.Templates;

    /// <inheritdoc/>
    public override string? ManifestSha256 => whole.ManifestSha256;

    /// <inheritdoc/>
    public override int Label(int index) => whole.Label(indices[index]);

    /// <inheritdoc/>
    public override RgbImage Load(int index) => whole.Load(indices[index]);

    /// <inheritdoc/>
    public override RgbImage LoadReduced(int index, int enough) => whole.LoadReduced(indices[index], enough);

    /// <inheritdoc/>
    public override bool IsDecoded => whole.IsDecoded;

    /// <inheritdoc/>
    public override string SourceFile(int index) => whole.SourceFile(indices[index]);

    /// <inheritdoc/>
    public override int? WrittenLabel(int index) => whole.WrittenLabel(indices[index]);

    /// <inheritdoc/>
    public override StoredImage Stored(int index) => whole.Stored(indices[index]);

    /// <inheritdoc/>
    public override string StoredPath(int index) => whole.StoredPath(indices[index]);

    /// <inheritdoc/>
    public override string Describe(int index) => whole.Describe(indices[index]);
}
