using System.Buffers.Binary;
using System.IO.Hashing;
using Patching.Model.Images;

namespace Patching.Model.Data.Check;

/// <summary>A training image that is evaluated on as well.</summary>
/// <param name="Training">Where the training image is.</param>
/// <param name="Evaluation">Where the same image is among those that evaluate.</param>
/// <param name="SameLabel">Whether both have the same class name.</param>
public sealed record DuplicateImage(string Training, string Evaluation, bool SameLabel);

/// <summary>
/// Finds images that occur in a training split and in an evaluation or validation split, of the same data set or another. Images are the
/// same if their decoded pixels are: another file format or other metadata do not hide it, a changed size or a second lossy compression
/// does.
/// </summary>
public sealed class DuplicateSearch
{
    private readonly List<(bool Training, ImageDataset Images, UInt128[] Hashes, HashSet<int> Bad)> splits = [];

    /// <summary>Hash of an image's size and pixels.</summary>
    public static UInt128 Hash(RgbImage image)
    {
        XxHash128 hash = new();
        Span<byte> size = stackalloc byte[8];
        BinaryPrimitives.WriteInt32LittleEndian(size, image.Width);
        BinaryPrimitives.WriteInt32LittleEndian(size[4..], image.Height);
        hash.Append(size);
        hash.Append(image.Pixels);
        return hash.GetCurrentHashAsUInt128();
    }

    /// <summary>Every pair, in the order of the evaluation images; the first training image counts where there are several.</summary>
    public IReadOnlyList<DuplicateImage> Find()
    {
        Dictionary<UInt128, (ImageDataset Images, int Index)> training = [];
        foreach ((_, ImageDataset images, UInt128[] hashes, HashSet<int> bad) in splits.Where(split => split.Training))
        {
            for (int i = 0; i < hashes.Length; i++)
            {
                if (!bad.Contains(i)) training.TryAdd(hashes[i], (images, i));
            }
        }
        List<DuplicateImage> found = [];
        foreach ((_, ImageDataset images, UInt128[] hashes, HashSet<int> bad) in splits.Where(split => !split.Training))
        {
            for (int i = 0; i < hashes.Length; i++)
            {
                if (bad.Contains(i) || !training.TryGetValue(hashes[i], out (ImageDataset Images, int Index) twin)) continue;
                bool same = twin.Images.ClassNames[twin.Images.Label(twin.Index)] == images.ClassNames[images.Label(i)];
                found.Add(new DuplicateImage(twin.Images.Describe(twin.Index), images.Describe(i), same));
            }
        }
        return found;
    }

    /// <summary>Adds the images of a split.</summary>
    internal void Add(DatasetSplit split, ImageDataset images, UInt128[] hashes, IEnumerable<int> bad) =>
        splits.Add((split == DatasetSplit.Train, images, hashes, [.. bad]));
}
