using Patching.Model.Data.Files;
using Patching.Model.Images;

namespace Patching.Model.Data;

/// <summary>Images that are files of their own, in folders or archives.</summary>
internal sealed class ImageFileDataset : ImageDataset
{
    private readonly FileTree tree;
    private readonly string[] files;
    private readonly int[] labels;
    private readonly IReadOnlyList<string>? templates;

    /// <summary>Creates the data set from its finished list of files.</summary>
    /// <param name="name">Name of the data set.</param>
    /// <param name="classNames">Class names, indexed by label.</param>
    /// <param name="tree">Where the files are.</param>
    /// <param name="images">Path and label of every image.</param>
    /// <param name="notes">What the user should know.</param>
    /// <param name="templates">Prompt templates; null for those that belong to the name.</param>
    public ImageFileDataset(
        string name, IReadOnlyList<string> classNames, FileTree tree, IReadOnlyCollection<(string File, int Label)> images,
        IReadOnlyList<string> notes, IReadOnlyList<string>? templates = null)
        : base(name, classNames)
    {
        this.tree = tree;
        this.templates = templates;
        files = [.. images.Select(image => image.File)];
        labels = [.. images.Select(image => image.Label)];
        Notes = notes;
    }

    /// <inheritdoc/>
    public override int Count => files.Length;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Notes { get; }

    /// <inheritdoc/>
    public override IReadOnlyList<string> Templates => templates ?? base.Templates;

    /// <inheritdoc/>
    public override int Label(int index) => labels[index];

    /// <inheritdoc/>
    public override RgbImage Load(int index) => ImageDecoder.Decode(tree.Read(files[index]).Span, Describe(index));

    /// <inheritdoc/>
    public override RgbImage LoadReduced(int index, int enough) =>
        ImageDecoder.DecodeReduced(tree.Read(files[index]).Span, Describe(index), enough);

    /// <inheritdoc/>
    public override string SourceFile(int index) => tree.Container(files[index]);

    /// <inheritdoc/>
    public override StoredImage Stored(int index) => new(files[index], tree.Read(files[index]));

    /// <inheritdoc/>
    public override string StoredPath(int index) => files[index];

    /// <inheritdoc/>
    public override string Describe(int index) => tree.Describe(files[index]);
}
