using System.Globalization;
using System.Text.RegularExpressions;
using OxyPlot;
using OxyPlot.Axes;
using OxyPlot.Series;

namespace Patching.Model.Reports;

/// <summary>A point with the ends of its intervals, in the units of the axes.</summary>
internal readonly record struct PlotPoint(double X, double XLow, double XHigh, double Y, double YLow, double YHigh);

/// <summary>A line of a plot.</summary>
/// <param name="Look">Which of <see cref="ReportPlots.Looks"/> it has.</param>
/// <param name="Points">Its points; null is a gap in what is marked, not in the line.</param>
internal sealed record PlotLine(int Look, IReadOnlyList<PlotPoint?> Points);

/// <summary>A plot, and where the points are in it.</summary>
/// <param name="Svg">The elements inside <c>svg</c>, for the view box of <see cref="ReportPlots"/>.</param>
/// <param name="Places">Per line, pixels of every point.</param>
internal sealed record ReportPlot(string Svg, IReadOnlyList<IReadOnlyList<double[]?>> Places);

/// <summary>Draws the plots of a report. No text of a user gets into them: captions and legends are the page's, which also gives the colours, for it knows whether it is light or dark.</summary>
internal static partial class ReportPlots
{
    /// <summary>Size of every plot's view box.</summary>
    public const int Width = 480, Height = 330;

    /// <summary>How many lines look different; the first is the patched task's. Report.css gives their colours.</summary>
    public const int Looks = 6;

    // No colour that is drawn: the page's variables stand in their places.
    private const byte Mark = 254;
    private static readonly OxyColor Ink = OxyColor.FromRgb(Mark, 1, 0), Grid = OxyColor.FromRgb(Mark, 1, 1);

    // Shapes, for those who see no colours.
    private static readonly MarkerType[] Markers =
        [MarkerType.Square, MarkerType.Circle, MarkerType.Triangle, MarkerType.Diamond, MarkerType.Circle, MarkerType.Triangle];

    private static readonly LineStyle[] Styles = [LineStyle.Solid, LineStyle.Solid, LineStyle.LongDash, LineStyle.Dash, LineStyle.DashDot, LineStyle.Dot];

    /// <summary>Shares in percent over alpha.</summary>
    /// <param name="title">What they are.</param>
    /// <param name="top">The end of their axis.</param>
    /// <param name="alphas">The alphas.</param>
    /// <param name="lines">A line per task.</param>
    public static ReportPlot Curves(string title, double top, IReadOnlyList<double> alphas, IReadOnlyList<PlotLine> lines) =>
        Draw(Axis(AxisPosition.Bottom, "alpha", alphas[0], alphas[^1], 0.02), Axis(AxisPosition.Left, title, 0, top, 0.02), lines, [.. lines.SelectMany(line => Drawn(line, markers: true))]);

    /// <summary>The patching task against the mean of the supported ones, in percent, joined in the order of alpha.</summary>
    public static ReportPlot Frontier(PlotLine line)
    {
        PlotPoint[] points = [.. line.Points.OfType<PlotPoint>()];
        return Draw(
            Axis(AxisPosition.Bottom, "mean of supported tasks, %", points.Min(point => point.XLow), points.Max(point => point.XHigh), 0.05),
            Axis(AxisPosition.Left, "patched task, %", points.Min(point => point.YLow), points.Max(point => point.YHigh), 0.05), [line], Drawn(line, markers: true));
    }

    /// <summary>A number over the steps of a training run.</summary>
    public static ReportPlot Training(string title, PlotLine line)
    {
        PlotPoint[] points = [.. line.Points.OfType<PlotPoint>()];
        return Draw(
            Axis(AxisPosition.Bottom, "step", 0, points.Max(point => point.X), 0.02), Axis(AxisPosition.Left, title, 0, points.Max(point => point.Y), 0.05), [line],
            Drawn(line, markers: points.Length == 1));
    }

    /// <summary>Accuracy in percent over confidence in percent: the diagonal, where they agree, is drawn; the points are only placed.</summary>
    public static ReportPlot Reliability(IReadOnlyList<PlotLine> bins)
    {
        LineSeries diagonal = new() { Color = Grid, StrokeThickness = 2 };
        diagonal.Points.AddRange([new DataPoint(0, 0), new DataPoint(100, 100)]);
        return Draw(Axis(AxisPosition.Bottom, "confidence, %", 0, 100, 0.02), Axis(AxisPosition.Left, "accuracy, %", 0, 100, 0.02), bins, [diagonal]);
    }

    /// <summary>The marker of a look, as it stands in a legend, in a view box of 32 by 12.</summary>
    public static string Swatch(int look)
    {
        string shape = Markers[look] switch
        {
            MarkerType.Square => "<path d='M12 2h8v8h-8z'/>",
            MarkerType.Triangle => "<path d='M16 1l5 9h-10z'/>",
            MarkerType.Diamond => "<path d='M16 0l6 6-6 6-6-6z'/>",
            _ => "<circle cx='16' cy='6' r='4.5'/>",
        };
        string dashes = string.Join(' ', Styles[look].GetDashArray()?.Select(length => (2 * length).ToString(CultureInfo.InvariantCulture)) ?? []);
        return $"<svg class='swatch' viewBox='0 0 32 12' aria-hidden='true' style='fill:var(--look{look});stroke:var(--look{look})'>"
            + $"<path d='M0 6h32' stroke-width='2' stroke-dasharray='{dashes}'/>{shape}</svg>";
    }

    private static ReportPlot Draw(Axis x, Axis y, IReadOnlyList<PlotLine> placed, IReadOnlyList<LineSeries> drawn)
    {
        PlotModel model = new()
        {
            PlotAreaBorderColor = Grid,
            TextColor = Ink,
            Background = OxyColors.Transparent,
            DefaultFont = "system-ui",
            DefaultFontSize = 16,
            PlotMargins = new OxyThickness(68, 8, 16, 54),
        };
        model.Axes.Add(x);
        model.Axes.Add(y);
        foreach (LineSeries series in drawn) model.Series.Add(series);
        string svg = new SvgExporter { Width = Width, Height = Height, IsDocument = false }.ExportToString(model);
        return new(WithVariables(svg), [.. placed.Select(line => line.Points.Select(
            point => point is { } p ? (double[])[Pixel(x.Transform(p.X)), Pixel(y.Transform(p.Y))] : null).ToArray())]);
    }

    private static LineSeries[] Drawn(PlotLine line, bool markers)
    {
        OxyColor colour = OxyColor.FromRgb(Mark, 2, (byte)line.Look);
        LineSeries joined = new() { Color = colour, StrokeThickness = 2, LineStyle = Styles[line.Look], MarkerType = markers ? Markers[line.Look] : MarkerType.None, MarkerSize = 4, MarkerFill = colour };
        LineSeries bars = new() { Color = colour, StrokeThickness = 1.2 };
        foreach (PlotPoint point in line.Points.OfType<PlotPoint>())
        {
            joined.Points.Add(new DataPoint(point.X, point.Y));
            if (point.YLow < point.YHigh) bars.Points.AddRange([new DataPoint(point.X, point.YLow), new DataPoint(point.X, point.YHigh), DataPoint.Undefined]);
            if (point.XLow < point.XHigh) bars.Points.AddRange([new DataPoint(point.XLow, point.Y), new DataPoint(point.XHigh, point.Y), DataPoint.Undefined]);
        }
        return bars.Points.Count > 0 ? [bars, joined] : [joined];
    }

    private static LinearAxis Axis(AxisPosition position, string title, double low, double high, double margin)
    {
        double room = high > low ? (high - low) * margin : 0.5;
        return new()
        {
            Position = position,
            Title = title,
            AxisTitleDistance = position == AxisPosition.Left ? 18 : 8,
            Minimum = low - room,
            Maximum = high + room,
            TicklineColor = Grid,
            TextColor = Ink,
            TitleColor = Ink,
            MajorGridlineStyle = LineStyle.Solid,
            MajorGridlineColor = Grid,
            MinorTickSize = 0,
            LabelFormatter = Label,
        };
    }

    // Learning rates are small: 0.0003 as 3e-4.
    private static string Label(double value) =>
        value.ToString(value != 0 && Math.Abs(value) < 0.01 ? "0.##e-0" : "G6", CultureInfo.InvariantCulture);

    // Inline SVG needs no frame of its own; nothing is drawn outside the axes, and names of clip paths would be the same in every plot of a page.
    private static string WithVariables(string svg) => Sentinel().Replace(Frame().Replace(svg, ""), match => (match.Groups[1].Value, match.Groups[2].Value) switch
    {
        ("1", "0") => "var(--ink)",
        ("1", _) => "var(--grid)",
        (_, { } look) => $"var(--look{look})",
    });

    private static double Pixel(double value) => Math.Round(value, 1);

    [GeneratedRegex("</?svg[^>]*>|<\\?xml[^>]*>|<defs>.*?</defs>| clip-path=\"[^\"]*\"", RegexOptions.Singleline)]
    private static partial Regex Frame();

    [GeneratedRegex("rgb\\(254,(\\d),(\\d)\\)")]
    private static partial Regex Sentinel();
}
