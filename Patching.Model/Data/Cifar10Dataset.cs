using Patching.Model.Images;
using Patching.Model.Pickle;

namespace Patching.Model.Data;

/// <summary>
/// CIFAR-10 in its "python version": <c>&lt;data location&gt;/cifar-10-batches-py/data_batch_1 .. data_batch_5</c> and <c>test_batch</c>,
/// each a pickled dictionary with <c>data</c> (uint8 [n, 3072]: 32 x 32 red, then green, then blue) and <c>labels</c>. Batches may hold any
/// number of images. All are kept in memory.
/// </summary>
internal sealed class Cifar10Dataset : ImageDataset
{
    private const int Side = 32;
    private const int PlaneBytes = Side * Side;
    private const int ImageBytes = 3 * PlaneBytes;
    private const string Folder = "cifar-10-batches-py";

    private readonly List<Batch> batches;
    private readonly int[] firstOfBatch;

    private Cifar10Dataset(IReadOnlyList<string> classNames, List<Batch> batches)
        : base("CIFAR10", classNames)
    {
        this.batches = batches;
        firstOfBatch = new int[batches.Count + 1];
        for (int b = 0; b < batches.Count; b++) firstOfBatch[b + 1] = firstOfBatch[b] + batches[b].Labels.Length;
    }

    /// <summary>Reads and checks one split.</summary>
    /// <exception cref="InputException">Files are missing, damaged or hold anything but plain data.</exception>
    public static Cifar10Dataset Open(DatasetSplit split, string dataLocation)
    {
        string folder = Path.Combine(dataLocation, Folder);
        IReadOnlyList<string> classNames = ZeroShotPrompts.For("CIFAR10").ClassNames;
        string[] names = split == DatasetSplit.Test ? ["test_batch"] : [.. Enumerable.Range(1, 5).Select(i => $"data_batch_{i}")];
        List<Batch> batches = [];
        foreach (string name in names) batches.Add(ReadBatch(Path.Combine(folder, name), classNames.Count));
        return new Cifar10Dataset(classNames, batches);
    }

    /// <inheritdoc/>
    public override int Count => firstOfBatch[^1];

    /// <inheritdoc/>
    public override int Label(int index)
    {
        (Batch batch, int at) = Locate(index);
        return batch.Labels[at];
    }

    /// <inheritdoc/>
    public override RgbImage Load(int index)
    {
        (Batch batch, int at) = Locate(index);
        ReadOnlySpan<byte> planes = batch.Pixels.Span.Slice(at * ImageBytes, ImageBytes);
        ReadOnlySpan<byte> red = planes[..PlaneBytes];
        ReadOnlySpan<byte> green = planes.Slice(PlaneBytes, PlaneBytes);
        ReadOnlySpan<byte> blue = planes.Slice(2 * PlaneBytes, PlaneBytes);
        byte[] rgb = GC.AllocateUninitializedArray<byte>(ImageBytes);
        for (int i = 0; i < PlaneBytes; i++)
        {
            rgb[3 * i] = red[i];
            rgb[(3 * i) + 1] = green[i];
            rgb[(3 * i) + 2] = blue[i];
        }
        return new RgbImage(Side, Side, rgb);
    }

    /// <inheritdoc/>
    public override bool IsDecoded => true;

    /// <inheritdoc/>
    public override string SourceFile(int index) => Locate(index).Batch.Path;

    /// <inheritdoc/>
    public override string Describe(int index)
    {
        (Batch batch, int at) = Locate(index);
        return $"{Path.GetFileName(batch.Path)}[{at}]";
    }

    private (Batch Batch, int Index) Locate(int index)
    {
        int b = 0;
        while (index >= firstOfBatch[b + 1]) b++;
        return (batches[b], index - firstOfBatch[b]);
    }

    private static Batch ReadBatch(string path, int classes)
    {
        if (!File.Exists(path))
            throw new InputException(
                $"CIFAR10: {path} does not exist; unpack cifar-10-python.tar.gz so that DATA/{Folder}/{Path.GetFileName(path)} exists "
                + "and give DATA as --data-location");
        byte[] file;
        try
        {
            file = File.ReadAllBytes(path);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{path}: cannot be read ({OneLine.Of(e)})", e);
        }

        if (PickleReader.Read(path, file, new NumpyVocabulary()) is not Dictionary<string, object?> entries)
            throw new InputException($"{path}: holds no dictionary, a CIFAR-10 batch is one");
        ReadOnlyMemory<byte> pixels = Pixels(path, entries);
        byte[] labels = Labels(path, entries, classes);
        if (pixels.Length != (long)labels.Length * ImageBytes)
            throw new InputException(
                $"{path}: {labels.Length} labels for {pixels.Length / ImageBytes} images; download the data set again");
        return new Batch(path, pixels, labels);
    }

    private static ReadOnlyMemory<byte> Pixels(string path, Dictionary<string, object?> entries)
    {
        if (!entries.TryGetValue("data", out object? data))
            throw new InputException($"{path}: has no entry 'data'; is it a CIFAR-10 batch?");
        ReadOnlyMemory<byte> pixels = data switch
        {
            ReadOnlyMemory<byte> raw => raw,
            PickledArray { ElementType: "u1", Shape: [var count, ImageBytes] } array when array.Data.Length == (long)count * ImageBytes
                => array.Data,
            _ => throw new InputException($"{path}: 'data' is not a whole uint8 array of [images, {ImageBytes}]; is it a CIFAR-10 batch?"),
        };
        if (pixels.IsEmpty || pixels.Length % ImageBytes != 0)
            throw new InputException(
                $"{path}: 'data' has {pixels.Length} bytes, not a positive multiple of {ImageBytes}; is it a CIFAR-10 batch?");
        return pixels;
    }

    private static byte[] Labels(string path, Dictionary<string, object?> entries, int classes)
    {
        if (!entries.TryGetValue("labels", out object? value) || value is not List<object?> list)
            throw new InputException($"{path}: has no list 'labels'; is it a CIFAR-10 batch?");
        byte[] labels = new byte[list.Count];
        for (int i = 0; i < labels.Length; i++)
        {
            if (list[i] is not long label || label < 0 || label >= classes)
                throw new InputException(
                    $"{path}: label {i} is {list[i] as long? ?? (object)"no number"}, CIFAR10 has the classes 0 to {classes - 1}");
            labels[i] = (byte)label;
        }
        return labels;
    }

    private sealed record Batch(string Path, ReadOnlyMemory<byte> Pixels, byte[] Labels);
}
