using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Patching.Model.Data;
using Patching.Model.Weights;

namespace Patching.Model.Evaluation;

/// <summary>
/// What every alpha says of every image of a data set, as a safetensors file beside the results: whatever can be asked about an evaluation (flips, confusions, classes, calibration) can be
/// answered from it without the models. Tensors: <c>labels</c> [N] I32; <c>predictions</c> [A, N] I32, -1 for an image that cannot be read; <c>confidence</c> [A, N] F32, the softmax at the
/// predicted class; <c>thumbnails</c> [K, 64, 64, 3] U8 of images whose prediction differs between the smallest and the largest alpha, and their places, <c>thumbnail_index</c> [K] I32.
/// Metadata: <c>dataset</c>, <c>class_names</c> and <c>alphas</c> as JSON.
/// </summary>
public sealed record PredictionFile
{
    private const string DatasetKey = "dataset";
    private const string ClassNamesKey = "class_names";
    private const string AlphasKey = "alphas";
    private const int HashDigits = 16;

    private PredictionFile()
    {
    }

    /// <summary>The file.</summary>
    public required string Path { get; init; }

    /// <summary>Name of the data set.</summary>
    public required string Dataset { get; init; }

    /// <summary>Name of every class.</summary>
    public required IReadOnlyList<string> ClassNames { get; init; }

    /// <summary>The alphas, in the order of their rows.</summary>
    public required IReadOnlyList<double> Alphas { get; init; }

    /// <summary>Right class of every image.</summary>
    public required int[] Labels { get; init; }

    /// <summary>Predicted classes, a row per alpha; -1 for an image that cannot be read.</summary>
    public required int[][] Predictions { get; init; }

    /// <summary>Softmax at the predicted class, a row per alpha; 0 for an image that cannot be read, NaN where the logits are no numbers.</summary>
    public required float[][] Confidences { get; init; }

    /// <summary>Pixels [K, 64, 64, 3] of some images whose prediction flips, red first.</summary>
    public required byte[] Thumbnails { get; init; }

    /// <summary>Places [K] of these images in the data set, rising.</summary>
    public required int[] ThumbnailIndices { get; init; }

    /// <summary>
    /// Writes the predictions of one data set, complete or not at all. The name holds a hash of the contents: another evaluation gets another file, and the same one finds it there already.
    /// </summary>
    /// <param name="folder">Where the file goes; made if need be.</param>
    /// <param name="dataset">The data set.</param>
    /// <param name="alphas">The alphas.</param>
    /// <param name="scores">What each of them said.</param>
    /// <returns>The file's path.</returns>
    /// <exception cref="InputException">The file cannot be written.</exception>
    public static string Write(string folder, ImageDataset dataset, IReadOnlyList<double> alphas, IReadOnlyList<EvaluationScore> scores)
    {
        Dictionary<string, string> metadata = new()
        {
            [DatasetKey] = dataset.Name,
            [ClassNamesKey] = JsonSerializer.Serialize(dataset.ClassNames),
            [AlphasKey] = JsonSerializer.Serialize(alphas),
        };
        int[] labels = [.. Enumerable.Range(0, dataset.Count).Select(dataset.Label)];
        string path = System.IO.Path.Combine(folder, $"{DatasetCatalog.FileName(dataset.Name)}-{Hash(metadata, labels, scores)[..HashDigits]}.safetensors");
        if (File.Exists(path)) return path;
        int[] ends = [.. Enumerable.Range(0, alphas.Count).OrderBy(a => alphas[a])];
        FlippedImages flipped = FlippedImages.Choose(dataset, labels, scores[ends[0]].Predictions, scores[ends[^1]].Predictions);
        long images = labels.Length, thumbnails = flipped.Indices.Length;
        SafetensorsTensor[] tensors =
        [
            new("labels", SafetensorsType.I32, [images]), new("predictions", SafetensorsType.I32, [scores.Count, images]), new("confidence", SafetensorsType.F32, [scores.Count, images]),
            new("thumbnails", SafetensorsType.U8, [thumbnails, FlippedImages.Side, FlippedImages.Side, 3]), new("thumbnail_index", SafetensorsType.I32, [thumbnails]),
        ];
        Directory.CreateDirectory(folder);
        using SafetensorsWriter writer = new(path, metadata, tensors, overwrite: true);
        writer.WriteBits<int>(labels);
        foreach (EvaluationScore score in scores) writer.WriteBits<int>(score.Predictions);
        foreach (EvaluationScore score in scores) writer.WriteBits<float>(score.Confidences);
        writer.WriteBits<byte>(flipped.Pixels);
        writer.WriteBits<int>(flipped.Indices);
        writer.Complete();
        return path;
    }

    /// <summary>Reads a file.</summary>
    /// <exception cref="InputException">The file cannot be read, or is not what <see cref="Write"/> makes.</exception>
    public static PredictionFile Read(string path)
    {
        using SafetensorsFile file = SafetensorsFile.Open(path);
        string dataset = Text(file, DatasetKey);
        string[] classNames = Parse<string>(file, ClassNamesKey);
        double[] alphas = Parse<double>(file, AlphasKey);
        int images = (int)Shape(file, "labels", 1)[0], thumbnails = (int)Shape(file, "thumbnail_index", 1)[0];
        int[] labels = Values<int>(file, "labels", SafetensorsType.I32, images), indices = Values<int>(file, "thumbnail_index", SafetensorsType.I32, thumbnails);
        int[] predictions = Values<int>(file, "predictions", SafetensorsType.I32, alphas.Length, images);
        float[] confidences = Values<float>(file, "confidence", SafetensorsType.F32, alphas.Length, images);
        Require(file, alphas.Length > 0 && images > 0, "holds no predictions");
        Require(file, Array.TrueForAll(labels, label => label >= 0 && label < classNames.Length), "has labels without a class name");
        Require(file, Array.TrueForAll(predictions, predicted => predicted >= -1 && predicted < classNames.Length), "predicts classes without a name");
        Require(file, Array.TrueForAll(confidences, confidence => confidence is (>= 0 and <= 1) or float.NaN), "has confidences that are no shares");
        Require(file, Array.TrueForAll(indices, index => index >= 0 && index < images), "has thumbnails of images that do not exist");
        return new PredictionFile
        {
            Path = path,
            Dataset = dataset,
            ClassNames = classNames,
            Alphas = alphas,
            Labels = labels,
            Predictions = [.. predictions.Chunk(images)],
            Confidences = [.. confidences.Chunk(images)],
            Thumbnails = Values<byte>(file, "thumbnails", SafetensorsType.U8, thumbnails, FlippedImages.Side, FlippedImages.Side, 3),
            ThumbnailIndices = indices,
        };
    }

    /// <summary>Bytes of a file, nearly: with as many thumbnails as there can be.</summary>
    public static long BytesFor(int images, int alphas) =>
        sizeof(int) * (1L + 2L * alphas) * images + FlippedImages.Most * (3L * FlippedImages.Side * FlippedImages.Side + sizeof(int));

    private static string Hash(Dictionary<string, string> metadata, int[] labels, IReadOnlyList<EvaluationScore> scores)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string text in metadata.Values) hash.AppendData(Encoding.UTF8.GetBytes(text + "\0"));
        hash.AppendData(MemoryMarshal.AsBytes<int>(labels));
        foreach (EvaluationScore score in scores)
        {
            hash.AppendData(MemoryMarshal.AsBytes<int>(score.Predictions));
            hash.AppendData(MemoryMarshal.AsBytes<float>(score.Confidences));
        }
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static string Text(SafetensorsFile file, string key) => file.Metadata.TryGetValue(key, out string? text)
        ? text
        : throw new InputException($"{file.Path}: holds no predictions; patching patch writes such files below --save");

    private static T[] Parse<T>(SafetensorsFile file, string key)
    {
        try
        {
            T[]? values = JsonSerializer.Deserialize<T[]>(Text(file, key));
            Require(file, values is not null && Array.TrueForAll(values, value => value is not null), $"its {key} is no list");
            return values!;
        }
        catch (JsonException error)
        {
            throw new InputException($"{file.Path}: its {key} is no list; the file is damaged", error);
        }
    }

    private static IReadOnlyList<long> Shape(SafetensorsFile file, string name, int rank)
    {
        Require(file, file.Tensors.TryGetValue(name, out TensorEntry? entry) && entry.Shape.Length == rank && entry.Elements <= int.MaxValue, $"lacks {name}");
        return file.Tensors[name].Shape;
    }

    private static T[] Values<T>(SafetensorsFile file, string name, SafetensorsType type, params long[] shape)
        where T : unmanaged
    {
        Require(file, Shape(file, name, shape.Length).SequenceEqual(shape) && file.Tensors[name].DType == type, $"its {name} is not {type} [{string.Join(", ", shape)}]");
        return MemoryMarshal.Cast<byte, T>(file.Bytes(name)).ToArray();
    }

    private static void Require(SafetensorsFile file, bool holds, string problem)
    {
        if (!holds) throw new InputException($"{file.Path}: {problem}; the file is damaged");
    }
}
