using System.Globalization;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Data;
using Patching.Model.Images;
using Patching.Model.Pipeline;

namespace Patching.Model.Merging;

/// <summary>How Fisher information is estimated.</summary>
/// <param name="Samples">Images; all of the data set where it has fewer.</param>
/// <param name="TrueLabels">Whether classes are the images' labels (the empirical Fisher) instead of drawn from the model's own predictions.</param>
/// <param name="Seed">Decides which images, and what is drawn.</param>
public sealed record FisherSettings(int Samples, bool TrueLabels, int Seed);

/// <summary>
/// The diagonal of the Fisher information of an image tower under a frozen zero-shot head, <c>F = mean over images x of (d log p(y | x) / d theta)^2</c> with y drawn from the model's
/// own predictions p(. | x) (Matena and Raffel 2022). Squares do not add up over a batch, so every image has a backward pass of its own.
/// </summary>
public static class FisherInformation
{
    /// <summary>Estimates the information.</summary>
    /// <param name="model">The model; single precision.</param>
    /// <param name="dataset">Images and classes.</param>
    /// <param name="batches">How images are loaded.</param>
    /// <param name="cache">Keeps the images that are used; null keeps none.</param>
    /// <param name="settings">How it is estimated.</param>
    /// <param name="progress">Called with images done and to do.</param>
    /// <param name="cancellation">Ends it.</param>
    /// <returns>The information, to be disposed by the caller, and the number of images seen.</returns>
    public static (ParameterSet Information, int Samples) Estimate(
        ClipModel model, ImageDataset dataset, BatchOptions batches, ImageCache? cache, FisherSettings settings, Action<long, long>? progress, CancellationToken cancellation)
    {
        int[] chosen = [.. TorchPermutation.Create(dataset.Count, settings.Seed).Take(settings.Samples)];
        ImageDataset samples = new SubsetDataset(dataset.Name, dataset, chosen);
        if (cache is not null) samples = cache.ForEvaluation(samples, batches, cancellation);
        ZeroShotHead head = new HeadCache(null).Get(model, dataset).Head;
        ParameterSet information = new(model.Device, "Fisher information", model.Vision.Table);
        using OneImage step = new(model, head);
        using BatchPipeline pipeline = BatchPipeline.ForEvaluation(samples, batches, cancellation);
        int imageBytes = batches.ImageSize * batches.ImageSize * 3, seen = 0;
        while (pipeline.Next() is { } batch)
        {
            using (batch)
            {
                for (int i = 0; i < batch.Count; i++)
                {
                    cancellation.ThrowIfCancellationRequested();
                    double draw = SampleRandom.ForSample(settings.Seed, 0, chosen[batch.Indices[i]]).NextDouble();
                    step.Run(batch.Pixels.AsSpan(i * imageBytes, imageBytes), settings.TrueLabels ? batch.Labels[i] : null, draw);
                    SquaredSum.Forward(model.Device, information.Flat, step.Gradients.Flat);
                    seen++;
                    progress?.Invoke(seen, samples.Count);
                }
            }
        }
        if (seen == 0) throw new InputException($"{dataset.Name}: none of the images can be read");
        Divide(information, seen);
        return (information, seen);
    }

    private static void Divide(ParameterSet information, int seen) => information.Flat.CopyFrom([.. information.Flat.ToArray().Select(sum => (float)(sum / (double)seen))]);

    /// <summary>Where labels came from, for the record.</summary>
    public static string Labels(FisherSettings settings) =>
        settings.TrueLabels ? "true" : string.Create(CultureInfo.InvariantCulture, $"drawn from the model, seed {settings.Seed}");

    /// <summary>Forward and backward of one image; the gradient of the loss of one image is that of its log probability, up to the sign.</summary>
    private sealed class OneImage : IDisposable
    {
        private readonly ClipModel model;
        private readonly ImageActivations activations;
        private readonly ImageClassifier classifier;
        private readonly ImageParameters weights;
        private readonly ImageParameters gradients;

        public OneImage(ClipModel model, ZeroShotHead head)
        {
            this.model = model;
            Gradients = new ParameterSet(model.Device, "gradients", model.Vision.Table);
            activations = ImageActivations.Create(model.Device, model.Config, batch: 1, training: true, model.Precision);
            classifier = new ImageClassifier(model.Device, head, batch: 1, model.Precision);
            weights = ImageParameters.Of(model.Vision, model.Config);
            gradients = ImageParameters.Of(Gradients, model.Config);
        }

        public ParameterSet Gradients { get; }

        public void Run(ReadOnlySpan<byte> pixels, int? label, double draw)
        {
            activations.Images.CopyFrom(pixels);
            model.Tower.Forward(weights, activations);
            classifier.Labels.CopyFrom([label ?? Drawn(classifier.Logits(activations.Features).ToArray(), draw)]);
            Gradients.Clear();
            model.Tower.Backward(weights, gradients, activations, classifier.Loss(activations.Features, smoothing: 0));
        }

        public void Dispose()
        {
            Gradients.Dispose();
            activations.Dispose();
            classifier.Dispose();
            weights.Dispose();
            gradients.Dispose();
        }

        // The class where the cumulated softmax passes the draw.
        private static int Drawn(float[] logits, double draw)
        {
            double largest = logits.Max(), rest = draw * logits.Sum(logit => Math.Exp(logit - largest));
            for (int k = 0; k < logits.Length - 1; k++)
            {
                rest -= Math.Exp(logits[k] - largest);
                if (rest < 0) return k;
            }
            return logits.Length - 1;
        }
    }
}
