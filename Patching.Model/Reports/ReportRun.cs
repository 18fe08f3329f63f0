using Patching.Model.Data;

namespace Patching.Model.Reports;

/// <summary>One task of a run.</summary>
/// <param name="Name">The data set as recorded.</param>
/// <param name="IsPatched">Whether it is the patching task; null where the run does not say which is.</param>
/// <param name="IsHeldOut">Whether its images are held-out training images, on which alpha was chosen.</param>
/// <param name="Rows">Its results by alpha.</param>
public sealed record ReportTask(string Name, bool? IsPatched, bool IsHeldOut, IReadOnlyDictionary<double, ReportRow> Rows)
{
    /// <summary>What the task is in this run.</summary>
    public string Role => string.Join(", ", ((string?[])[IsPatched switch { true => "patched", false => "supported", _ => null }, IsHeldOut ? "held-out" : null]).OfType<string>());

    /// <summary>Its accuracy; null where this alpha was not measured.</summary>
    public AccuracyInterval? At(double alpha) => Rows.TryGetValue(alpha, out ReportRow? row) ? row.Accuracy : null;
}

/// <summary>A point of the accuracy frontier.</summary>
/// <param name="Alpha">Weight of the fine-tuned model.</param>
/// <param name="Supported">Mean over the supported tasks.</param>
/// <param name="Patched">The patching task.</param>
public sealed record FrontierPoint(double Alpha, AccuracyInterval Supported, AccuracyInterval Patched);

/// <summary>Results of one patch, by task and alpha.</summary>
public sealed class ReportRun
{
    /// <summary>Recorded per task, not per run.</summary>
    private static readonly string[] OfTask = ["head_key", "manifest", "predictions"];

    /// <summary>Groups rows.</summary>
    /// <param name="rows">Rows of one run with alphas, in the order in which they were measured; of two of the same task and alpha the later one counts.</param>
    /// <param name="patched">The patching task, where the rows do not say it.</param>
    internal ReportRun(IReadOnlyList<ReportRow> rows, string? patched)
    {
        Patched = rows[0].TrainDataset ?? (rows.Any(row => IsSame(row.Task, patched)) ? patched : null);
        Tasks = [.. rows.GroupBy(row => row.Task).Select(group =>
            new ReportTask(group.Key, Patched is null ? null : IsSame(group.Key, Patched), IsHeldOut(group.Key), ByAlpha(group)))];
        Alphas = [.. rows.Select(row => row.Alpha!.Value).Distinct().Order()];
        Settings = [.. rows.SelectMany(row => row.Fields).Where(field => !OfTask.Contains(field.Key)).Distinct()];
        Name = rows[0].Fields.GetValueOrDefault("exp_name")
            ?? $"{(Patched is null ? "" : $"{Plain(Patched)} in ")}{rows[0].Fields.GetValueOrDefault("model", "a model")}";
    }

    /// <summary>The experiment's name, or what was patched into what.</summary>
    public string Name { get; internal set; }

    /// <summary>The patching task; null where nothing says it.</summary>
    public string? Patched { get; }

    /// <summary>Tasks in the order in which they were evaluated.</summary>
    public IReadOnlyList<ReportTask> Tasks { get; }

    /// <summary>Every alpha, ascending.</summary>
    public IReadOnlyList<double> Alphas { get; }

    /// <summary>What was recorded about the run, in the order of the file; what differs between rows (such as commands) comes more than once.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Settings { get; }

    /// <summary>What was recorded about each task.</summary>
    public IEnumerable<(ReportTask Task, string Name, string Value)> TaskSettings =>
        from task in Tasks
        from recorded in task.Rows.Values.SelectMany(row => row.Fields).Where(recorded => OfTask.Contains(recorded.Key)).Distinct()
        select (task, recorded.Key, recorded.Value);

    /// <summary>Which means of supported tasks there are: on test images (false), on held-out images (true).</summary>
    public IEnumerable<bool> Means => Tasks.Where(task => task.IsPatched == false).Select(task => task.IsHeldOut).Distinct().Order();

    /// <summary>The mean over supported tasks against the patching task, for every alpha at which all of them were measured.</summary>
    /// <param name="heldOut">On held-out images, or on test images.</param>
    public IReadOnlyList<FrontierPoint> Frontier(bool heldOut) => [.. Alphas.Select(alpha => PointAt(alpha, heldOut)).OfType<FrontierPoint>()];

    /// <summary>The mean over supported tasks; null where there is none or one of them was not measured.</summary>
    public AccuracyInterval? SupportedMean(double alpha, bool heldOut)
    {
        AccuracyInterval?[] supported = [.. Tasks.Where(task => task.IsPatched == false && task.IsHeldOut == heldOut).Select(task => task.At(alpha))];
        return supported.Length == 0 || supported.Contains(null) ? null : AccuracyInterval.Mean([.. supported.Select(task => task!.Value)]);
    }

    /// <summary>
    /// The alpha that a reader wants to see first. Where held-out images chose it, it is the one between 0 and 1 that was tested; else that with the best mean of
    /// supported and patched accuracy; the greatest where nothing says what was patched.
    /// </summary>
    public double FirstShown()
    {
        double[] tested = [.. Tasks.Where(task => !task.IsHeldOut).SelectMany(task => task.Rows.Keys).Distinct().Where(alpha => alpha is > 0 and < 1)];
        if (tested.Length == 1 && Tasks.Any(task => task.IsHeldOut)) return tested[0];
        IReadOnlyList<FrontierPoint> points = Frontier(heldOut: true) is { Count: > 0 } heldOut ? heldOut : Frontier(heldOut: false);
        return points.MaxBy(point => point.Supported.Value + point.Patched.Value)?.Alpha ?? Alphas[^1];
    }

    /// <summary>The name without its mark of held-out images.</summary>
    internal static string Plain(string task)
    {
        int colon = task.IndexOf(':', StringComparison.Ordinal), end = colon < 0 ? task.Length : colon;
        return IsHeldOut(task) ? task[..end][..^3] + task[end..] : task;
    }

    private FrontierPoint? PointAt(double alpha, bool heldOut) =>
        SupportedMean(alpha, heldOut) is { } supported && Tasks.FirstOrDefault(task => task.IsPatched == true && task.IsHeldOut == heldOut)?.At(alpha) is { } patched
            ? new(alpha, supported, patched) : null;

    private static bool IsSame(string task, string? patched) => patched is not null && Plain(task).Equals(Plain(patched), StringComparison.OrdinalIgnoreCase);

    private static bool IsHeldOut(string task)
    {
        try
        {
            return DatasetCatalog.IsValidation(DatasetCatalog.Canonical(task));
        }
        catch (InputException)
        {
            // Files of other versions may name data sets that this one does not know.
            return false;
        }
    }

    private static SortedDictionary<double, ReportRow> ByAlpha(IEnumerable<ReportRow> rows)
    {
        SortedDictionary<double, ReportRow> byAlpha = [];
        foreach (ReportRow row in rows) byAlpha[row.Alpha!.Value] = row;
        return byAlpha;
    }
}
