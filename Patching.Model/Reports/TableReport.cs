using System.Globalization;
using System.Text;

namespace Patching.Model.Reports;

/// <summary>The numbers of a report as plain tables.</summary>
public static class TableReport
{
    /// <summary>A line per task and alpha, with the 95 % interval (RFC 4180; shares of 1, a line feed after every line).</summary>
    public static string Csv(PatchReport report)
    {
        StringBuilder text = new("task,role,alpha,correct,count,accuracy,low,high,skipped,misled\n");
        foreach (ReportTask task in report.Tasks)
        {
            foreach (ReportRow row in task.Rows.Values)
            {
                WilsonInterval score = task.At(row.Alpha)!.Value;
                text.Append(CultureInfo.InvariantCulture, $"{Quoted(task.Name)},{Quoted(task.Role)},{row.Alpha:R},{row.Correct},{row.Count},")
                    .Append(CultureInfo.InvariantCulture, $"{score.Value:0.000000},{score.Low:0.000000},{score.High:0.000000},{row.Skipped},{row.Misled}\n");
            }
        }
        return text.ToString();
    }

    /// <summary>A row per alpha, a column per task and for the mean of the supported ones.</summary>
    public static string Markdown(PatchReport report)
    {
        string[] columns = [.. report.Tasks.Select(task => $"{Escaped(task.Name)} ({task.Role})"), .. Means(report).Select(MeanName)];
        StringBuilder text = new($"| alpha | {string.Join(" | ", columns)} |\n|{string.Concat(Enumerable.Repeat(" ---: |", columns.Length + 1))}\n");
        foreach (double alpha in report.Alphas)
        {
            IEnumerable<string> cells = [.. report.Tasks.Select(task => Cell(task.At(alpha))), .. Means(report).Select(heldOut => Cell(report.SupportedMean(alpha, heldOut)))];
            text.Append(CultureInfo.InvariantCulture, $"| {alpha:R} | {string.Join(" | ", cells)} |\n");
        }
        return text.ToString();
    }

    /// <summary>Which means of supported tasks there are: on test images (false), on held-out images (true).</summary>
    internal static IEnumerable<bool> Means(PatchReport report) => report.Tasks.Where(task => !task.IsPatched).Select(task => task.IsHeldOut).Distinct().Order();

    /// <summary>What a mean is called.</summary>
    internal static string MeanName(bool heldOut) => heldOut ? "supported mean, held-out" : "supported mean";

    /// <summary>Accuracy and interval in percent.</summary>
    internal static string Cell(WilsonInterval? score) => score is { } s ? $"{Percent(s.Value)} % {Range(s)}" : "not measured";

    /// <summary>A share in percent with two decimals.</summary>
    internal static string Percent(double share) => (share * 100).ToString("0.00", CultureInfo.InvariantCulture);

    /// <summary>An interval in percent.</summary>
    internal static string Range(WilsonInterval score) => $"[{Percent(score.Low)}, {Percent(score.High)}]";

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
