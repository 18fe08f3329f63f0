using System.Security.Cryptography;
using System.Text;
using Patching.Model.Clip;
using Patching.Model.Data;
using Patching.Model.Weights;

namespace Patching.Model.Pipeline;

/// <summary>
/// Zero-shot heads on disk, so that a head is built once per model and task. A head's key is the hash of everything it is made from: the model's weights, the
/// templates and the class names; a file whose key differs is not used.
/// </summary>
/// <param name="directory">Where heads are kept; null keeps them in memory only.</param>
public sealed class HeadCache(string? directory)
{
    private const string KeyName = "head_key";

    /// <summary>Hash of what a head is made from, in hexadecimal.</summary>
    public static string Key(string modelSha256, IReadOnlyList<string> classNames, IReadOnlyList<string> templates)
    {
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string part in (string[])[modelSha256, "classes", .. classNames, "templates", .. templates])
            hash.AppendData(Encoding.UTF8.GetBytes(part + "\0"));
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    /// <summary>The head of a data set: read where it is cached, otherwise built and cached.</summary>
    /// <param name="model">The model whose text tower encodes the prompts.</param>
    /// <param name="dataset">The data set; its class names count.</param>
    public (ZeroShotHead Head, string Key) Get(ClipModel model, ImageDataset dataset)
    {
        IReadOnlyList<string> templates = ZeroShotPrompts.For(dataset.Name).Templates;
        string key = Key(model.Checkpoint.Sha256, dataset.ClassNames, templates);
        if (directory is null) return (model.BuildHead(dataset.ClassNames, templates), key);
        string path = Path.Combine(directory, $"{FileName(dataset.Name)}-{key[..12]}.safetensors");
        if (File.Exists(path) && Read(path, key, dataset.ClassNames.Count, model.Config.EmbeddingWidth) is { } cached) return (cached, key);
        ZeroShotHead head = model.BuildHead(dataset.ClassNames, templates);
        Write(path, key, head);
        return (head, key);
    }

    private static ZeroShotHead? Read(string path, string key, int classes, int embeddingWidth)
    {
        try
        {
            using SafetensorsFile file = SafetensorsFile.Open(path);
            if (!file.Metadata.TryGetValue(KeyName, out string? stored) || stored != key || !file.Tensors.ContainsKey("weight")) return null;
            float[] weights = new float[classes * embeddingWidth];
            if (file.Tensors["weight"].Elements != weights.Length) return null;
            file.ReadFloat32("weight", weights);
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

    private static string FileName(string dataset) => string.Concat(dataset.Select(c => char.IsAsciiLetterOrDigit(c) ? c : '_'));
}
