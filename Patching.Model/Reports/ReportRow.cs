using System.Globalization;
using System.Text.Json;

namespace Patching.Model.Reports;

/// <summary>One line of a results file, as far as a report needs it.</summary>
/// <param name="Source">File and line it came from.</param>
/// <param name="Task">The data set evaluated.</param>
/// <param name="Alpha">Weight of the fine-tuned model.</param>
/// <param name="Correct">Correct predictions.</param>
/// <param name="Count">Images evaluated.</param>
/// <param name="Skipped">Images left out because they cannot be read.</param>
/// <param name="Misled">Images on which a written word won; null where nothing is written on them.</param>
/// <param name="TrainDataset">The patching task as recorded; null where nothing was trained.</param>
/// <param name="Fields">Everything else that was recorded, by name; those of the fine-tune with <c>finetune.</c> before them.</param>
public sealed record ReportRow(
    string Source, string Task, double Alpha, int Correct, int Count, int Skipped, int? Misled, string? TrainDataset, IReadOnlyDictionary<string, string> Fields)
{
    /// <summary>What differs from row to row of one run, or only tells when it was done.</summary>
    private static readonly HashSet<string> Measured = ["eval_dataset", "alpha", "top1", "correct", "count", "skipped", "misled", "epoch", "time"];

    /// <summary>Reads results files; evaluations made during training are left out, for they belong to no alpha.</summary>
    /// <exception cref="InputException">A file or a line cannot be used; the message names both.</exception>
    public static IReadOnlyList<ReportRow> ReadFiles(IEnumerable<string> paths)
    {
        List<ReportRow> rows = [];
        foreach (string path in paths)
        {
            if (Directory.Exists(path)) throw new InputException($"{path}: is a folder; name a results file (--results-db of patching patch)");
            if (!File.Exists(path)) throw new InputException($"{path}: does not exist; name a results file (--results-db of patching patch)");
            int before = rows.Count;
            rows.AddRange(Read(path, Lines(path)));
            if (rows.Count == before) throw new InputException($"{path}: holds no results of an alpha");
        }
        return rows;
    }

    /// <summary>Reads lines of JSON.</summary>
    /// <param name="source">What they come from, for messages.</param>
    /// <param name="lines">The lines; empty ones are passed over.</param>
    /// <exception cref="InputException">A line cannot be used.</exception>
    public static IEnumerable<ReportRow> Read(string source, IEnumerable<string> lines)
    {
        int number = 0;
        foreach (string line in lines)
        {
            number++;
            if (!string.IsNullOrWhiteSpace(line) && Parse($"{source}, line {number}", line) is { } row) yield return row;
        }
    }

    private static string[] Lines(string path)
    {
        try
        {
            return File.ReadAllLines(path);
        }
        catch (Exception error) when (error is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{path}: cannot be read ({error.Message})", error);
        }
    }

    private static ReportRow? Parse(string source, string line)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(line);
            if (document.RootElement.ValueKind != JsonValueKind.Object) throw new InputException($"{source}: is not an object in JSON");
            return document.RootElement.TryGetProperty("epoch", out _) ? null : Of(source, document.RootElement);
        }
        // Text with half a surrogate pair is valid JSON that cannot be read as text.
        catch (Exception error) when (error is JsonException or InvalidOperationException)
        {
            throw new InputException($"{source}: is not a line of JSON; was the file cut off or edited?", error);
        }
    }

    private static ReportRow Of(string source, JsonElement row)
    {
        if (!row.TryGetProperty("eval_dataset", out JsonElement task) || task.ValueKind != JsonValueKind.String || task.GetString()!.Length == 0)
            throw new InputException($"{source}: names no data set (eval_dataset)");
        if (!row.TryGetProperty("alpha", out JsonElement alpha) || alpha.ValueKind != JsonValueKind.Number || !double.IsFinite(alpha.GetDouble()))
            throw new InputException($"{source}: has no alpha; a report shows results of patching patch");
        int? correct = Whole(row, "correct"), count = Whole(row, "count");
        if (correct is null || count is null || Number(row, "top1") is not { } top1)
            throw new InputException($"{source}: has no accuracy (top1, correct, count)");
        if (count < 1 || correct < 0 || correct > count || Math.Abs(top1 - (double)correct / count.Value) > 1e-6)
            throw new InputException(string.Create(CultureInfo.InvariantCulture, $"{source}: top1 {top1:R} is not {correct} correct of {count}"));
        bool trained = row.TryGetProperty("finetune", out JsonElement finetune) && finetune.ValueKind == JsonValueKind.Object;
        return new(
            source, task.GetString()!, alpha.GetDouble(), correct.Value, count.Value, Whole(row, "skipped") ?? 0, Whole(row, "misled"),
            trained && finetune.TryGetProperty("train_dataset", out JsonElement name) ? name.GetString() : null, FieldsOf(row));
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

    private static int? Whole(JsonElement row, string name) =>
        row.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int whole) ? whole : null;

    private static double? Number(JsonElement row, string name) =>
        row.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number ? value.GetDouble() : null;
}
