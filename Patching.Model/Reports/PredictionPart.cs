using System.Globalization;
using Patching.Model.Evaluation;
using Patching.Model.Images;

namespace Patching.Model.Reports;

/// <summary>What becomes of the images of a task: pictures whose prediction flips, classes, confusions, reliability. The slider moves all of it.</summary>
internal sealed class PredictionPart
{
    // Rows of a table: as many classes as fit a screen, or those that gain and lose most.
    private const int MostClasses = 16;
    private const int MostConfusions = 10;
    private const int Quality = 85;

    private readonly string task;
    private readonly TaskPredictions predictions;
    private readonly (int Index, int Label, byte[] Pixels)[] flips;
    private readonly int classRows;
    private readonly ReportPlot reliability;

    /// <summary>Prepares the part.</summary>
    /// <param name="task">The task's name.</param>
    /// <param name="predictions">Its predictions.</param>
    /// <param name="alphas">The alphas of the slider.</param>
    /// <param name="mostPictures">The most pictures to be shown.</param>
    public PredictionPart(string task, TaskPredictions predictions, IReadOnlyList<double> alphas, int mostPictures)
    {
        this.task = task;
        this.predictions = predictions;
        flips = [.. predictions.Flips().Take(mostPictures)];
        classRows = Math.Min(predictions.Classes(predictions.Start).Count, MostClasses);
        ConfidenceBin[][] bins = [.. alphas.Select(predictions.Bins)];
        reliability = ReportPlots.Reliability([.. Enumerable.Range(0, CalibrationError.Bins).Select(bin => new PlotLine(1, [.. bins.Select(ofAlpha => Point(ofAlpha[bin]))]))]);
        // The area of a circle is the share of the predictions.
        Marks = [.. reliability.Places.Select((places, bin) => (IReadOnlyList<double[]?>)[.. places.Select((place, a) =>
            place is null ? null : (double[])[.. place, Radius((double)bins[a][bin].Count / bins[a].Sum(b => b.Count))])])];
    }

    /// <summary>Places and radii of the circles of the reliability diagram.</summary>
    public IReadOnlyList<IReadOnlyList<double[]?>> Marks { get; }

    /// <summary>The texts that the slider moves.</summary>
    public IEnumerable<string> CellsAt(double alpha)
    {
        bool isKnown = predictions.At(alpha) is not null;
        string[] pictures = [.. flips.Select(flip => isKnown ? Said(alpha, flip.Index, flip.Label) : ReportText.NotMeasured)];
        return [.. pictures, .. Rows(classRows, isKnown ? ClassCells(alpha) : []), .. Rows(MostConfusions, isKnown ? ConfusionCells(alpha) : [])];
    }

    /// <summary>The part.</summary>
    /// <param name="cells">Numbers the places that the slider moves.</param>
    /// <param name="reliabilityFigure">Makes a figure of caption, note and plot.</param>
    public Html Write(SliderCells cells, Func<string, string, ReportPlot, Html> reliabilityFigure)
    {
        string start = ReportText.Alpha(predictions.Start);
        Html pictures = flips.Length == 0 ? default : Html.Of($"""
            <p>{flips.Length} of {predictions.FlipCount} images whose prediction changes up to the largest alpha, those first that flip first. ✓ is right, ✗ is wrong.</p>
            <ul class="flips">{flips.Select(flip => Picture(flip, cells)).ToArray()}</ul>

            """);
        Html classes = Table("classes", "class", classRows, ", %", cells), confusions = Table("confusions", "true class → taken for", MostConfusions, "", cells);
        return Html.Of($"""
            <h3>What changes in {task}</h3>
            <p class="soft">Before is alpha {start}, now the alpha of the slider.</p>
            {pictures}<div class="plots">
            <div><h4>{(classRows < predictions.Classes(predictions.Start).Count ? "Classes that gain and lose most" : "Accuracy per class")}</h4>{classes}</div>
            <div><h4>Confusions that change most</h4>{confusions}</div>
            {reliabilityFigure($"Reliability on {task}", "accuracy of predictions by their confidence; the larger the circle, the more of them", reliability)}
            </div>

            """);
    }

    private static PlotPoint? Point(ConfidenceBin bin) =>
        bin.Count == 0 ? null : new PlotPoint(100 * bin.Confidence, 100 * bin.Confidence, 100 * bin.Confidence, 100 * bin.Accuracy, 100 * bin.Accuracy, 100 * bin.Accuracy);

    private static double Radius(double share) => Math.Round(2.5 + 18 * Math.Sqrt(share), 1);

    private static IEnumerable<string> Rows(int count, IReadOnlyList<string[]> rows) =>
        Enumerable.Range(0, count).SelectMany(row => row < rows.Count ? rows[row] : ["", "", "", ""]);

    private static Html Table(string label, string first, int rows, string unit, SliderCells cells)
    {
        Html Row() => Html.Of($"<tr><th scope=\"row\" class=\"name\">{cells.Next()}</th><td>{cells.Next()}</td><td>{cells.Next()}</td><td>{cells.Next()}</td></tr>\n");
        Html[] body = [.. Enumerable.Range(0, rows).Select(_ => Row())];
        return RunSection.Table(label, Html.Of(
            $"<table><thead><tr><th scope=\"col\">{first}</th><th scope=\"col\">before{unit}</th><th scope=\"col\">now{unit}</th><th scope=\"col\">change</th></tr></thead><tbody>{body}</tbody></table>"));
    }

    private Html Picture((int Index, int Label, byte[] Pixels) flip, SliderCells cells)
    {
        byte[] jpeg = SkiaImageWriter.Jpeg(new RgbImage(FlippedImages.Side, FlippedImages.Side, flip.Pixels), Quality);
        return Html.Of($"""
            <li><img src="data:image/jpeg;base64,{new Html(Convert.ToBase64String(jpeg))}" width="{FlippedImages.Side}" height="{FlippedImages.Side}" alt="image {flip.Index}"><div><b>{predictions.ClassNames[flip.Label]}</b><small>{Said(predictions.Start, flip.Index, flip.Label)} before</small>{cells.Next()}</div></li>

            """);
    }

    private string Said(double alpha, int index, int label) => predictions.At(alpha)![index] switch
    {
        < 0 => "not read",
        var said => $"{(said == label ? "✓" : "✗")} {predictions.ClassNames[said]}",
    };

    private string[][] ClassCells(double alpha)
    {
        IReadOnlyList<ClassChange> all = predictions.Classes(alpha);
        IEnumerable<ClassChange> shown = all.Count <= MostClasses ? all
            : all.OrderByDescending(of => of.Change).ThenBy(of => of.Class).ToArray() is var sorted ? [.. sorted.Take(MostClasses / 2), .. sorted.TakeLast(MostClasses / 2)] : [];
        return [.. shown.Select(of => (string[])
            [predictions.ClassNames[of.Class], ReportText.Percent((double)of.Before / of.Images), ReportText.Percent((double)of.Now / of.Images), ReportText.Points(of.Change)])];
    }

    private string[][] ConfusionCells(double alpha) => [.. predictions.Confusions(alpha).Take(MostConfusions).Select(pair => (string[])
    [
        $"{predictions.ClassNames[pair.Class]} → {predictions.ClassNames[pair.TakenFor]}", pair.Before.ToString(CultureInfo.InvariantCulture), pair.Now.ToString(CultureInfo.InvariantCulture),
        (pair.Now - pair.Before).ToString("+0;\u22120;0", CultureInfo.InvariantCulture),
    ])];
}
