using System.Globalization;
using Patching.Model.Evaluation;
using Spectre.Console;

namespace Patching.Cli.Output;

/// <summary>Accuracies as a table: a row per alpha, a column per data set.</summary>
internal static class ResultsTable
{
    /// <summary>Prints the table.</summary>
    /// <param name="output">Where to.</param>
    /// <param name="results">Records, a data set at a time.</param>
    /// <param name="patched">The patching task, to be marked.</param>
    public static void Print(TextWriter output, IReadOnlyList<ResultRecord> results, string? patched)
    {
        string[] datasets = [.. results.Select(record => record.EvalDataset).Distinct()];
        double?[] alphas = [.. results.Select(record => record.Alpha).Distinct()];
        Table table = new() { Border = TableBorder.Markdown };
        if (alphas.Any(alpha => alpha is not null)) table.AddColumn(new TableColumn("alpha").RightAligned());
        else table.AddColumn("model");
        foreach (string dataset in datasets)
        {
            bool isPatched = string.Equals(dataset, patched, StringComparison.OrdinalIgnoreCase);
            table.AddColumn(new TableColumn(Markup.Escape(isPatched ? $"{dataset} (patched)" : dataset)).RightAligned());
        }
        foreach (double? alpha in alphas)
            table.AddRow([Name(alpha, results[0]), .. datasets.Select(dataset => Cell(results.First(record => record.EvalDataset == dataset && record.Alpha == alpha)))]);
        MarkdownTable.Print(output, table);
    }

    private static string Name(double? alpha, ResultRecord record) => Markup.Escape(alpha?.ToString("R", CultureInfo.InvariantCulture) ?? record.Model);

    private static string Cell(ResultRecord record) =>
        string.Create(CultureInfo.InvariantCulture, $"{record.Top1 * 100:0.00} % ({record.Correct}/{record.Count})")
        + (record.Misled is { } misled ? string.Create(CultureInfo.InvariantCulture, $", {misled} misled") : "")
        + (record.Skipped > 0 ? string.Create(CultureInfo.InvariantCulture, $", {record.Skipped} skipped") : "");
}
