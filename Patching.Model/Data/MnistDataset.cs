using Patching.Model.Images;

namespace Patching.Model.Data;

/// <summary>
/// MNIST and Fashion-MNIST: 28 x 28 gray images in IDX files, in the layout torchvision leaves behind,
/// <c>&lt;data location&gt;/MNIST/raw/train-images-idx3-ubyte</c> (or the same with <c>.gz</c>). All images are kept in memory as
/// gray bytes.
/// </summary>
internal sealed class MnistDataset : ImageDataset
{
    private const int MostPixelsPerSide = 1024;

    private readonly string imagePath;
    private readonly byte[] images;
    private readonly byte[] labels;
    private readonly int height;
    private readonly int width;

    private MnistDataset(string name, IReadOnlyList<string> classNames, string imagePath, int[] shape, byte[] images, byte[] labels)
        : base(name, classNames)
    {
        this.imagePath = imagePath;
        this.images = images;
        this.labels = labels;
        (height, width) = (shape[1], shape[2]);
    }

    /// <summary>Reads and checks one split.</summary>
    /// <param name="name"><c>MNIST</c> or <c>FashionMNIST</c>: the name of the folder as well.</param>
    /// <param name="split">Part to open.</param>
    /// <param name="dataLocation">Folder that holds the data sets.</param>
    /// <exception cref="InputException">Files are missing, damaged or contradict each other.</exception>
    public static MnistDataset Open(string name, DatasetSplit split, string dataLocation)
    {
        string prefix = split == DatasetSplit.Train ? "train" : "t10k";
        string imagePath = Find(name, dataLocation, prefix + "-images-idx3-ubyte");
        string labelPath = Find(name, dataLocation, prefix + "-labels-idx1-ubyte");
        IReadOnlyList<string> classNames = ZeroShotPrompts.For(name).ClassNames;

        (int[] shape, byte[] images) = IdxFile.Read(imagePath, 3);
        (int[] _, byte[] labels) = IdxFile.Read(labelPath, 1);
        if (shape[1] > MostPixelsPerSide || shape[2] > MostPixelsPerSide)
            throw new InputException($"{imagePath}: images of {shape[2]} x {shape[1]} pixels, {name} has 28 x 28; is it the right file?");
        if (shape[0] != labels.Length)
            throw new InputException(
                $"{labelPath}: {labels.Length} labels for the {shape[0]} images of {Path.GetFileName(imagePath)}; "
                + "both must be of the same split");
        int wrong = labels.AsSpan().IndexOfAnyExceptInRange((byte)0, (byte)(classNames.Count - 1));
        if (wrong >= 0)
            throw new InputException(
                $"{labelPath}: label {wrong} is {labels[wrong]}, {name} has the classes 0 to {classNames.Count - 1}; "
                + "download the file again");
        return new MnistDataset(name, classNames, imagePath, shape, images, labels);
    }

    /// <inheritdoc/>
    public override int Count => labels.Length;

    /// <inheritdoc/>
    public override int Label(int index) => labels[index];

    /// <inheritdoc/>
    public override RgbImage Load(int index)
    {
        ReadOnlySpan<byte> gray = images.AsSpan(index * height * width, height * width);
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
    public override string SourceFile(int index) => imagePath;

    /// <inheritdoc/>
    public override string Describe(int index) => $"{Path.GetFileNameWithoutExtension(imagePath)}[{index}]";

    private static string Find(string name, string dataLocation, string file)
    {
        string raw = Path.Combine(dataLocation, name, "raw", file);
        if (File.Exists(raw)) return raw;
        if (File.Exists(raw + ".gz")) return raw + ".gz";
        throw new InputException(
            $"{name}: neither {raw} nor {file}.gz beside it exists; "
            + $"put the data set's four files (gz or not) into DATA/{name}/raw and give DATA as --data-location");
    }
}
