using Patching.Model.Data;
using Patching.Model.Evaluation;
using Patching.Tests.Model.Data;

namespace Patching.Tests.Model.Reports;

/// <summary>A task of eight images and three classes, with what three alphas say of each, written as <c>patch</c> writes it.</summary>
internal static class PredictedTask
{
    public static readonly int[] Labels = [0, 0, 0, 1, 1, 1, 2, 2];

    public static readonly double[] Alphas = [0, 0.5, 1];

    // The last image cannot be read.
    public static readonly int[][] Predictions = [[0, 1, 1, 1, 1, 0, 0, -1], [0, 0, 1, 1, 0, 0, 2, -1], [0, 0, 0, 0, 0, 0, 2, -1]];

    public static readonly float[][] Confidences =
        [[0.95f, 0.5f, 0.5f, 0.9f, 0.6f, 0.6f, 0.4f, 0], [0.95f, 0.55f, 0.5f, 0.9f, 0.6f, 0.6f, 0.5f, 0], [0.99f, 0.9f, 0.9f, 0.9f, 0.9f, 0.9f, 0.7f, 0]];

    /// <summary>Writes the file below a folder and gives lines of results that cite it.</summary>
    public static string[] Write(string folder)
    {
        LabelledDataset dataset = new(Labels, classes: 3);
        string path = PredictionFile.Write(folder, dataset, Alphas, [.. Alphas.Select((_, a) => Score(dataset, a))]);
        return [.. Alphas.Select((alpha, a) => ResultLines.Line(
            dataset.Name, alpha, Correct(a), 7, ("finetune", new { train_dataset = dataset.Name }), ("predictions", Path.GetFileName(path)), ("ece", 0.1 * a)))];
    }

    public static int Correct(int alpha) => Predictions[alpha].Zip(Labels).Count(pair => pair.First == pair.Second);

    private static EvaluationScore Score(ImageDataset dataset, int alpha) =>
        EvaluationScore.Of(dataset, new PredictedImages(Predictions[alpha], new int[Labels.Length], Confidences[alpha]), skipped: 1);
}
