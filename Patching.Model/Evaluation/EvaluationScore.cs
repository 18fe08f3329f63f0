using Patching.Model.Data;

namespace Patching.Model.Evaluation;

/// <summary>What one model scored on one data set.</summary>
/// <param name="Dataset">The data set's name.</param>
/// <param name="Correct">Images whose predicted class is their label.</param>
/// <param name="Count">Images seen.</param>
/// <param name="Skipped">Images left out because they cannot be read.</param>
/// <param name="Predictions">Predicted class per image, in the data set's order; -1 for an image that was skipped.</param>
/// <param name="Confidences">Softmax at the predicted class per image; 0 for an image that was skipped.</param>
public sealed record EvaluationScore(string Dataset, int Correct, int Count, int Skipped, int[] Predictions, float[] Confidences)
{
    private const int Top = 5;

    /// <summary>Share of correct predictions, 0 to 1.</summary>
    public double Top1 => Count == 0 ? 0 : (double)Correct / Count;

    /// <summary>Share of images whose label is among the five largest logits; null where there are no more than five classes, so that it says nothing.</summary>
    public required double? Top5 { get; init; }

    /// <summary>Mean over the classes of the share of their images that are predicted correctly, so that rare classes count as much as common ones; classes without images do not count.</summary>
    public required double MeanPerClass { get; init; }

    /// <summary><see cref="Evaluation.CalibrationError"/> of the predictions; null where a confidence is no number.</summary>
    public required double? CalibrationError { get; init; }

    /// <summary>
    /// Images whose predicted class is the one that is written on them instead of their label; null where nothing is written on the images.
    /// </summary>
    public int? Misled { get; init; }

    /// <summary>SHA-256 of the manifest that names the images; null where none was given.</summary>
    public string? Manifest { get; init; }

    /// <summary>Scores what a model predicted.</summary>
    /// <param name="dataset">Images and labels.</param>
    /// <param name="predicted">What it said of every image.</param>
    /// <param name="skipped">Images that cannot be read.</param>
    internal static EvaluationScore Of(ImageDataset dataset, PredictedImages predicted, int skipped)
    {
        int[] predictions = predicted.Classes;
        int written = 0, misled = 0, near = 0;
        int[] right = new int[dataset.ClassNames.Count], all = new int[dataset.ClassNames.Count];
        for (int i = 0; i < predictions.Length; i++)
        {
            if (predictions[i] < 0) continue;
            int label = dataset.Label(i);
            all[label]++;
            if (predictions[i] == label) right[label]++;
            if (predicted.Ranks[i] < Top) near++;
        }
        for (int i = 0; i < predictions.Length; i++)
        {
            if (dataset.WrittenLabel(i) is not { } word) continue;
            written++;
            if (predictions[i] == word) misled++;
        }
        int seen = all.Sum();
        int[] present = [.. Enumerable.Range(0, all.Length).Where(label => all[label] > 0)];
        return new EvaluationScore(dataset.Name, right.Sum(), seen, skipped, predictions, predicted.Confidences)
        {
            Top5 = all.Length > Top && seen > 0 ? (double)near / seen : null,
            MeanPerClass = present.Length > 0 ? present.Average(label => (double)right[label] / all[label]) : 0,
            CalibrationError = Evaluation.CalibrationError.Of(
                Enumerable.Range(0, predictions.Length).Where(i => predictions[i] >= 0).Select(i => (predicted.Confidences[i], predictions[i] == dataset.Label(i)))),
            Misled = written > 0 ? misled : null,
            Manifest = dataset.ManifestSha256,
        };
    }
}

/// <summary>What a model said of every image of a data set, in its order.</summary>
/// <param name="Classes">Predicted classes; -1 for an image that was not seen.</param>
/// <param name="Ranks">Number of classes that beat the right one.</param>
/// <param name="Confidences">Softmax at the predicted class.</param>
internal sealed record PredictedImages(int[] Classes, int[] Ranks, float[] Confidences)
{
    /// <summary>No image has been seen.</summary>
    public static PredictedImages Unseen(int count)
    {
        int[] classes = new int[count];
        Array.Fill(classes, -1);
        return new PredictedImages(classes, new int[count], new float[count]);
    }
}
