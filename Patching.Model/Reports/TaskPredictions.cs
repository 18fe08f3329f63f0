using Patching.Model.Evaluation;

namespace Patching.Model.Reports;

/// <summary>How a class does under two alphas.</summary>
internal readonly record struct ClassChange(int Class, int Images, int Before, int Now)
{
    /// <summary>Change of its accuracy.</summary>
    public double Change => (double)(Now - Before) / Images;
}

/// <summary>How often images of a class are taken for another under two alphas.</summary>
internal readonly record struct ConfusionChange(int Class, int TakenFor, int Before, int Now);

/// <summary>Predictions of about the same confidence: how many, how sure, how right.</summary>
internal readonly record struct ConfidenceBin(int Count, double Confidence, double Accuracy);

/// <summary>What was predicted of every image of a task under every alpha, compared with the smallest one.</summary>
internal sealed class TaskPredictions
{
    private readonly PredictionFile file;
    private readonly int[] start;

    private TaskPredictions(PredictionFile file)
    {
        this.file = file;
        Start = file.Alphas.Min();
        start = At(Start)!;
    }

    /// <summary>The alpha that others are compared with.</summary>
    public double Start { get; }

    /// <summary>Name of every class.</summary>
    public IReadOnlyList<string> ClassNames => file.ClassNames;

    /// <summary>Images whose prediction changes between the smallest and the largest alpha.</summary>
    public int FlipCount => At(file.Alphas.Max())!.Zip(start).Count(pair => pair.First != pair.Second);

    /// <summary>Reads the file that the rows of a task cite, that with the most alphas if there are several.</summary>
    /// <param name="task">The task.</param>
    /// <param name="problem">Why there is none, in words for the reader; null where rows cite none.</param>
    public static TaskPredictions? Open(ReportTask task, out string? problem)
    {
        problem = null;
        string? path = task.Rows.Values.Select(row => row.Predictions).OfType<string>().GroupBy(cited => cited).MaxBy(cited => cited.Count())?.Key;
        if (path is null) return null;
        try
        {
            PredictionFile file = PredictionFile.Read(path);
            if (file.Dataset != task.Name) problem = $"{path}: holds predictions of {file.Dataset}";
            else if (file.Alphas.Any(alpha => !Agrees(file, alpha, task))) problem = $"{path}: its predictions are not those of the results";
            else return new TaskPredictions(file);
        }
        catch (Exception error) when (error is InputException or IOException or UnauthorizedAccessException)
        {
            problem = error.Message;
        }
        return null;
    }

    /// <summary>Predicted classes, -1 for an image that cannot be read; null where nothing was predicted under this alpha.</summary>
    public int[]? At(double alpha) => Place(alpha) is >= 0 and var place ? file.Predictions[place] : null;

    /// <summary>Pictures, in the order in which their prediction flips: place in the data set, right class, pixels.</summary>
    public IEnumerable<(int Index, int Label, byte[] Pixels)> Flips() =>
        from picture in file.ThumbnailIndices.Select((index, k) => (Index: index, K: k))
        let flips = file.Alphas.Order().FirstOrDefault(alpha => At(alpha)![picture.Index] != start[picture.Index], double.PositiveInfinity)
        orderby flips, picture.Index
        select (picture.Index, file.Labels[picture.Index], file.Thumbnails.AsSpan(picture.K * ThumbnailBytes, ThumbnailBytes).ToArray());

    /// <summary>Every class with images, in the order of the classes.</summary>
    public IReadOnlyList<ClassChange> Classes(double alpha)
    {
        int[] now = At(alpha) ?? start, images = new int[ClassNames.Count], before = new int[images.Length], after = new int[images.Length];
        for (int i = 0; i < now.Length; i++)
        {
            if (start[i] < 0) continue;
            int label = file.Labels[i];
            images[label]++;
            if (start[i] == label) before[label]++;
            if (now[i] == label) after[label]++;
        }
        return [.. Enumerable.Range(0, images.Length).Where(c => images[c] > 0).Select(c => new ClassChange(c, images[c], before[c], after[c]))];
    }

    /// <summary>Every pair of classes that is confused more often or less often than before; what changed most comes first.</summary>
    public IReadOnlyList<ConfusionChange> Confusions(double alpha)
    {
        int[] now = At(alpha) ?? start;
        Dictionary<(int Class, int TakenFor), (int Before, int Now)> counts = [];
        void Count(int label, int said, int before, int after)
        {
            if (said < 0 || said == label) return;
            (int b, int n) = counts.GetValueOrDefault((label, said));
            counts[(label, said)] = (b + before, n + after);
        }
        for (int i = 0; i < now.Length; i++)
        {
            Count(file.Labels[i], start[i], 1, 0);
            Count(file.Labels[i], now[i], 0, 1);
        }
        return [.. counts.Select(pair => new ConfusionChange(pair.Key.Class, pair.Key.TakenFor, pair.Value.Before, pair.Value.Now)).Where(pair => pair.Before != pair.Now)
            .OrderByDescending(pair => Math.Abs(pair.Now - pair.Before)).ThenBy(pair => pair.Class).ThenBy(pair => pair.TakenFor)];
    }

    /// <summary>The predictions by confidence, in the bins of <see cref="CalibrationError"/>; a bin without predictions has a count of 0.</summary>
    public ConfidenceBin[] Bins(double alpha)
    {
        int[] counts = new int[CalibrationError.Bins], right = new int[counts.Length];
        double[] sums = new double[counts.Length];
        int place = Place(alpha);
        for (int i = 0; place >= 0 && i < file.Labels.Length; i++)
        {
            float confidence = file.Confidences[place][i];
            if (file.Predictions[place][i] < 0 || !float.IsFinite(confidence)) continue;
            int bin = CalibrationError.BinOf(confidence);
            counts[bin]++;
            sums[bin] += confidence;
            if (file.Predictions[place][i] == file.Labels[i]) right[bin]++;
        }
        return [.. counts.Select((count, bin) => new ConfidenceBin(count, count == 0 ? 0 : sums[bin] / count, count == 0 ? 0 : (double)right[bin] / count))];
    }

    private int ThumbnailBytes => file.ThumbnailIndices.Length == 0 ? 0 : file.Thumbnails.Length / file.ThumbnailIndices.Length;

    private static bool Agrees(PredictionFile file, double alpha, ReportTask task)
    {
        if (!task.Rows.TryGetValue(alpha, out ReportRow? row) || row.Predictions != file.Path) return true;
        int[] predictions = file.Predictions[file.Alphas.ToList().IndexOf(alpha)];
        int right = 0, seen = 0;
        for (int i = 0; i < predictions.Length; i++)
        {
            if (predictions[i] >= 0) seen++;
            if (predictions[i] == file.Labels[i]) right++;
        }
        return right == row.Correct && seen == row.Count;
    }

    private int Place(double alpha)
    {
        for (int place = 0; place < file.Alphas.Count; place++)
        {
            if (file.Alphas[place] == alpha) return place;
        }
        return -1;
    }
}
