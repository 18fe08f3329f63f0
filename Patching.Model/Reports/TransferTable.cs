namespace Patching.Model.Reports;

/// <summary>Every patch and model against every data set; there is none where there is only one run.</summary>
internal sealed class TransferTable
{
    private readonly PatchReport report;
    private readonly IReadOnlyList<string> sets;
    private readonly IReadOnlyList<int> cellsBefore;
    private readonly bool isShown;

    /// <summary>Prepares the table.</summary>
    /// <param name="report">All results.</param>
    /// <param name="cellsBefore">Per run, how many places of its section its slider moves.</param>
    public TransferTable(PatchReport report, IReadOnlyList<int> cellsBefore)
    {
        this.report = report;
        sets = report.TestSets;
        isShown = report.Runs.Count != 1 || report.Models.Count > 0;
        this.cellsBefore = cellsBefore;
    }

    /// <summary>The texts of a run's row that its slider moves.</summary>
    public IEnumerable<string> CellsAt(int run, double alpha) => !isShown ? [] :
        [ReportText.Alpha(alpha), .. sets.SelectMany(set => Cells(TaskOf(report.Runs[run], set)?.At(alpha), TaskOf(report.Runs[run], set)?.At(0)))];

    /// <summary>The section.</summary>
    public Html Section()
    {
        if (!isShown) return default;
        return Html.Of($"""
            <section aria-labelledby="transfer">
            <h2 id="transfer">Every patch on every data set</h2>
            <p>Accuracy on test images, and the change from the original model in points. The sliders below move the rows of their runs.</p>
            <div class="scroll" tabindex="0" role="group" aria-label="transfer matrix"><table class="matrix">
            <thead><tr><th scope="col">patch</th><th scope="col">alpha or coefficients</th>{sets.Select(set => Html.Of($"<th scope=\"col\" class=\"name\">{set}</th>"))}</tr></thead>
            <tbody>{report.Runs.Select(RunRow)}{report.Models.Select(ModelRow)}</tbody></table></div>
            </section>

            """);
    }

    private Html RunRow(ReportRun run, int number)
    {
        SliderCells cells = new(number, [.. CellsAt(number, run.FirstShown())], cellsBefore[number]);
        Html Score(string set) => Html.Of($"<td{Own(TaskOf(run, set)?.IsPatched == true)}>{cells.Next()}<small>{cells.Next()}</small></td>");
        return Html.Of($"<tr><th scope=\"row\" class=\"name\"><a href=\"#run{number}\">{run.Name}</a></th><td>{cells.Next()}</td>{sets.Select(Score)}</tr>\n");
    }

    private Html ModelRow(ReportModel model)
    {
        Html Score(string set)
        {
            string[] cells = Cells(model.Rows.GetValueOrDefault(set)?.Accuracy, model.Original?.Rows.GetValueOrDefault(set)?.Accuracy);
            return Html.Of($"<td>{cells[0]}<small>{cells[1]}</small></td>");
        }
        return Html.Of($"<tr><th scope=\"row\" class=\"name\">{model.Name}</th><td>{model.Coefficients}</td>{sets.Select(Score)}</tr>\n");
    }

    // What was learnt stands out from what was transferred to.
    private static Html Own(bool isPatched) => new(isPatched ? " data-own" : "");

    private static ReportTask? TaskOf(ReportRun run, string set) => run.Tasks.FirstOrDefault(task => task.Name == set);

    private static string[] Cells(AccuracyInterval? score, AccuracyInterval? original) => [score is null ? "\u2013" : ReportText.Accuracy(score), ReportText.Change(score, original)];
}
