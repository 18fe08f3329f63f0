using Patching.Model.Images;

namespace Patching.Model.Data;

/// <summary>
/// The images of another data set that a manifest names, in its order (<c>manifest:FILE</c>). Every image is compared with its hash when it
/// is first loaded.
/// </summary>
internal sealed class ManifestDataset : ImageDataset
{
    private readonly Manifest manifest;
    private readonly ImageDataset whole;
    private readonly ManifestEntry[] entries;
    private readonly int[] indices;
    private readonly bool[] verified;

    private ManifestDataset(string name, Manifest manifest, ImageDataset whole, ManifestEntry[] entries, int[] indices)
        : base(name, manifest.ClassNames)
    {
        (this.manifest, this.whole, this.entries, this.indices) = (manifest, whole, entries, indices);
        verified = new bool[indices.Length];
    }

    /// <inheritdoc/>
    public override int Count => indices.Length;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Notes => whole.Notes;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Templates => manifest.Templates;

    /// <inheritdoc/>
    public override string ManifestSha256 => manifest.Sha256;

    /// <summary>Opens the images of one split that a manifest names.</summary>
    /// <exception cref="InputException">The manifest is damaged, or the data set lacks an image that it names or labels it
    /// otherwise.</exception>
    public static ManifestDataset Open(string name, string path, DatasetSplit split, string dataLocation)
    {
        Manifest manifest = Manifest.Read(path);
        ManifestEntry[] entries = [.. manifest.Entries.Where(entry => entry.Split == split)];
        if (entries.Length == 0) throw new InputException($"{path}: names no images for {split.Word()}");
        if (manifest.Dataset.StartsWith(DatasetCatalog.ManifestPrefix, StringComparison.OrdinalIgnoreCase))
            throw new InputException($"{path}: line 1 names another manifest, {manifest.Dataset}; name that instead");
        ImageDataset whole = DatasetCatalog.Open(manifest.Dataset, split, dataLocation);
        Dictionary<string, int> places = [];
        for (int i = 0; i < whole.Count; i++) places[whole.StoredPath(i)] = i;
        int[] indices = new int[entries.Length];
        for (int i = 0; i < entries.Length; i++)
        {
            ManifestEntry entry = entries[i];
            if (!places.TryGetValue(entry.Path, out indices[i]))
                throw new InputException(
                    $"{path}: line {entry.Line} names {Weights.HostileText.Show(entry.Path)}, which {whole.Name} does not have here");
            string expected = manifest.ClassNames[entry.Label], found = whole.ClassNames[whole.Label(indices[i])];
            if (expected != found)
                throw new InputException(
                    $"{path}: line {entry.Line} is of the class '{expected}', {whole.Describe(indices[i])} is of '{found}' here");
        }
        return new ManifestDataset(name, manifest, whole, entries, indices);
    }

    /// <inheritdoc/>
    public override int Label(int index) => entries[index].Label;

    /// <inheritdoc/>
    public override int? WrittenLabel(int index) => whole.WrittenLabel(indices[index]);

    /// <inheritdoc/>
    public override RgbImage Load(int index)
    {
        Verify(index);
        return whole.Load(indices[index]);
    }

    /// <inheritdoc/>
    public override RgbImage LoadReduced(int index, int enough)
    {
        Verify(index);
        return whole.LoadReduced(indices[index], enough);
    }

    /// <inheritdoc/>
    public override bool IsDecoded => whole.IsDecoded;

    /// <inheritdoc/>
    public override string SourceFile(int index) => whole.SourceFile(indices[index]);

    /// <inheritdoc/>
    public override StoredImage Stored(int index) => whole.Stored(indices[index]);

    /// <inheritdoc/>
    public override string StoredPath(int index) => entries[index].Path;

    /// <inheritdoc/>
    public override string Describe(int index) => whole.Describe(indices[index]);

    private void Verify(int index)
    {
        if (verified[index]) return;
        string found = Manifest.Hash(whole.Stored(indices[index]).Bytes.Span);
        if (found != entries[index].Hash)
            throw new InputException(
                $"{Describe(index)}: is not the image that line {entries[index].Line} of {manifest.Path} names (its hash is {found})");
        verified[index] = true;
    }
}
