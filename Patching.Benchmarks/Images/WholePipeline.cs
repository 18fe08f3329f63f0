using System.Security.Cryptography;
using System.Text.Json.Nodes;
using Patching.Benchmarks.Gpu;
using Patching.Model.Data;
using Patching.Model.Images;

namespace Patching.Benchmarks.Images;

/// <summary>A pass of the batch pipeline over many images, on some or all cores.</summary>
internal sealed class WholePipeline
{
    private const int Batch = 64;

    private readonly IReadOnlyList<string> photos;
    private readonly PeerProcess peer;
    private readonly int images;
    private readonly int size;
    private readonly string cacheFolder;
    private readonly PhotoDataset dataset;

    /// <summary>Makes a data set of so many images out of the photos.</summary>
    public WholePipeline(IReadOnlyList<string> photos, PeerProcess peer, int images, int size, string cacheFolder)
    {
        (this.photos, this.peer, this.images, this.size, this.cacheFolder) = (photos, peer, images, size, cacheFolder);
        dataset = new PhotoDataset(photos, images);
    }

    /// <summary>The images as the model's passes see them.</summary>
    public ImageDataset Dataset => dataset;

    /// <summary>Files to batches of bytes for evaluation.</summary>
    public Contest Evaluation(int workers) => new($"files to batches, {workers} workers", images, Math.Min(workers, Environment.ProcessorCount),
    [
        Entrant.Of("patching", EntrantKind.Ours, () => Pass(dataset, workers, training: false)),
        Entrant.Of("torchvision DataLoader, uint8", peer, Job("loader", workers)),
        Entrant.Of("torchvision DataLoader, ToTensor and Normalize", peer, Job("normalized", workers)),
    ]);

    /// <summary>The same from a cache, and training's passes.</summary>
    public Contest Cached(int workers)
    {
        ImageCache cache = new(cacheFolder);
        ImageDataset squares = cache.ForEvaluation(dataset, Options(workers)), whole = cache.ForTraining(dataset, Options(workers));
        return new Contest($"with --cache, {workers} workers", images, Math.Min(workers, Environment.ProcessorCount),
        [
            Entrant.Of("evaluation, cached", EntrantKind.Ours, () => Pass(squares, workers, training: false)),
            Entrant.Of("evaluation", EntrantKind.Ours, () => Pass(dataset, workers, training: false)),
            Entrant.Of("training crops, cached", EntrantKind.Ours, () => Pass(whole, workers, training: true)),
            Entrant.Of("training crops", EntrantKind.Ours, () => Pass(dataset, workers, training: true)),
        ]);
    }

    /// <summary>Whether the peer's squares have the same bits, in words.</summary>
    public string CompareBits()
    {
        ImagePreprocessor preprocessor = new(size);
        byte[] square = new byte[preprocessor.OutputBytes];
        using IncrementalHash hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        foreach (string photo in photos)
        {
            preprocessor.Apply(ImageDecoder.DecodeFile(photo), square);
            hash.AppendData(square);
        }
        string ours = Convert.ToHexStringLower(hash.GetHashAndReset());
        PeerAnswer answer = peer.Ask(new JsonObject { ["work"] = "digest", ["size"] = size, ["files"] = Files(photos) });
        if (answer.Failure is { } failure) return $"not compared: {failure}";
        return answer.Values["text"]!.GetValue<string>() == ours ? $"the same bits (SHA-256 of all squares {ours[..16]}...)" : "DIFFERENT BITS";
    }

    private static JsonArray Files(IEnumerable<string> files) => new([.. files.Select(file => (JsonNode)file)]);

    private BatchOptions Options(int workers) => new(Batch, size) { Workers = workers };

    private void Pass(ImageDataset from, int workers, bool training)
    {
        using BatchPipeline pipeline = training
            ? BatchPipeline.ForTraining(from, Options(workers), seed: 1, epoch: 0)
            : BatchPipeline.ForEvaluation(from, Options(workers));
        while (pipeline.Next() is { } batch) batch.Dispose();
    }

    private JsonObject Job(string work, int workers) => new()
    {
        ["work"] = work,
        ["size"] = size,
        ["workers"] = workers,
        ["batch"] = Batch,
        ["files"] = Files(Enumerable.Range(0, images).Select(i => photos[i % photos.Count])),
    };

    /// <summary>The photos over and over; class i modulo 10.</summary>
    private sealed class PhotoDataset(IReadOnlyList<string> photos, int count)
        : ImageDataset("photos", [.. Enumerable.Range(0, 10).Select(i => $"class {i}")])
    {
        public override int Count => count;

        public override int Label(int index) => index % 10;

        public override RgbImage Load(int index) => ImageDecoder.DecodeFile(SourceFile(index));

        public override string SourceFile(int index) => photos[index % photos.Count];

        public override string Describe(int index) => $"{SourceFile(index)} again {index / photos.Count}";
    }
}
