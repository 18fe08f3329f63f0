using System.Security.Cryptography;
using System.Text;
using Patching.Model.Clip;
using Patching.Model.Data;
using Patching.Model.Weights;

namespace Patching.Model.Pipeline;

/// <summary>
/// Zero-shot heads in memory and on disk, so that a head is built once per model and task. A head's key is the hash of everything it is made from but the
/// tokenizer, which belongs to the model: weights, architecture and precision, templates, class names; a file whose key differs is not used.
/// </summary>
/// <param name="directory">Where heads are kept; null keeps them in memory only.</param>
public sealed class HeadCache(string? directory)
{
    private const string KeyName = "head_key";

    private readonly Dictionary<string, ZeroShotHead> built = [];

    /// <summary>Hash of what the head of a data set is made from, in hexadecimal.</summary>
    /// <param name="model">The model.</param>
    /// <param name="dataset">The data set; its name and class names count.</param>
    /// <param name="tuned">What became of the model's text tower where it is not the checkpoint's.</param>
    public string Key(ClipModel model, ImageDataset dataset, string? tuned = null)
    {
        // The same weights with another activation or pooling rule, which the user or config.json can choose, give another head.
        string architecture = Encoding.UTF8.GetString(
            model.Config.Image is ResNetConfig
                ? OpenClipConfig.Write(model.Config, model.Checkpoint.Preprocess, indented: false)
                : HuggingFaceConfig.WriteConfig(model.Config, "float32", indented: false));
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        IReadOnlyList<string> templates = dataset.Templates;
        // Keys of single precision name none: they are older than the choice.
        string[] precision = model.Precision == TowerPrecision.Float32 ? [] : ["precision", model.Precision.Name()];
        foreach (string part in (string[])[model.Checkpoint.Sha256, architecture, .. precision, .. (string[])(tuned is null ? [] : ["tuned", tuned]), "classes", .. dataset.ClassNames, "templates", .. templates])
            hash.AppendData(Encoding.UTF8.GetBytes(part + "\0"));
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>The head of a data set: read where it is cached, otherwise built and cached.</summary>
    /// <param name="model">The model whose text tower encodes the prompts.</param>
    /// <param name="dataset">The data set; its class names count.</param>
    public (ZeroShotHead Head, string Key) Get(ClipModel model, ImageDataset dataset)
    {
        string key = Key(model, dataset);
        if (!built.TryGetValue(key, out ZeroShotHead? head)) built[key] = head = directory is null ? Build(model, dataset) : Get(model, dataset, directory, key);
        return (head, key);
    }

    /// <summary>Whether the head of a data set need not be built.</summary>
    public bool Has(ClipModel model, ImageDataset dataset)
    {
        string key = Key(model, dataset);
        return built.ContainsKey(key) || (directory is not null && Read(PathOf(directory, dataset, key), key, dataset.ClassNames.Count, model.Config.EmbeddingWidth) is not null);
    }

    private static ZeroShotHead Build(ClipModel model, ImageDataset dataset) =>
        model.BuildHead(dataset.ClassNames, dataset.Templates);

    private static ZeroShotHead Get(ClipModel model, ImageDataset dataset, string directory, string key)
    {
        string path = PathOf(directory, dataset, key);
        if (Read(path, key, dataset.ClassNames.Count, model.Config.EmbeddingWidth) is { } cached) return cached;
        ZeroShotHead head = Build(model, dataset);
        Write(path, key, head);
        return head;
    }

    private static ZeroShotHead? Read(string path, string key, int classes, int embeddingWidth)
    {
        if (!File.Exists(path)) return null;
        try
        {
            using SafetensorsFile file = SafetensorsFile.Open(path);
            if (!file.Metadata.TryGetValue(KeyName, out string? stored) || stored != key || !file.Tensors.ContainsKey("weight")) return null;
            float[] weights = new float[classes * embeddingWidth];
            if (file.Tensors["weight"].Elements != weights.Length) return null;
            file.ReadFloat32("weight", weights);
            if (FloatConversion.CountNonFinite(weights) > 0) return null;
            return new ZeroShotHead(weights, classes, embeddingWidth);
        }
        catch (InputException)
        {
            // A damaged cache entry is no reason to stop: the head can be made again.
            return null;
        }
    }

    private static void Write(string path, string key, ZeroShotHead head)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        Dictionary<string, string> metadata = new() { [KeyName] = key };
        using SafetensorsWriter writer = new(path, metadata, [new SafetensorsTensor("weight", SafetensorsType.F32, [head.Classes, head.EmbeddingWidth])], overwrite: true);
        writer.Write(head.Weights);
        writer.Complete();
    }

    private static string PathOf(string directory, ImageDataset dataset, string key) => Path.Combine(directory, $"{FileName(dataset.Name)}-{key[..12]}.safetensors");

    private static string FileName(string dataset) => string.Concat(dataset.Select(c => char.IsAsciiLetterOrDigit(c) ? c : '_'));
}
