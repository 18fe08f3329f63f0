using System.Globalization;
using System.Text.Json;
using Patching.Model.Evaluation;

namespace Patching.Model.Reports;

/// <summary>One line of a results file, as far as a report needs it.</summary>
/// <param name="Source">File and line it came from.</param>
/// <param name="Task">The data set evaluated.</param>
/// <param name="Alpha">Weight of the fine-tuned model; null where a model was evaluated as it is.</param>
/// <param name="Correct">Correct predictions.</param>
/// <param name="Count">Images evaluated.</param>
/// <param name="Skipped">Images left out because they cannot be read.</param>
/// <param name="Misled">Images on which a written word won; null where nothing is written on them.</param>
/// <param name="TrainDataset">The patching task as recorded; null where nothing was trained.</param>
/// <param name="TrainingLog">Full path of the fine-tune's log; null where nothing says it.</param>
/// <param name="Fields">Everything else that was recorded, by name; those of the fine-tune with <c>finetune.</c> before them.</param>
public sealed record ReportRow(
    string Source, string Task, double? Alpha, int Correct, int Count, int Skipped, int? Misled, string? TrainDataset, string? TrainingLog,
    IReadOnlyDictionary<string, string> Fields)
{
    private const string Advice = "name a results file (--results-db of patching patch)";

    // A line per evaluation: far more than any experiment, and few enough to hold.
    private const long LargestFile = 256 << 20;

    /// <summary>What differs from row to row of one run, or only tells when it was done.</summary>
    private static readonly HashSet<string> Measured = ["eval_dataset", "alpha", "top1", "top5", "mean_per_class", "ece", "correct", "count", "skipped", "misled", "epoch", "time"];

    /// <summary>Share of images whose label is among the five likeliest classes; null where it was not recorded.</summary>
    public double? Top5 { get; init; }

    /// <summary>Mean over the classes of their accuracies; null where it was not recorded.</summary>
    public double? MeanPerClass { get; init; }

    /// <summary>Expected calibration error; null where it was not recorded.</summary>
    public double? CalibrationError { get; init; }

    /// <summary>Full path of the file with what was predicted of every image; null where nothing says it.</summary>
    public string? Predictions { get; init; }

    /// <summary>The accuracy with its interval.</summary>
    public AccuracyInterval Accuracy => AccuracyInterval.Wilson(Correct, Count);

    /// <summary>Reads results files; evaluations made during training are left out.</summary>
    /// <exception cref="InputException">A file or a line cannot be used; the message names both.</exception>
    public static IReadOnlyList<ReportRow> ReadFiles(IEnumerable<string> paths)
    {
        List<ReportRow> rows = [];
        foreach (string path in paths)
        {
            if (Directory.Exists(path)) throw new InputException($"{path}: is a folder; {Advice}");
            if (!File.Exists(path)) throw new InputException($"{path}: does not exist; {Advice}");
            int before = rows.Count;
            rows.AddRange(Read(path, Lines(path), Path.GetDirectoryName(Path.GetFullPath(path))!));
            if (rows.Count == before) throw new InputException($"{path}: holds no results; {Advice}");
        }
        return rows;
    }

    /// <summary>What <see cref="ReadFiles"/> would read had these records been written to a file.</summary>
    /// <param name="records">The records.</param>
    /// <param name="folder">The folder of that file.</param>
    public static IReadOnlyList<ReportRow> Of(IEnumerable<ResultRecord> records, string folder) =>
        [.. Read("results", records.Select(record => record.ToJson()), folder)];

    /// <summary>Reads lines of JSON.</summary>
    /// <param name="source">What they come from, for messages.</param>
    /// <param name="lines">The lines; empty ones are passed over.</param>
    /// <param name="folder">Where the files are that the lines name.</param>
    /// <exception cref="InputException">A line cannot be used.</exception>
    public static IEnumerable<ReportRow> Read(string source, IEnumerable<string> lines, string folder)
    {
        int number = 0;
        foreach (string line in lines)
        {
            number++;
            if (!string.IsNullOrWhiteSpace(line) && Parse($"{source}, line {number}", line, folder) is { } row) yield return row;
        }
    }

    private static string[] Lines(string path)
    {
        try
        {
            if (new FileInfo(path).Length > LargestFile) throw new InputException($"{path}: is too large for a results file; {Advice}");
            return File.ReadAllLines(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{path}: cannot be read ({error.Message})", error);
        }
    }

    private static ReportRow? Parse(string source, string line, string folder)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(line);
            if (document.RootElement.ValueKind != JsonValueKind.Object) throw new InputException($"{source}: is not an object in JSON");
            return document.RootElement.TryGetProperty("epoch", out _) ? null : Of(source, document.RootElement, folder);
        }
        // Text with half a surrogate pair is valid JSON that cannot be read as text.
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            throw new InputException($"{source}: is not a line of JSON; was the file cut off or edited?", error);
        }
    }

    private static ReportRow Of(string source, JsonElement row, string folder)
    {
        if (Text(row, "eval_dataset") is not { Length: > 0 } task) throw new InputException($"{source}: names no data set (eval_dataset); {Advice}");
        double? alpha = Number(row, "alpha");
        if (row.TryGetProperty("alpha", out _) && !(alpha is { } a && double.IsFinite(a))) throw new InputException($"{source}: its alpha is not a number");
        int? correct = Whole(row, "correct"), count = Whole(row, "count");
        if (correct is null || count is null || Number(row, "top1") is not { } top1)
            throw new InputException($"{source}: has no accuracy (top1, correct, count)");
        if (count < 1 || correct < 0 || correct > count || !(Math.Abs(top1 - (double)correct / count.Value) <= 1e-6))
            throw new InputException(string.Create(CultureInfo.InvariantCulture, $"{source}: top1 {top1:R} is not {correct} correct of {count}"));
        string? trained = row.TryGetProperty("finetune", out JsonElement finetune) && finetune.ValueKind == JsonValueKind.Object ? Text(finetune, "train_dataset") : null;
        string? Beside(string name) => Text(row, name) is { } path ? Path.Combine(folder, path) : null;
        return new(source, task, alpha, correct.Value, count.Value, Whole(row, "skipped") ?? 0, Whole(row, "misled"), trained, Beside("training_log"), FieldsOf(row))
        {
            Top5 = Number(row, "top5"),
            MeanPerClass = Number(row, "mean_per_class"),
            CalibrationError = Number(row, "ece"),
            Predictions = Beside("predictions"),
        };
    }

    private static Dictionary<string, string> FieldsOf(JsonElement row)
    {
        Dictionary<string, string> fields = [];
        foreach (JsonProperty property in row.EnumerateObject().Where(property => !Measured.Contains(property.Name)))
        {
            if (property.Value.ValueKind != JsonValueKind.Object) fields[property.Name] = property.Value.ToString();
            else foreach (JsonProperty inner in property.Value.EnumerateObject()) fields[$"{property.Name}.{inner.Name}"] = inner.Value.ToString();
        }
        return fields;
    }

    private static string? Text(JsonElement row, string name) =>
        row.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;

    private static int? Whole(JsonElement row, string name) =>
        row.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int whole) ? whole : null;

    private static double? Number(JsonElement row, string name) =>
        row.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number ? value.GetDouble() : null;
}
