namespace Patching.Model.Reports;

/// <summary>A model that was evaluated as it is: of <c>evaluate</c>, or one that <c>tasks</c> made.</summary>
/// <param name="Name">The experiment's name, or the model's.</param>
/// <param name="Coefficients">How much of each fine-tuned model is in it, as recorded; empty where nothing says it.</param>
/// <param name="Rows">Its results by data set.</param>
/// <param name="Original">The original model of the same recipe; null where it was not evaluated.</param>
public sealed record ReportModel(string Name, string Coefficients, IReadOnlyDictionary<string, ReportRow> Rows, ReportModel? Original);

/// <summary>Everything that results files hold, by run: what every form of the report is made of.</summary>
public sealed class PatchReport
{
    // Rows that differ in any of these, or in a setting of the fine-tune, are of different runs.
    private static readonly string[] Identity = ["model_sha256", "precision", "recipe", "exp_name"];

    /// <summary>Groups rows by run.</summary>
    /// <param name="rows">Rows in the order in which they were measured.</param>
    /// <param name="patched">The patching task of runs that do not say it (those of <c>--load</c>).</param>
    /// <exception cref="InputException">No run has a task of that name.</exception>
    public PatchReport(IReadOnlyList<ReportRow> rows, string? patched = null)
    {
        Runs = [.. rows.Where(row => row.Alpha is not null).GroupBy(RunKey).Select(group => new ReportRun([.. group], patched))];
        if (patched is not null && !Runs.Any(run => run.Patched == patched)) throw new InputException($"--patched {patched}: no run without a recorded task has results of it");
        foreach (IGrouping<string, ReportRun> same in Runs.GroupBy(run => run.Name).Where(group => group.Count() > 1).ToArray())
        {
            int number = 0;
            foreach (ReportRun run in same) run.Name = $"{same.Key} ({++number})";
        }
        Models = ModelsOf([.. rows.Where(row => row.Alpha is null)]);
    }

    /// <summary>Patches, in the order in which they were measured.</summary>
    public IReadOnlyList<ReportRun> Runs { get; }

    /// <summary>Models without an alpha.</summary>
    public IReadOnlyList<ReportModel> Models { get; }

    /// <summary>Every data set whose test images were evaluated, in the order in which they were.</summary>
    public IReadOnlyList<string> TestSets =>
        [.. Runs.SelectMany(run => run.Tasks.Where(task => !task.IsHeldOut).Select(task => task.Name)).Concat(Models.SelectMany(model => model.Rows.Keys)).Distinct()];

    private static string RunKey(ReportRow row)
    {
        // A model of --load has no settings to tell it by.
        IEnumerable<string> names = row.TrainDataset is null ? [.. Identity, "command"] : Identity;
        return string.Join('\n', names.Concat(row.Fields.Keys.Where(name => name.StartsWith("finetune.", StringComparison.Ordinal)).Order(StringComparer.Ordinal))
            .Select(name => $"{name}={row.Fields.GetValueOrDefault(name)}"));
    }

    private static List<ReportModel> ModelsOf(IReadOnlyList<ReportRow> rows)
    {
        List<ReportModel> models = [];
        Dictionary<string, ReportModel> originals = [];
        foreach (IGrouping<string, ReportRow> group in rows.GroupBy(row => $"{RunKey(row)}\n{row.Fields.GetValueOrDefault("coefficients")}"))
        {
            ReportRow first = group.First();
            Dictionary<string, ReportRow> byTask = [];
            foreach (ReportRow row in group) byTask[row.Task] = row;
            string family = $"{first.Fields.GetValueOrDefault("model_sha256")}\n{first.Fields.GetValueOrDefault("recipe")}", coefficients = first.Fields.GetValueOrDefault("coefficients", "");
            ReportModel model = new(
                first.Fields.GetValueOrDefault("exp_name") ?? first.Fields.GetValueOrDefault("model", "a model"), coefficients == "[]" ? "" : coefficients, byTask,
                originals.GetValueOrDefault(family));
            // What tasks measures first is the original, in which there is nothing of any task.
            if (coefficients == "[]") originals.TryAdd(family, model);
            models.Add(model);
        }
        return models;
    }
}
