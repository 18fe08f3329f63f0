using System.Globalization;
using System.Text.RegularExpressions;
using OxyPlot;
using OxyPlot.Axes;
using OxyPlot.Series;

namespace Patching.Model.Reports;

/// <summary>A plot, and where each alpha is in it.</summary>
/// <param name="Svg">The elements inside <c>svg</c>, for the view box of <see cref="ReportPlots"/>.</param>
/// <param name="Places">Pixels of every alpha's point; null where it was not measured.</param>
internal sealed record ReportPlot(string Svg, IReadOnlyList<double[]?> Places);

/// <summary>Draws the plots of a report. No text of a user gets into them: captions are the page's.</summary>
internal static partial class ReportPlots
{
    /// <summary>Size of every plot's view box.</summary>
    public const int Width = 480, Height = 320;

    // Colours for people who see them differently (Okabe and Ito 2008, "Color universal design"), less the yellow that is lost on white.
    private static readonly OxyColor[] Palette =
        [OxyColor.FromRgb(0x00, 0x72, 0xB2), OxyColor.FromRgb(0x00, 0x9E, 0x73), OxyColor.FromRgb(0xE6, 0x9F, 0x00), OxyColor.FromRgb(0xCC, 0x79, 0xA7), OxyColor.FromRgb(0x56, 0xB4, 0xE9)];

    private static readonly OxyColor Patched = OxyColor.FromRgb(0xD5, 0x5E, 0x00);

    // The page says what these are, for it knows whether it is light or dark.
    private static readonly OxyColor Ink = OxyColor.FromRgb(1, 2, 3), Grid = OxyColor.FromRgb(3, 2, 1);

    /// <summary>Accuracy of one task over alpha.</summary>
    public static ReportPlot Curve(PatchReport report, ReportTask task, int colour) => Draw(
        [.. report.Alphas.Select(alpha => task.At(alpha) is { } y ? new Point(Exactly(alpha), y) : (Point?)null)],
        Axis(AxisPosition.Bottom, "alpha", report.Alphas[0], report.Alphas[^1], 0.02), Percent(AxisPosition.Left, "accuracy, %", 0, 100),
        task.IsPatched ? Patched : Palette[colour % Palette.Length], task.IsPatched ? MarkerType.Square : MarkerType.Circle);

    /// <summary>The patching task against the mean of the supported ones, joined in the order of alpha.</summary>
    public static ReportPlot Frontier(PatchReport report, bool heldOut)
    {
        IReadOnlyList<FrontierPoint> points = report.Frontier(heldOut);
        Point?[] places = [.. report.Alphas.Select(alpha => points.FirstOrDefault(point => point.Alpha == alpha) is { } at ? new Point(at.Supported, at.Patched) : (Point?)null)];
        return Draw(
            places, Percent(AxisPosition.Bottom, "mean of supported tasks, %", points.Min(point => point.Supported.Low), points.Max(point => point.Supported.High)),
            Percent(AxisPosition.Left, "patched task, %", points.Min(point => point.Patched.Low), points.Max(point => point.Patched.High)), Palette[0], MarkerType.Circle);
    }

    private static ReportPlot Draw(Point?[] points, Axis x, Axis y, OxyColor colour, MarkerType marker)
    {
        PlotModel model = new() { PlotAreaBorderColor = Grid, TextColor = Ink, Background = OxyColors.Transparent, DefaultFontSize = 14, PlotMargins = new OxyThickness(62, 8, 16, 48) };
        model.Axes.Add(x);
        model.Axes.Add(y);
        LineSeries line = new() { Color = colour, StrokeThickness = 2, MarkerType = marker, MarkerSize = 4, MarkerFill = colour };
        LineSeries bars = new() { Color = colour, StrokeThickness = 1.2 };
        foreach (Point point in points.OfType<Point>())
        {
            line.Points.Add(new DataPoint(100 * point.X.Value / point.Scale, 100 * point.Y.Value));
            Bar(bars, point);
        }
        model.Series.Add(bars);
        model.Series.Add(line);
        string svg = new SvgExporter { Width = Width, Height = Height, IsDocument = false }.ExportToString(model);
        ReportPlot plot = new(Inner(svg), [.. points.Select(point => point is { } p ? (double[])[Pixel(x.Transform(100 * p.X.Value / p.Scale)), Pixel(y.Transform(100 * p.Y.Value))] : null)]);
        return plot;
    }

    private static void Bar(LineSeries bars, Point point)
    {
        double x = 100 * point.X.Value / point.Scale, y = 100 * point.Y.Value;
        bars.Points.AddRange([new DataPoint(x, 100 * point.Y.Low), new DataPoint(x, 100 * point.Y.High), DataPoint.Undefined]);
        if (point.X.Low < point.X.High)
            bars.Points.AddRange([new DataPoint(100 * point.X.Low, y), new DataPoint(100 * point.X.High, y), DataPoint.Undefined]);
    }

    private static LinearAxis Percent(AxisPosition position, string title, double low, double high) =>
        high > 1 ? Axis(position, title, low, high, 0.02) : Axis(position, title, 100 * low, 100 * high, 0.05);

    private static LinearAxis Axis(AxisPosition position, string title, double low, double high, double margin)
    {
        double room = high > low ? (high - low) * margin : 0.5;
        return new()
        {
            Position = position,
            Title = title,
            Minimum = low - room,
            Maximum = high + room,
            AxislineColor = Grid,
            TicklineColor = Grid,
            TextColor = Ink,
            TitleColor = Ink,
            MajorGridlineStyle = LineStyle.Solid,
            MajorGridlineColor = Grid,
            MinorTickSize = 0,
        };
    }

    // Inline SVG needs no name space, and the page's style gives the colours.
    private static string Inner(string svg) => Frame().Replace(svg, "")
        .Replace("rgb(1,2,3)", "var(--ink)", StringComparison.Ordinal).Replace("#010203", "var(--ink)", StringComparison.OrdinalIgnoreCase)
        .Replace("rgb(3,2,1)", "var(--grid)", StringComparison.Ordinal).Replace("#030201", "var(--grid)", StringComparison.OrdinalIgnoreCase);

    private static double Pixel(double value) => double.Parse(value.ToString("0.0", CultureInfo.InvariantCulture), CultureInfo.InvariantCulture);

    [GeneratedRegex("</?svg[^>]*>")]
    private static partial Regex Frame();
}
