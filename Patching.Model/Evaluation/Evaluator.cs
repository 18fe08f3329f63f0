using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Data;

namespace Patching.Model.Evaluation;

/// <summary>
/// Predictions of several candidates (weights for different alpha) on one data set in one pass over its images, and what they score: each image is decoded and preprocessed
/// once, whatever the number of candidates. Where all their weights fit side by side each image also goes to the device and is cut into patches once.
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
        PredictedImages[] predictions = [.. Enumerable.Range(0, candidates).Select(_ => PredictedImages.Unseen(dataset.Count))];
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
                    waiting.Add(classifier, features, batch, predictions[candidate]);
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
        return [.. predictions.Select(predicted => EvaluationScore.Of(dataset, predicted, pipeline.Skipped.Count))];
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

    /// <summary>Predictions that are still on the device: they are read for many batches at once, because reading waits until the device has caught up.</summary>
    private sealed class PredictionBuffer : IDisposable
    {
        private const int Batches = 16;

        private readonly Arena arena;
        private readonly PinnedUpload labels;
        private readonly int[] classes;
        private readonly int[] ranks;
        private readonly float[] confidences;
        private readonly List<(int[] Indices, PredictedImages Predictions)> filled = [];
        private Tensor labelSlot;
        private Tensor classSlots;
        private Tensor rankSlots;
        private Tensor confidenceSlots;

        public PredictionBuffer(Device device, int batchSize)
        {
            arena = Arena.Allocate(device, "predictions", a =>
            {
                labelSlot = a.Take("labels", ElementType.Int32, batchSize);
                classSlots = a.Take("classes", ElementType.Int32, Batches, batchSize);
                rankSlots = a.Take("ranks", ElementType.Int32, Batches, batchSize);
                confidenceSlots = a.Take("confidences", Batches, batchSize);
            });
            labels = new PinnedUpload(device, labelSlot);
            (classes, ranks, confidences) = (new int[Batches * batchSize], new int[Batches * batchSize], new float[Batches * batchSize]);
        }

        /// <summary>Launches the classification of a batch.</summary>
        /// <param name="classifier">The head.</param>
        /// <param name="features">Features of the batch.</param>
        /// <param name="batch">Which images they are.</param>
        /// <param name="predictions">Gets what is said of these images, later.</param>
        public void Add(ImageClassifier classifier, Tensor features, ImageBatch batch, PredictedImages predictions)
        {
            labels.Upload<int>(batch.Labels);
            classifier.Predict(features, labelSlot.Prefix(batch.Count), Slot(classSlots, batch.Count), Slot(rankSlots, batch.Count), Slot(confidenceSlots, batch.Count));
            filled.Add((batch.Indices, predictions));
            if (filled.Count == Batches) Read();
        }

        /// <summary>Waits for the device and hands out what has come together.</summary>
        public void Read()
        {
            classSlots.CopyTo(classes);
            rankSlots.CopyTo(ranks);
            confidenceSlots.CopyTo(confidences);
            for (int slot = 0; slot < filled.Count; slot++)
            {
                (int[] indices, PredictedImages predictions) = filled[slot];
                for (int i = 0; i < indices.Length; i++)
                {
                    int at = slot * classSlots.Columns + i, image = indices[i];
                    (predictions.Classes[image], predictions.Ranks[image], predictions.Confidences[image]) = (classes[at], ranks[at], confidences[at]);
                }
            }
            filled.Clear();
        }

        public void Dispose()
        {
            labels.Dispose();
            arena.Dispose();
        }

        private Tensor Slot(Tensor slots, int count) => slots.SliceRows(filled.Count, 1).Prefix(count);
    }
}
