using System.Globalization;

namespace Patching.Model.Reports;

/// <summary>Numbers of a report as text, the same in every form of it.</summary>
internal static class ReportText
{
    /// <summary>What stands for a number that nobody measured.</summary>
    public const string NotMeasured = "not measured";

    /// <summary>A weight in full.</summary>
    public static string Alpha(double alpha) => alpha.ToString("R", CultureInfo.InvariantCulture);

    /// <summary>A share in percent with two decimals.</summary>
    public static string Percent(double share) => (share * 100).ToString("0.00", CultureInfo.InvariantCulture);

    /// <summary>An accuracy in percent.</summary>
    public static string Accuracy(AccuracyInterval? score) => score is { } s ? $"{Percent(s.Value)} %" : NotMeasured;

    /// <summary>Its interval; empty where there is no accuracy.</summary>
    public static string Range(AccuracyInterval? score) => score is { } s ? $"{Percent(s.Low)} to {Percent(s.High)}" : "";

    /// <summary>A change in points, with its sign.</summary>
    public static string Points(double change) => (change * 100).ToString("+0.00;\u22120.00;0.00", CultureInfo.InvariantCulture);

    /// <summary>A change between two accuracies in points; empty where one of them is missing.</summary>
    public static string Change(AccuracyInterval? after, AccuracyInterval? before) => after is { } a && before is { } b ? Points(a.Value - b.Value) : "";

    /// <summary>The interval of a change.</summary>
    public static string ChangeRange(AccuracyInterval? after, AccuracyInterval? before) =>
        after is { } a && before is { } b && AccuracyInterval.Difference(a, b) is var change ? $"{Points(change.Low)} to {Points(change.High)}" : "";

    /// <summary>What was counted.</summary>
    public static string Counts(ReportRow? row) => row is null ? "" : string.Create(CultureInfo.InvariantCulture, $"{row.Correct} of {row.Count}")
        + (row.Skipped > 0 ? string.Create(CultureInfo.InvariantCulture, $", {row.Skipped} skipped") : "")
        + (row.Misled is { } misled ? string.Create(CultureInfo.InvariantCulture, $", {misled} misled") : "");

    /// <summary>What a mean of supported tasks is called.</summary>
    public static string MeanName(bool heldOut) => heldOut ? "mean of supported, held-out" : "mean of supported";
}
