using Patching.Model.Data.Files;
using Patching.Model.Images;

namespace Patching.Model.Data.Sets;

/// <summary>Images of one file.</summary>
/// <param name="File">The file, below the data location.</param>
/// <param name="Pixels">For every image a plane of red, of green and of blue.</param>
/// <param name="Labels">Their labels.</param>
internal sealed record PlanarPart(string File, ReadOnlyMemory<byte> Pixels, int[] Labels);

/// <summary>
/// Square colour images of one size in large files, plane by plane: CIFAR, STL-10, SVHN. All are kept in memory.
/// </summary>
internal sealed class PlanarDataset : ImageDataset
{
    private readonly FileTree tree;
    private readonly int side;
    private readonly bool columnsFirst;
    private readonly List<PlanarPart> parts;
    private readonly int[] firstOfPart;

    /// <summary>Creates the data set from its checked files.</summary>
    /// <param name="place">The data set's files.</param>
    /// <param name="classNames">Class names, indexed by label.</param>
    /// <param name="side">Width and height of the images.</param>
    /// <param name="columnsFirst">Whether neighbours in a plane are below each other, as MATLAB stores it, instead of side by side.</param>
    /// <param name="parts">The files.</param>
    /// <exception cref="InputException">A label or a number of bytes is impossible; the message names the file.</exception>
    public PlanarDataset(DataPlace place, IReadOnlyList<string> classNames, int side, bool columnsFirst, List<PlanarPart> parts)
        : base(place.Set.Name, classNames)
    {
        tree = place;
        (this.side, this.columnsFirst, this.parts) = (side, columnsFirst, parts);
        firstOfPart = new int[parts.Count + 1];
        for (int p = 0; p < parts.Count; p++)
        {
            Check(parts[p]);
            firstOfPart[p + 1] = firstOfPart[p] + parts[p].Labels.Length;
        }
    }

    /// <inheritdoc/>
    public override int Count => firstOfPart[^1];

    private int ImageBytes => 3 * side * side;

    /// <inheritdoc/>
    public override int Label(int index)
    {
        (PlanarPart part, int at) = Locate(index);
        return part.Labels[at];
    }

    /// <inheritdoc/>
    public override RgbImage Load(int index)
    {
        ReadOnlySpan<byte> planes = Planes(index).Span;
        byte[] rgb = GC.AllocateUninitializedArray<byte>(ImageBytes);
        int area = side * side;
        for (int channel = 0; channel < 3; channel++)
        {
            ReadOnlySpan<byte> plane = planes.Slice(channel * area, area);
            for (int i = 0; i < area; i++) rgb[(3 * (columnsFirst ? (i % side * side) + (i / side) : i)) + channel] = plane[i];
        }
        return new RgbImage(side, side, rgb);
    }

    /// <inheritdoc/>
    public override bool IsDecoded => true;

    /// <inheritdoc/>
    public override string SourceFile(int index) => tree.Container(Locate(index).Part.File);

    /// <inheritdoc/>
    public override StoredImage Stored(int index) => new(StoredPath(index), Planes(index));

    /// <inheritdoc/>
    public override string StoredPath(int index)
    {
        (PlanarPart part, int at) = Locate(index);
        return $"{part.File}[{at}]";
    }

    /// <inheritdoc/>
    public override string Describe(int index)
    {
        (PlanarPart part, int at) = Locate(index);
        return $"{tree.Describe(part.File)}[{at}]";
    }

    private ReadOnlyMemory<byte> Planes(int index)
    {
        (PlanarPart part, int at) = Locate(index);
        return part.Pixels.Slice(at * ImageBytes, ImageBytes);
    }

    private (PlanarPart Part, int Index) Locate(int index)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(index);
        int p = 0;
        while (index >= firstOfPart[p + 1]) p++;
        return (parts[p], index - firstOfPart[p]);
    }

    private void Check(PlanarPart part)
    {
        string file = tree.Describe(part.File);
        if (part.Labels.Length == 0) throw new InputException($"{file}: holds no images; download the data set again");
        if (part.Pixels.Length != (long)part.Labels.Length * ImageBytes)
            throw new InputException(
                $"{file}: {part.Labels.Length} labels for {part.Pixels.Length / (double)ImageBytes:0.##} images; "
                + "download the data set again");
        int wrong = part.Labels.AsSpan().IndexOfAnyExceptInRange(0, ClassNames.Count - 1);
        if (wrong >= 0)
            throw new InputException($"{file}: label {wrong} is {part.Labels[wrong]}, {Name} has the classes 0 to {ClassNames.Count - 1}");
    }
}
