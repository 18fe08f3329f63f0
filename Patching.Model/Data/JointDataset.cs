using Patching.Model.Images;

namespace Patching.Model.Data;

/// <summary>
/// Several data sets as one: labels are numbered one data set after the other. Balanced, every data set counts as often as the largest (smaller ones come round again, with other crops);
/// proportional, every image counts once.
/// </summary>
public sealed class JointDataset : ImageDataset
{
    private readonly IReadOnlyList<ImageDataset> parts;
    private readonly int[] firstLabels;
    private readonly int[] firstImages;
    private readonly bool balanced;

    /// <summary>Joins data sets.</summary>
    /// <param name="parts">The data sets.</param>
    /// <param name="balanced">Whether each counts as often as the largest.</param>
    public JointDataset(IReadOnlyList<ImageDataset> parts, bool balanced)
        : base(string.Join('+', parts.Select(part => part.Name)) + (balanced ? " balanced" : " proportional"), [.. parts.SelectMany(part => part.ClassNames)])
    {
        this.parts = parts;
        this.balanced = balanced;
        firstLabels = [.. parts.Select((_, i) => parts.Take(i).Sum(part => part.ClassNames.Count))];
        firstImages = [.. Enumerable.Range(0, parts.Count + 1).Select(i => checked(parts.Take(i).Sum(Share)))];
    }

    /// <inheritdoc/>
    public override int Count => firstImages[^1];

    /// <inheritdoc/>
    public override IReadOnlyList<string> Notes => [.. parts.SelectMany(part => part.Notes)];

    /// <inheritdoc/>
    public override int Label(int index)
    {
        (int part, int image) = Find(index);
        return firstLabels[part] + parts[part].Label(image);
    }

    /// <inheritdoc/>
    public override RgbImage Load(int index)
    {
        (int part, int image) = Find(index);
        return parts[part].Load(image);
    }

    /// <inheritdoc/>
    public override RgbImage LoadReduced(int index, int enough)
    {
        (int part, int image) = Find(index);
        return parts[part].LoadReduced(image, enough);
    }

    /// <inheritdoc/>
    public override bool IsDecoded => parts.All(part => part.IsDecoded);

    /// <inheritdoc/>
    public override string SourceFile(int index)
    {
        (int part, int image) = Find(index);
        return parts[part].SourceFile(image);
    }

    /// <inheritdoc/>
    public override StoredImage Stored(int index)
    {
        (int part, int image) = Find(index);
        return parts[part].Stored(image);
    }

    /// <inheritdoc/>
    public override string StoredPath(int index)
    {
        (int part, int image) = Find(index);
        return parts[part].StoredPath(image);
    }

    /// <inheritdoc/>
    public override string Describe(int index)
    {
        (int part, int image) = Find(index);
        return parts[part].Describe(image);
    }

    private int Share(ImageDataset part) => balanced ? parts.Max(other => other.Count) : part.Count;

    private (int Part, int Image) Find(int index)
    {
        int part = parts.Count - 1;
        while (firstImages[part] > index) part--;
        return (part, (index - firstImages[part]) % parts[part].Count);
    }
}
