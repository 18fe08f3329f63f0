using System.Globalization;
using System.Text;

namespace Patching.Model.Reports;

/// <summary>The numbers of a report as plain tables.</summary>
public static class TableReport
{
    /// <summary>A line per result, with its 95 % interval (RFC 4180; shares of 1, a line feed after every line).</summary>
    public static string Csv(PatchReport report)
    {
        StringBuilder text = new("run,task,role,alpha,coefficients,correct,count,accuracy,low,high,top5,mean_per_class,ece,skipped,misled\n");
        foreach (ReportRun run in report.Runs)
        {
            foreach (ReportTask task in run.Tasks)
            {
                foreach (ReportRow row in task.Rows.Values) Line(text, run.Name, task.Role, "", row);
            }
        }
        foreach (ReportModel model in report.Models)
        {
            foreach (ReportRow row in model.Rows.Values) Line(text, model.Name, "", model.Coefficients, row);
        }
        return text.ToString();
    }

    /// <summary>Per run a row per alpha, a column per task and for the mean of the supported ones; a row per model without an alpha.</summary>
    public static string Markdown(PatchReport report)
    {
        StringBuilder text = new();
        foreach (ReportRun run in report.Runs) Append(text, Escaped(run.Name), RunTable(run));
        if (report.Models.Count > 0) Append(text, "Models", ModelTable(report));
        return text.ToString();
    }

    private static void Line(StringBuilder text, string run, string role, string coefficients, ReportRow row)
    {
        AccuracyInterval score = row.Accuracy;
        text.Append(CultureInfo.InvariantCulture, $"{Quoted(run)},{Quoted(row.Task)},{Quoted(role)},{row.Alpha:R},{Quoted(coefficients)},{row.Correct},{row.Count},")
            .Append(CultureInfo.InvariantCulture, $"{score.Value:0.000000},{score.Low:0.000000},{score.High:0.000000},{row.Top5:0.000000},{row.MeanPerClass:0.000000},{row.CalibrationError:0.000000},{row.Skipped},{row.Misled}\n");
    }

    private static IEnumerable<string[]> RunTable(ReportRun run)
    {
        yield return ["alpha", .. run.Tasks.Select(task => Escaped(task.Name) + (task.Role.Length > 0 ? $" ({task.Role})" : "")), .. run.Means.Select(ReportText.MeanName)];
        foreach (double alpha in run.Alphas)
            yield return [ReportText.Alpha(alpha), .. run.Tasks.Select(task => Cell(task.At(alpha))), .. run.Means.Select(heldOut => Cell(run.SupportedMean(alpha, heldOut)))];
    }

    private static IEnumerable<string[]> ModelTable(PatchReport report)
    {
        string[] sets = [.. report.Models.SelectMany(model => model.Rows.Keys).Distinct()];
        yield return ["model", "coefficients", .. sets.Select(Escaped)];
        foreach (ReportModel model in report.Models)
            yield return [Escaped(model.Name), Escaped(model.Coefficients), .. sets.Select(set => Cell(model.Rows.GetValueOrDefault(set)?.Accuracy))];
    }

    private static void Append(StringBuilder text, string heading, IEnumerable<string[]> rows)
    {
        if (text.Length > 0) text.Append('\n');
        text.Append(CultureInfo.InvariantCulture, $"## {heading}\n\n");
        bool isHeading = true;
        foreach (string[] row in rows)
        {
            text.Append(CultureInfo.InvariantCulture, $"| {string.Join(" | ", row)} |\n");
            if (isHeading) text.Append(CultureInfo.InvariantCulture, $"|{string.Concat(Enumerable.Repeat(" ---: |", row.Length))}\n");
            isHeading = false;
        }
    }

    private static string Cell(AccuracyInterval? score) => score is null ? ReportText.NotMeasured : $"{ReportText.Accuracy(score)} ({ReportText.Range(score)})";

    private static string Quoted(string text) =>
        text.AsSpan().ContainsAny("\",\r\n") ? $"\"{text.Replace("\"", "\"\"", StringComparison.Ordinal)}\"" : text;

    // Markdown takes HTML, too.
    private static string Escaped(string text)
    {
        StringBuilder escaped = new();
        foreach (char c in text.ReplaceLineEndings(" ")) escaped.Append("\\|<>&`*_[]".Contains(c) ? $"\\{c}" : c.ToString());
        return escaped.ToString();
    }
}
