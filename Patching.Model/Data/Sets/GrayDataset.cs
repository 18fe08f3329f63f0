using Patching.Model.Data.Files;
using Patching.Model.Images;

namespace Patching.Model.Data.Sets;

/// <summary>Gray images of one size from one file: MNIST and Fashion-MNIST. All are kept in memory as gray bytes.</summary>
internal sealed class GrayDataset : ImageDataset
{
    private readonly FileTree tree;
    private readonly string file;
    private readonly byte[] pixels;
    private readonly byte[] labels;
    private readonly int height;
    private readonly int width;

    /// <summary>Creates the data set.</summary>
    /// <param name="place">The data set's files.</param>
    /// <param name="file">The file of the images.</param>
    /// <param name="classNames">Class names, indexed by label.</param>
    /// <param name="pixels">Height times width bytes per image, row by row.</param>
    /// <param name="labels">Checked labels, one per image.</param>
    /// <param name="height">Rows of an image.</param>
    /// <param name="width">Columns of an image.</param>
    public GrayDataset(DataPlace place, string file, IReadOnlyList<string> classNames, byte[] pixels, byte[] labels, int height, int width)
        : base(place.Set.Name, classNames)
    {
        (tree, this.file, this.pixels, this.labels) = (place, file, pixels, labels);
        (this.height, this.width) = (height, width);
    }

    /// <inheritdoc/>
    public override int Count => labels.Length;

    /// <inheritdoc/>
    public override int Label(int index) => labels[index];

    /// <inheritdoc/>
    public override RgbImage Load(int index)
    {
        ReadOnlySpan<byte> gray = Gray(index).Span;
        byte[] rgb = GC.AllocateUninitializedArray<byte>(gray.Length * 3);
        int to = 0;
        foreach (byte value in gray)
        {
            rgb[to] = value;
            rgb[to + 1] = value;
            rgb[to + 2] = value;
            to += 3;
        }
        return new RgbImage(width, height, rgb);
    }

    /// <inheritdoc/>
    public override bool IsDecoded => true;

    /// <inheritdoc/>
    public override string SourceFile(int index) => tree.Container(file);

    /// <inheritdoc/>
    public override StoredImage Stored(int index) => new(StoredPath(index), Gray(index));

    /// <inheritdoc/>
    public override string StoredPath(int index) => $"{WithoutGzip(file)}[{index}]";

    /// <inheritdoc/>
    public override string Describe(int index) => $"{WithoutGzip(tree.Describe(file))}[{index}]";

    private ReadOnlyMemory<byte> Gray(int index) => pixels.AsMemory(index * height * width, height * width);

    private static string WithoutGzip(string path) => path.EndsWith(".gz", StringComparison.OrdinalIgnoreCase) ? path[..^3] : path;
}
