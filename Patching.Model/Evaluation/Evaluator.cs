using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Data;

namespace Patching.Model.Evaluation;

/// <summary>What one model scored on one data set.</summary>
/// <param name="Dataset">The data set's name.</param>
/// <param name="Correct">Images whose predicted class is their label.</param>
/// <param name="Count">Images seen.</param>
/// <param name="Skipped">Images left out because they cannot be read.</param>
/// <param name="Predictions">Predicted class per image, in the data set's order; -1 for an image that was skipped.</param>
public sealed record EvaluationScore(string Dataset, int Correct, int Count, int Skipped, int[] Predictions)
{
    /// <summary>
    /// Images whose predicted class is the one that is written on them instead of their label; null where nothing is written on the images.
    /// </summary>
    public int? Misled { get; init; }

    /// <summary>SHA-256 of the manifest that names the images; null where none was given.</summary>
    public string? Manifest { get; init; }

    /// <summary>Share of correct predictions, 0 to 1.</summary>
    public double Top1 => Count == 0 ? 0 : (double)Correct / Count;
}

/// <summary>
/// Top-1 accuracy of several candidates (weights for different alpha) on one data set in one pass over its images: each image is decoded and preprocessed once,
/// whatever the number of candidates. Where all their weights fit side by side each image also goes to the device and is cut into patches once.
/// </summary>
public sealed class Evaluator : IDisposable
{
    // Images decoded before the next candidate takes its turn: interpolating the weights once per such group costs little beside the forward passes.
    private const int BatchesPerGroup = 8;

    private readonly ClipModel model;
    private readonly ImageEncoder encoder;
    private readonly BatchOptions batches;

    /// <summary>Allocates the buffers of a forward pass.</summary>
    /// <param name="model">Architecture and engine.</param>
    /// <param name="batches">How images are loaded.</param>
    public Evaluator(ClipModel model, BatchOptions batches)
    {
        this.model = model;
        this.batches = batches;
        encoder = new ImageEncoder(model.Device, model.Config, model.Tower, batches.BatchSize, model.Precision);
    }

    /// <summary>Evaluates every candidate.</summary>
    /// <param name="dataset">Images and labels.</param>
    /// <param name="head">The data set's head.</param>
    /// <param name="candidates">How many sets of weights there are.</param>
    /// <param name="select">Gives the weights of a candidate; it may overwrite what it gave before.</param>
    /// <param name="progress">Called with the forward passes done and to do, in images.</param>
    /// <param name="cancellation">Ends the pass.</param>
    /// <param name="resident">Whether the weights of all candidates stay valid side by side: then every batch is uploaded and unfolded once, too.</param>
    /// <returns>A score per candidate.</returns>
    public EvaluationScore[] Evaluate(
        ImageDataset dataset, ZeroShotHead head, int candidates, Func<int, ImageParameters> select, Action<long, long>? progress = null,
        CancellationToken cancellation = default, bool resident = false)
    {
        using ImageClassifier classifier = new(model.Device, head, batches.BatchSize);
        using PredictionBuffer waiting = new(model.Device, batches.BatchSize);
        using BatchPipeline pipeline = BatchPipeline.ForEvaluation(dataset, GroupOptions(resident ? 1 : candidates), cancellation);
        int[][] predictions = [.. Enumerable.Range(0, candidates).Select(_ => Unseen(dataset.Count))];
        List<ImageBatch> group = [];
        int imageBytes = batches.ImageSize * batches.ImageSize * 3;
        long done = 0, total = (long)dataset.Count * candidates;
        do
        {
            FillGroup(pipeline, group, resident ? 1 : candidates);
            for (int candidate = 0; candidate < candidates && group.Count > 0; candidate++)
            {
                ImageParameters weights = select(candidate);
                foreach (ImageBatch batch in group)
                {
                    cancellation.ThrowIfCancellationRequested();
                    Tensor features = resident && candidate > 0
                        ? encoder.EncodeAgain(weights, batch.Count)
                        : encoder.Encode(weights, batch.Pixels.AsSpan(0, batch.Count * imageBytes), batch.Count);
                    waiting.Add(classifier, features, batch.Indices, predictions[candidate]);
                    done += batch.Count;
                    progress?.Invoke(done, total);
                }
            }
            foreach (ImageBatch batch in group) batch.Dispose();
        }
        while (group.Count > 0);
        waiting.Read();
        if (pipeline.Skipped.Count == dataset.Count)
            throw new InputException($"{dataset.Name}: none of its {dataset.Count} images can be read; {pipeline.Skipped[0].Description}: {pipeline.Skipped[0].Reason}");
        return [.. predictions.Select(predicted => Score(dataset, predicted, pipeline.Skipped.Count))];
    }

    /// <inheritdoc/>
    public void Dispose() => encoder.Dispose();

    private BatchOptions GroupOptions(int candidates) => candidates == 1 ? batches : batches with { Prefetch = Math.Max(batches.Prefetch, BatchesPerGroup) };

    private static void FillGroup(BatchPipeline pipeline, List<ImageBatch> group, int candidates)
    {
        group.Clear();
        int size = candidates == 1 ? 1 : BatchesPerGroup;
        while (group.Count < size && pipeline.Next() is { } batch) group.Add(batch);
    }

    private static EvaluationScore Score(ImageDataset dataset, int[] predictions, int skipped)
    {
        int correct = 0, seen = 0, written = 0, misled = 0;
        for (int i = 0; i < predictions.Length; i++)
        {
            if (predictions[i] >= 0) seen++;
            if (predictions[i] == dataset.Label(i)) correct++;
            if (dataset.WrittenLabel(i) is not { } word) continue;
            written++;
            if (predictions[i] == word) misled++;
        }
        return new EvaluationScore(dataset.Name, correct, seen, skipped, predictions)
        {
            Misled = written > 0 ? misled : null,
            Manifest = dataset.ManifestSha256,
        };
    }

    private static int[] Unseen(int count)
    {
        int[] predictions = new int[count];
        Array.Fill(predictions, -1);
        return predictions;
    }

    /// <summary>Predictions that are still on the device: they are read for many batches at once, because reading waits until the device has caught up.</summary>
    private sealed class PredictionBuffer : IDisposable
    {
        private const int Batches = 16;

        private readonly Arena arena;
        private readonly int[] values;
        private readonly List<(int[] Indices, int[] Predictions)> filled = [];
        private Tensor slots;

        public PredictionBuffer(Device device, int batchSize)
        {
            arena = Arena.Allocate(device, "predictions", a => slots = a.Take("predictions", ElementType.Int32, Batches, batchSize));
            values = new int[Batches * batchSize];
        }

        /// <summary>Launches the classification of a batch.</summary>
        /// <param name="classifier">The head.</param>
        /// <param name="features">Features of the batch.</param>
        /// <param name="indices">Which images they are.</param>
        /// <param name="predictions">Gets the classes at these indices, later.</param>
        public void Add(ImageClassifier classifier, Tensor features, int[] indices, int[] predictions)
        {
            classifier.Predict(features, slots.SliceRows(filled.Count, 1).Prefix(features.Rows));
            filled.Add(([.. indices.AsSpan(0, features.Rows)], predictions));
            if (filled.Count == Batches) Read();
        }

        /// <summary>Waits for the device and hands out what has come together.</summary>
        public void Read()
        {
            slots.CopyTo(values);
            for (int slot = 0; slot < filled.Count; slot++)
            {
                (int[] indices, int[] predictions) = filled[slot];
                for (int i = 0; i < indices.Length; i++) predictions[indices[i]] = values[slot * slots.Columns + i];
            }
            filled.Clear();
        }

        public void Dispose() => arena.Dispose();
    }
}
