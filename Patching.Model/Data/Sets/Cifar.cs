using Patching.Model.Pickle;

namespace Patching.Model.Data.Sets;

/// <summary>
/// CIFAR-10 and CIFAR-100: 32 x 32 colour images. The "python version" is pickled dictionaries with <c>data</c> (uint8 [n, 3072]) and
/// <c>labels</c> or <c>fine_labels</c>, the "binary version" records of one or two label bytes and 3072 pixel bytes. A batch may hold any
/// number of images, and any training batches may be missing.
/// </summary>
internal static class Cifar
{
    private const int Side = 32;
    private const int ImageBytes = 3 * Side * Side;
    private const string Address = "https://www.cs.toronto.edu/~kriz/";

    private static readonly string[] TrainingBatches = [.. Enumerable.Range(1, 5).Select(i => $"data_batch_{i}")];

    /// <summary>CIFAR-10.</summary>
    public static NamedDataset Ten { get; } = new()
    {
        Name = "CIFAR10",
        Subject = "small photos of animals and vehicles",
        Classes = 10,
        Counts = new DatasetCounts(50000, 10000),
        Source = Address + "cifar.html",
        Folders = ["cifar-10-batches-py", "cifar-10-batches-bin", "cifar10", "cifar-10"],
        Archives = ["cifar-10", "cifar10"],
        Layouts =
        [
            new("original, torchvision", "cifar-10-batches-py/data_batch_1 .. data_batch_5, test_batch"),
            new("publisher", "cifar-10-python.tar.gz or cifar-10-binary.tar.gz; cifar-10-batches-bin/data_batch_1.bin .. test_batch.bin"),
            new("Kaggle", "cifar10/train/CLASS/*.png, cifar10/test/CLASS/*.png"),
        ],
        Downloads = [new(Address + "cifar-10-python.tar.gz", "cifar-10-python.tar.gz") { Md5 = "c58f30108f718f92721af3b95e74349a" }],
        Open = (place, split) => Open(place, split, "labels", split == DatasetSplit.Train ? TrainingBatches
            : ["test_batch"], labelBytes: 1),
    };

    /// <summary>CIFAR-100.</summary>
    public static NamedDataset Hundred { get; } = new()
    {
        Name = "CIFAR100",
        Subject = "small photos of animals, plants, vehicles and things",
        Classes = 100,
        Counts = new DatasetCounts(50000, 10000),
        Source = Address + "cifar.html",
        Folders = ["cifar-100-python", "cifar-100-binary", "cifar100", "cifar-100"],
        Archives = ["cifar-100", "cifar100"],
        Layouts =
        [
            new("original, torchvision", "cifar-100-python/train, test"),
            new("publisher", "cifar-100-python.tar.gz or cifar-100-binary.tar.gz; cifar-100-binary/train.bin, test.bin"),
            new("Kaggle", "cifar100/train/CLASS/*.png, cifar100/test/CLASS/*.png"),
        ],
        Downloads = [new(Address + "cifar-100-python.tar.gz", "cifar-100-python.tar.gz") { Md5 = "eb9058c3a382ffc7106e4002c42a8d85" }],
        Open = (place, split) => Open(place, split, "fine_labels", [split == DatasetSplit.Train ? "train" : "test"], labelBytes: 2),
    };

    private static ImageDataset Open(DataPlace place, DatasetSplit split, string labelEntry, string[] batches, int labelBytes)
    {
        IReadOnlyList<string> classNames = ZeroShotPrompts.For(place.Set.Name).ClassNames;
        List<PlanarPart> parts = [.. batches.Select(batch => place.File(batch)).OfType<string>()
            .Select(file => ReadPickle(place, file, labelEntry))];
        if (parts.Count == 0)
            parts = [.. batches.Select(batch => place.File(batch + ".bin")).OfType<string>()
                .Select(file => ReadBinary(place, file, labelBytes))];
        if (parts.Count > 0) return new PlanarDataset(place, classNames, Side, columnsFirst: false, parts);
        string? folder = split == DatasetSplit.Train ? place.Folder("train") : place.Folder("test", "val");
        if (folder is null) throw place.Missing(batches[0]);
        ImageList list = new();
        list.AddClassFolders(place, folder, new ClassIndex(classNames).Find);
        return list.Complete(place, split, classNames, folder);
    }

    private static PlanarPart ReadBinary(DataPlace place, string file, int labelBytes)
    {
        ReadOnlySpan<byte> bytes = place.Read(file).Span;
        int record = labelBytes + ImageBytes;
        if (bytes.Length % record != 0)
            throw new InputException(
                $"{place.Describe(file)}: {bytes.Length} bytes are no whole number of records of {record} bytes; download it again");
        int[] labels = new int[bytes.Length / record];
        byte[] pixels = new byte[labels.Length * ImageBytes];
        for (int i = 0; i < labels.Length; i++)
        {
            // CIFAR-100 has the coarse label first.
            labels[i] = bytes[(i * record) + labelBytes - 1];
            bytes.Slice((i * record) + labelBytes, ImageBytes).CopyTo(pixels.AsSpan(i * ImageBytes));
        }
        return new PlanarPart(file, pixels, labels);
    }

    private static PlanarPart ReadPickle(DataPlace place, string file, string labelEntry)
    {
        string name = place.Describe(file);
        if (PickleReader.Read(name, place.Read(file), new NumpyVocabulary()) is not Dictionary<string, object?> entries)
            throw new InputException($"{name}: holds no dictionary, a CIFAR batch is one");
        return new PlanarPart(file, Pixels(name, entries), Labels(name, entries, labelEntry));
    }

    private static ReadOnlyMemory<byte> Pixels(string name, Dictionary<string, object?> entries)
    {
        if (!entries.TryGetValue("data", out object? data)) throw new InputException($"{name}: has no entry 'data'; is it a CIFAR batch?");
        ReadOnlyMemory<byte> pixels = data switch
        {
            ReadOnlyMemory<byte> raw => raw,
            PickledArray { ElementType: "u1", Shape: [var count, ImageBytes] } array when array.Data.Length == (long)count * ImageBytes
                => array.Data,
            _ => throw new InputException($"{name}: 'data' is not a whole uint8 array of [images, {ImageBytes}]; is it a CIFAR batch?"),
        };
        if (pixels.IsEmpty || pixels.Length % ImageBytes != 0)
            throw new InputException(
                $"{name}: 'data' has {pixels.Length} bytes, not a positive multiple of {ImageBytes}; is it a CIFAR batch?");
        return pixels;
    }

    private static int[] Labels(string name, Dictionary<string, object?> entries, string labelEntry)
    {
        if (!entries.TryGetValue(labelEntry, out object? value) || value is not List<object?> list)
            throw new InputException($"{name}: has no list '{labelEntry}'; is it a CIFAR batch of the right kind?");
        int[] labels = new int[list.Count];
        for (int i = 0; i < labels.Length; i++)
        {
            labels[i] = list[i] is long label and >= int.MinValue and <= int.MaxValue
                ? (int)label
                : throw new InputException($"{name}: label {i} is no number");
        }
        return labels;
    }
}
