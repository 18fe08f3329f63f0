using Patching.Model.Data;

namespace Patching.Model.Reports;

/// <summary>One task of a report.</summary>
/// <param name="Name">The data set as recorded.</param>
/// <param name="IsPatched">Whether it is the patching task.</param>
/// <param name="IsHeldOut">Whether its images are held-out training images, on which alpha was chosen.</param>
/// <param name="Rows">Its results by alpha.</param>
public sealed record ReportTask(string Name, bool IsPatched, bool IsHeldOut, IReadOnlyDictionary<double, ReportRow> Rows)
{
    /// <summary>What the task is in this run.</summary>
    public string Role => (IsPatched ? "patched" : "supported") + (IsHeldOut ? ", held-out" : "");

    /// <summary>Its accuracy; null where this alpha was not measured.</summary>
    public WilsonInterval? At(double alpha) => Rows.TryGetValue(alpha, out ReportRow? row) ? WilsonInterval.Of(row.Correct, row.Count) : null;
}

/// <summary>A point of the accuracy frontier.</summary>
/// <param name="Alpha">Weight of the fine-tuned model.</param>
/// <param name="Supported">Mean over the supported tasks.</param>
/// <param name="Patched">The patching task.</param>
public sealed record FrontierPoint(double Alpha, WilsonInterval Supported, WilsonInterval Patched);

/// <summary>Results of one run, by task and alpha: what every form of the report is made of.</summary>
public sealed class PatchReport
{
    /// <summary>What makes results comparable: rows that differ in any of these are of different runs.</summary>
    private static readonly string[] Identity = ["model_sha256", "precision", "recipe", "exp_name"];

    /// <summary>Recorded per task, not per run.</summary>
    private static readonly string[] OfTask = ["head_key", "manifest"];

    /// <summary>Groups rows.</summary>
    /// <param name="rows">Rows of one run, in any order.</param>
    /// <param name="patched">The patching task, where the rows do not say it; null takes what they say.</param>
    /// <exception cref="InputException">The rows are of several runs, contradict each other, or none says which task was patched.</exception>
    public PatchReport(IReadOnlyList<ReportRow> rows, string? patched = null)
    {
        if (rows.Count == 0) throw new InputException("there are no results to report");
        foreach (ReportRow row in rows.Skip(1)) RequireSameRun(rows[0], row);
        if (patched is not null && !rows.Any(row => IsSame(row.Task, patched))) throw new InputException($"--patched {patched}: no row is of this task");
        string task = patched ?? rows[0].TrainDataset
            ?? throw new InputException($"{rows[0].Source}: does not say which task was patched (a model of --load); name it with --patched");
        Tasks = [.. rows.GroupBy(row => row.Task).Select(group =>
            new ReportTask(group.Key, IsSame(group.Key, task), DatasetCatalog.IsValidation(group.Key), ByAlpha(group)))];
        Alphas = [.. rows.Select(row => row.Alpha).Distinct().Order()];
        Settings = [.. rows.SelectMany(row => row.Fields).Where(field => !OfTask.Contains(field.Key)).Distinct()];
    }

    /// <summary>Tasks in the order in which they were evaluated.</summary>
    public IReadOnlyList<ReportTask> Tasks { get; }

    /// <summary>Every alpha, ascending.</summary>
    public IReadOnlyList<double> Alphas { get; }

    /// <summary>What was recorded about the run, in the order of the file; what differs between rows (such as commands) comes more than once.</summary>
    public IReadOnlyList<KeyValuePair<string, string>> Settings { get; }

    /// <summary>What was recorded about each task.</summary>
    public IEnumerable<(ReportTask Task, string Name, string Value)> TaskSettings =>
        from task in Tasks
        from field in task.Rows.Values.SelectMany(row => row.Fields).Where(field => OfTask.Contains(field.Key)).Distinct()
        select (task, field.Key, field.Value);

    /// <summary>The mean over supported tasks against the patching task, for every alpha at which all of them were measured.</summary>
    /// <param name="heldOut">On held-out images, or on test images.</param>
    public IReadOnlyList<FrontierPoint> Frontier(bool heldOut) => [.. Alphas.Select(alpha => PointAt(alpha, heldOut)).OfType<FrontierPoint>()];

    /// <summary>The mean over supported tasks; null where there is none or one of them was not measured.</summary>
    public WilsonInterval? SupportedMean(double alpha, bool heldOut)
    {
        WilsonInterval?[] supported = [.. Tasks.Where(task => !task.IsPatched && task.IsHeldOut == heldOut).Select(task => task.At(alpha))];
        return supported.Length == 0 || supported.Contains(null) ? null : WilsonInterval.Mean([.. supported.Select(task => task!.Value)]);
    }

    private FrontierPoint? PointAt(double alpha, bool heldOut) =>
        SupportedMean(alpha, heldOut) is { } supported && Tasks.FirstOrDefault(task => task.IsPatched && task.IsHeldOut == heldOut)?.At(alpha) is { } patched
            ? new(alpha, supported, patched) : null;

    private static bool IsSame(string task, string patched) => WithHeldOut(task) == WithHeldOut(patched);

    // Files of other versions may name data sets that this one does not know.
    private static string WithHeldOut(string task)
    {
        try
        {
            return DatasetCatalog.ValidationName(task);
        }
        catch (InputException)
        {
            return task;
        }
    }

    private static void RequireSameRun(ReportRow first, ReportRow row)
    {
        IEnumerable<string> names = first.Fields.Keys.Concat(row.Fields.Keys).Where(name => Identity.Contains(name) || name.StartsWith("finetune.", StringComparison.Ordinal));
        foreach (string name in names)
        {
            string there = first.Fields.GetValueOrDefault(name, "absent"), here = row.Fields.GetValueOrDefault(name, "absent");
            if (here != there) throw new InputException($"{row.Source}: is of another run: {name} is {here}, but {there} in {first.Source}; report one run at a time");
        }
    }

    private static SortedDictionary<double, ReportRow> ByAlpha(IEnumerable<ReportRow> rows)
    {
        SortedDictionary<double, ReportRow> byAlpha = [];
        foreach (ReportRow row in rows)
        {
            // A run that was repeated has the same rows again.
            if (!byAlpha.TryAdd(row.Alpha, row) && byAlpha[row.Alpha] is var other && (other.Correct, other.Count) != (row.Correct, row.Count))
                throw new InputException($"{row.Source}: {row.Correct} of {row.Count} correct, but {other.Correct} of {other.Count} for the same task and alpha in {other.Source}");
        }
        return byAlpha;
    }
}
