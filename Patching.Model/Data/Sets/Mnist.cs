using System.Globalization;
using Patching.Model.Data.Files;

namespace Patching.Model.Data.Sets;

/// <summary>
/// MNIST and Fashion-MNIST: 28 x 28 gray images in IDX files, compressed or not, or in tables of one line per image (the label and 784
/// gray values).
/// </summary>
internal static class Mnist
{
    private const int Side = 28;
    private const int MostPixelsPerSide = 1024;
    private const string DigitsAddress = "https://ossci-datasets.s3.amazonaws.com/mnist/";
    private const string FashionAddress = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/";

    /// <summary>MNIST.</summary>
    public static NamedDataset Digits { get; } = Define(
        "MNIST", "handwritten digits", "mnist", "http://yann.lecun.com/exdb/mnist/", DigitsAddress,
        "f68b3c2dcbeaaa9fbdd348bbdeb94873", "d53e105ee54ea40749a09fcbcd1e9432", "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c");

    /// <summary>Fashion-MNIST.</summary>
    public static NamedDataset Fashion { get; } = Define(
        "FashionMNIST", "pieces of clothing", "fashion-mnist", "https://github.com/zalandoresearch/fashion-mnist", FashionAddress,
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d", "25c81989df183df01b3e8a0aad5dffbe", "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310");

    private static NamedDataset Define(string name, string subject, string table, string source, string address,
        params string[] md5) => new()
        {
            Name = name,
            Subject = subject,
            Classes = 10,
            Counts = new DatasetCounts(60000, 10000),
            Source = source,
            Folders = [name, table],
            Archives = [table + "."],
            Layouts =
        [
            new("original, torchvision",
                $"{name}/raw/train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte"),
            new("publisher", $"{name}/train-images-idx3-ubyte.gz, ..."),
            new("Kaggle", $"{name}/train-images.idx3-ubyte, ...; {name}/{table}_train.csv, {table}_test.csv"),
        ],
            Downloads =
        [
            .. ((string[])["train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1"]).Select(
                (file, i) => new DatasetFile($"{address}{file}-ubyte.gz", $"{name}/raw/{file}-ubyte.gz") { Md5 = md5[i] }),
        ],
            Open = (place, split) => Open(place, split, table),
        };

    private static GrayDataset Open(DataPlace place, DatasetSplit split, string table)
    {
        string part = split == DatasetSplit.Train ? "train" : "t10k";
        IReadOnlyList<string> classNames = ZeroShotPrompts.For(place.Set.Name).ClassNames;
        if (Idx(place, $"{part}-images", "idx3") is { } images)
            return Read(place, images, Idx(place, $"{part}-labels", "idx1") ?? throw place.Missing($"{part}-labels-idx1-ubyte"),
                classNames);
        string csv = $"{table}_{(split == DatasetSplit.Train ? "train" : "test")}.csv";
        return place.File(csv) is { } file ? ReadTable(place, file, classNames) : throw place.Missing($"{part}-images-idx3-ubyte");
    }

    private static string? Idx(DataPlace place, string part, string kind)
    {
        string dashed = $"{part}-{kind}-ubyte", dotted = $"{part}.{kind}-ubyte";
        return place.File("raw/" + dashed, "raw/" + dashed + ".gz", dashed, dashed + ".gz", dotted, dotted + ".gz");
    }

    private static GrayDataset Read(DataPlace place, string imageFile, string labelFile, IReadOnlyList<string> classNames)
    {
        (string imagePath, string labelPath, string name) = (place.Describe(imageFile), place.Describe(labelFile), place.Set.Name);
        (int[] shape, byte[] images) = IdxFile.Read(place, imageFile, 3);
        (int[] _, byte[] labels) = IdxFile.Read(place, labelFile, 1);
        if (shape[1] > MostPixelsPerSide || shape[2] > MostPixelsPerSide)
            throw new InputException($"{imagePath}: images of {shape[2]} x {shape[1]} pixels, {name} has 28 x 28; is it the right file?");
        if (shape[0] != labels.Length)
            throw new InputException(
                $"{labelPath}: {labels.Length} labels for the {shape[0]} images of {FileTree.NameOf(imageFile)}; both must be of the "
                + "same split");
        int wrong = labels.AsSpan().IndexOfAnyExceptInRange((byte)0, (byte)(classNames.Count - 1));
        if (wrong >= 0)
            throw new InputException(
                $"{labelPath}: label {wrong} is {labels[wrong]}, {name} has the classes 0 to {classNames.Count - 1}; "
                + "download the file again");
        return new GrayDataset(place, imageFile, classNames, images, labels, shape[1], shape[2]);
    }

    private static GrayDataset ReadTable(DataPlace place, string file, IReadOnlyList<string> classNames)
    {
        string name = place.Describe(file);
        List<byte> labels = [];
        using MemoryStream pixels = new();
        foreach ((int number, string line) in place.ReadLines(file))
        {
            if (number == 1 && line.StartsWith("label", StringComparison.OrdinalIgnoreCase)) continue;
            byte[] row = Row(line, (Side * Side) + 1)
                ?? throw new InputException(
                    $"{name}: line {number} is not a label and {Side * Side} gray values from 0 to 255, separated by commas");
            if (row[0] >= classNames.Count)
                throw new InputException(
                    $"{name}: line {number} has label {row[0]}, {place.Set.Name} has the classes 0 to {classNames.Count - 1}");
            labels.Add(row[0]);
            pixels.Write(row.AsSpan(1));
        }
        if (labels.Count == 0) throw new InputException($"{name}: holds no images");
        return new GrayDataset(place, file, classNames, pixels.ToArray(), [.. labels], Side, Side);
    }

    private static byte[]? Row(string line, int cells)
    {
        byte[] row = new byte[cells];
        int cell = 0;
        foreach (Range range in line.AsSpan().Split(','))
        {
            if (cell == cells
                || !byte.TryParse(line.AsSpan()[range], NumberStyles.None, CultureInfo.InvariantCulture, out row[cell++])) return null;
        }
        return cell == cells ? row : null;
    }
}
