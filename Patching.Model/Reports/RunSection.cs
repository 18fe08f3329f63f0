using System.Globalization;
using Patching.Model.Training;

namespace Patching.Model.Reports;

/// <summary>One run on the page: its slider, the numbers at an alpha, plots, the table of all alphas, how it was trained, and settings.</summary>
internal sealed class RunSection
{
    private static readonly (string Name, Func<ReportRow, double?> Of)[] AllMetrics =
        [("top-5", row => row.Top5), ("mean per class", row => row.MeanPerClass), ("calibration error", row => row.CalibrationError)];

    private readonly ReportRun run;
    private readonly int number;
    private readonly int first;
    private readonly (string Name, Func<ReportRow, double?> Of)[] metrics;
    private readonly List<Html> figures = [];
    private readonly List<(PredictionPart Part, int FirstMark)> parts = [];
    private readonly List<string> problems = [];
    private readonly List<IReadOnlyList<double[]?>> marks = [];

    /// <summary>Draws the plots.</summary>
    /// <param name="run">The run.</param>
    /// <param name="number">Its place on the page, from 0.</param>
    /// <param name="picturesPerTask">The most pictures of a task.</param>
    public RunSection(ReportRun run, int number, int picturesPerTask)
    {
        this.run = run;
        this.number = number;
        metrics = [.. AllMetrics.Where(metric => run.Tasks.Any(task => task.Rows.Values.Any(row => metric.Of(row) is not null)))];
        first = Math.Max(0, run.Alphas.ToList().IndexOf(run.FirstShown()));
        foreach (bool heldOut in (bool[])[false, true])
        {
            if (run.Frontier(heldOut).Count > 0) AddFrontier(heldOut);
        }
        if (run.Tasks.Count <= ReportPlots.Looks) AddCurves("Accuracy of every data set over alpha", [.. run.Tasks]);
        else foreach (ReportTask task in run.Tasks) AddCurves($"{task.Name} over alpha", [task]);
        ReportTask[] calibrated = [.. run.Tasks.Where(task => task.Rows.Values.Any(row => row.CalibrationError is not null))];
        foreach (ReportTask[] together in calibrated.Length <= ReportPlots.Looks ? [calibrated] : calibrated.Select(task => (ReportTask[])[task])) AddCalibration(together);
        // Test images where there are any: held-out ones were looked at by many evaluations.
        foreach (ReportTask task in run.Tasks.Where(task => !task.IsHeldOut || run.Tasks.All(other => other.IsHeldOut))) AddPredictions(task, picturesPerTask);
    }

    /// <summary>How many places the slider moves.</summary>
    public int CellCount => CellsAt(run.Alphas[first]).Count();

    /// <summary>The alphas of the slider.</summary>
    public IEnumerable<string> AlphaTexts => run.Alphas.Select(ReportText.Alpha);

    /// <summary>Per mark of the plots and alpha, where it is.</summary>
    public IReadOnlyList<IReadOnlyList<double[]?>> Marks => marks;

    /// <summary>The texts of the cells that the slider moves, in the order in which <see cref="Write"/> numbers them.</summary>
    public IEnumerable<string> CellsAt(double alpha) =>
        [.. run.Tasks.SelectMany(task => TaskCells(task, alpha)),
            .. run.Means.SelectMany(heldOut => Cells(run.SupportedMean(alpha, heldOut), run.SupportedMean(0, heldOut))), .. parts.SelectMany(part => part.Part.CellsAt(alpha))];

    /// <summary>The section.</summary>
    public Html Write()
    {
        SliderCells cells = new(number, [.. CellsAt(run.Alphas[first])]);
        Html numbers = Numbers(cells);
        Html[] changes = [.. parts.Select(part => part.Part.Write(cells, (caption, note, plot) => Figure(caption, note, Marked(plot, part.FirstMark, "bin"), default)))];
        return Html.Of($"""
            <section class="run" aria-labelledby="run{number}" data-run="{number}">
            <h2 id="run{number}">{run.Name}</h2>
            {Slider()}
            <h3>At this alpha</h3>
            {numbers}
            <h3>Plots</h3>
            <div class="plots">{figures}</div>
            {changes}
            {problems.Select(problem => Html.Of($"<p class=\"soft\">{problem}</p>\n"))}
            <h3>All alphas</h3>
            {AllAlphas()}
            {Training()}
            <h3>Settings</h3>
            {Settings()}
            </section>

            """);
    }

    private string[] TaskCells(ReportTask task, double alpha)
    {
        ReportRow? row = task.Rows.GetValueOrDefault(alpha);
        string Share(Func<ReportRow, double?> of) => row is not null && of(row) is { } share ? $"{ReportText.Percent(share)} %" : "";
        return [.. Cells(row?.Accuracy, task.At(0)), ReportText.Counts(row), .. metrics.Select(metric => Share(metric.Of))];
    }

    private static string[] Cells(AccuracyInterval? score, AccuracyInterval? before) =>
        [ReportText.Accuracy(score), ReportText.Range(score), ReportText.Change(score, before), ReportText.ChangeRange(score, before)];

    private Html Slider() => Html.Of($"""
        <div class="slider">
        <label for="alpha{number}">alpha</label>
        <input type="range" id="alpha{number}" min="0" max="{run.Alphas.Count - 1}" step="1" value="{first}" aria-valuetext="alpha {ReportText.Alpha(run.Alphas[first])}">
        <output id="chosen{number}" for="alpha{number}">{ReportText.Alpha(run.Alphas[first])}</output>
        </div>
        """);

    private Html Numbers(SliderCells cells)
    {
        Html Cell() => cells.Next();
        Html Row(string name, string role, bool counted) => Html.Of($"""
            <tr><th scope="row" class="name">{name}<small>{role}</small></th><td>{Cell()}<small>{Cell()}</small></td><td class="change">{Cell()}<small>{Cell()}</small></td><td>{(counted ? Cell() : default)}</td>{metrics.Select(_ => Html.Of($"<td>{(counted ? Cell() : default)}</td>"))}</tr>

            """);
        Html[] rows = [.. run.Tasks.Select(task => Row(task.Name, task.Role, counted: true)), .. run.Means.Select(heldOut => Row(ReportText.MeanName(heldOut), "", counted: false))];
        return Table($"{run.Name}: numbers at the alpha of the slider", Html.Of(
            $"<table class=\"now\"><thead><tr><th scope=\"col\">data set</th><th scope=\"col\">accuracy</th><th scope=\"col\">change from alpha 0, points</th><th scope=\"col\">correct</th>{metrics.Select(metric => Html.Of($"<th scope=\"col\">{metric.Name}</th>"))}</tr></thead><tbody>{rows}</tbody></table>"));
    }

    private Html AllAlphas()
    {
        Html[] heads = [.. run.Tasks.Select(task => Html.Of($"<th scope=\"col\" class=\"name\">{task.Name}<small>{task.Role}</small></th>")),
            .. run.Means.Select(heldOut => Html.Of($"<th scope=\"col\" class=\"name\">{ReportText.MeanName(heldOut)}</th>"))];
        Html Cell(AccuracyInterval? score) => Html.Of($"<td>{ReportText.Accuracy(score)}<small>{ReportText.Range(score)}</small></td>");
        Html[] rows = [.. run.Alphas.Select((alpha, index) => Html.Of(
            $"<tr{new Html(index == first ? " aria-current=\"true\"" : "")}><th scope=\"row\">{ReportText.Alpha(alpha)}</th>{run.Tasks.Select(task => Cell(task.At(alpha)))}{run.Means.Select(heldOut => Cell(run.SupportedMean(alpha, heldOut)))}</tr>\n"))];
        return Table($"{run.Name}: all alphas", Html.Of($"<table class=\"all\"><thead><tr><th scope=\"col\">alpha</th>{heads}</tr></thead><tbody>{rows}</tbody></table>"));
    }

    private void AddFrontier(bool heldOut)
    {
        PlotPoint? At(double alpha) => run.Frontier(heldOut).FirstOrDefault(point => point.Alpha == alpha) is { Supported: var x, Patched: var y }
            ? new(100 * x.Value, 100 * x.Low, 100 * x.High, 100 * y.Value, 100 * y.Low, 100 * y.High) : null;
        ReportPlot plot = ReportPlots.Frontier(new PlotLine(1, [.. run.Alphas.Select(At)]));
        AddFigure(heldOut ? "Frontier on held-out images" : "Frontier: what is gained for what is lost", "patched task against the mean of the supported ones, joined in the order of alpha", plot, default);
    }

    private void AddCurves(string caption, ReportTask[] tasks) =>
        AddTaskFigure(caption, "bars are 95 % intervals", tasks, lines => ReportPlots.Curves("accuracy, %", 100, run.Alphas, lines), (alpha, task) => task.At(alpha));

    private void AddCalibration(ReportTask[] tasks)
    {
        if (tasks.Length == 0) return;
        AccuracyInterval? Error(double alpha, ReportTask task) => task.Rows.GetValueOrDefault(alpha)?.CalibrationError is { } error ? new(error, error, error) : null;
        double top = 100 * tasks.SelectMany(task => task.Rows.Values).Max(row => row.CalibrationError ?? 0);
        AddTaskFigure(
            tasks.Length == 1 ? $"Calibration error of {tasks[0].Name} over alpha" : "Calibration error over alpha", "mean distance between confidence and accuracy (ECE)", tasks,
            lines => ReportPlots.Curves("calibration error, %", top, run.Alphas, lines), Error);
    }

    private void AddTaskFigure(
        string caption, string note, ReportTask[] tasks, Func<IReadOnlyList<PlotLine>, ReportPlot> draw, Func<double, ReportTask, AccuracyInterval?> value)
    {
        int other = 1;
        int[] looks = [.. tasks.Select(task => task.IsPatched == true && !task.IsHeldOut ? 0 : other < ReportPlots.Looks ? other++ : 0)];
        ReportPlot plot = draw([.. tasks.Select((task, i) => new PlotLine(looks[i], [.. run.Alphas.Select(alpha => Point(alpha, value(alpha, task)))]))]);
        Html legend = Html.Of($"<ul class=\"legend\">{tasks.Select((task, i) => Html.Of($"<li>{new Html(ReportPlots.Swatch(looks[i]))} {task.Name} <small>{task.Role}</small></li>"))}</ul>");
        AddFigure(caption, note, plot, legend);
    }

    private void AddPredictions(ReportTask task, int mostPictures)
    {
        TaskPredictions? predictions = TaskPredictions.Open(task, out string? problem);
        if (problem is not null) problems.Add($"Predictions of {task.Name} are left out: {problem}");
        if (predictions is null) return;
        PredictionPart part = new(task.Name, predictions, run.Alphas, mostPictures);
        parts.Add((part, marks.Count));
        marks.AddRange(part.Marks);
    }

    private static PlotPoint? Point(double alpha, AccuracyInterval? score) =>
        score is { } y ? new(alpha, alpha, alpha, 100 * y.Value, 100 * y.Low, 100 * y.High) : null;

    private void AddFigure(string caption, string note, ReportPlot plot, Html legend)
    {
        int firstMark = marks.Count;
        marks.AddRange(plot.Places);
        figures.Add(Figure(caption, note, Marked(plot, firstMark, "here"), legend));
    }

    // The circles show where the slider is.
    private Html Marked(ReportPlot plot, int firstMark, string look) => new(plot.Svg + Html.Join(plot.Places.Select((_, line) =>
    {
        double[] at = marks[firstMark + line][first] ?? [-99, -99];
        return Html.Of($"<circle class=\"{look}\" data-mark=\"{number}-{firstMark + line}\" r=\"{Number(at.Length > 2 ? at[2] : 8)}\" cx=\"{Number(at[0])}\" cy=\"{Number(at[1])}\"/>");
    })).Text);

    private static Html Figure(string caption, string note, Html drawing, Html legend) => Html.Of($"""
        <figure><figcaption>{caption} <small>{note}</small></figcaption>
        <svg viewBox="0 0 {ReportPlots.Width} {ReportPlots.Height}" role="img" aria-label="{caption}; the numbers are in the tables">{drawing}</svg>
        {legend}</figure>

        """);

    private Html Training()
    {
        string[] logs = [.. run.Tasks.SelectMany(task => task.Rows.Values).Select(row => row.TrainingLog).OfType<string>().Distinct()];
        IReadOnlyList<StepReport> steps = TrainingCurve.Thin([.. logs.SelectMany(TrainingLog.Read)]);
        if (steps.Count == 0) return default;
        Html Curve(string caption, string axis, Func<StepReport, double> value) => Figure(
            caption, "over the steps of the fine-tune",
            new Html(ReportPlots.Training(axis, new PlotLine(1, [.. steps.Select(step => (PlotPoint?)new PlotPoint(step.Step, step.Step, step.Step, value(step), value(step), value(step)))])).Svg), default);
        Html[] rows = [.. steps.Select(step => Html.Of(
            $"<tr><th scope=\"row\">{Number(step.Step)}</th><td>{Number(step.Loss)}</td><td>{Number(step.LearningRate)}</td><td>{Number(step.GradientNorm)}</td></tr>\n"))];
        return Html.Of($"""
            <h3>Training</h3>
            <div class="plots">{Curve("Loss", "loss", step => step.Loss)}{Curve("Learning rate", "learning rate", step => step.LearningRate)}{Curve("Gradient norm before clipping", "gradient norm", step => step.GradientNorm)}</div>
            <details><summary>The curves as a table</summary>{Table("training", Html.Of(
                $"<table><thead><tr><th scope=\"col\">step</th><th scope=\"col\">loss</th><th scope=\"col\">learning rate</th><th scope=\"col\">gradient norm</th></tr></thead><tbody>{rows}</tbody></table>"))}</details>

            """);
    }

    private Html Settings()
    {
        Html Row(string name, string value) => Html.Of($"<tr><th scope=\"row\">{name}</th><td>{value}</td></tr>\n");
        return Table("settings", Html.Of(
            $"<table class=\"words\"><tbody>{run.Settings.Select(field => Row(field.Key, field.Value))}{run.TaskSettings.Select(field => Row($"{field.Task.Name}: {field.Name}", field.Value))}</tbody></table>"));
    }

    /// <summary>A table that scrolls by itself where it is wide, by keyboard, too.</summary>
    public static Html Table(string label, Html table) => Html.Of($"<div class=\"scroll\" tabindex=\"0\" role=\"group\" aria-label=\"{label}\">{table}</div>\n");

    private static string Number(double value) => value.ToString("G6", CultureInfo.InvariantCulture);
}
