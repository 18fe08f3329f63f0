using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using Patching.Model.Evaluation;
using Patching.Model.Merging;

namespace Patching.Model.Reports;

/// <summary>
/// The report as one HTML file that needs nothing else: no network, no other file. Every number is in it for every alpha, so the slider only chooses which are shown;
/// without scripts the tables remain.
/// </summary>
public static class HtmlReport
{
    /// <summary>Name of the page that <c>patch</c> and <c>tasks</c> leave beside their models.</summary>
    public const string FileName = "report.html";

    // Of about three kilobytes each, so that a page with many data sets stays one that can be sent.
    private const int MostPictures = 480;

    /// <summary>Writes the page, complete or not at all.</summary>
    public static void Save(string path, PatchReport report) => OutputFile.WriteText(path, Create(report));

    /// <summary>Leaves the page of a run in its folder.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="records">What the run measured.</param>
    /// <param name="resultsFolder">The folder from which the records see other files.</param>
    /// <returns>The page's path.</returns>
    public static string Save(string folder, IEnumerable<ResultRecord> records, string resultsFolder)
    {
        string path = Path.Combine(folder, FileName);
        Save(path, new PatchReport(ReportRow.Of(records, resultsFolder)));
        return path;
    }

    /// <summary>The page.</summary>
    public static string Create(PatchReport report)
    {
        string script = Resource("Report.js");
        int pictures = MostPictures / Math.Max(1, report.Runs.Sum(run => run.Tasks.Count));
        RunSection[] sections = [.. report.Runs.Select((run, number) => new RunSection(run, number, pictures))];
        TransferTable transfer = new(report, [.. sections.Select(section => section.CellCount)]);
        // What the slider of a run moves: its own section's numbers, then its row of the transfer table.
        string data = JsonSerializer.Serialize(sections.Select((section, number) => new
        {
            alphas = section.AlphaTexts,
            cells = report.Runs[number].Alphas.Select(alpha => (string[])[.. section.CellsAt(alpha), .. transfer.CellsAt(number, alpha)]),
            marks = section.Marks,
        }));
        string title = report.Runs.Count == 1 ? $"Patching report: {report.Runs[0].Name}" : "Patching report";
        return Html.Of($"""
            <!DOCTYPE html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src '{new Html(Hash(script))}'">
            <title>{title}</title>
            <style>
            {new Html(Resource("Report.css"))}</style>
            </head>
            <body>
            <header>
            <h1>Patching report</h1>
            <p class="soft">Fine-tuned weights &theta;<sub>1</sub> are interpolated with the original ones &theta;<sub>0</sub>: &theta; = (1 &minus; alpha) &theta;<sub>0</sub> + alpha &theta;<sub>1</sub>.
            Intervals are of 95 %: Wilson's of an accuracy; means and changes combine them by MOVER, as of different images, which for changes on the same images is too wide rather than too narrow.</p>
            </header>
            <main>
            {transfer.Section()}
            {sections.Select(section => section.Write())}
            </main>
            <script type="application/json" id="data">{new Html(data)}</script>
            <script>{new Html(script)}</script>
            </body>
            </html>

            """).Text;
    }

    // A page of text that came from files runs no other script than this one.
    private static string Hash(string script) => $"sha256-{Convert.ToBase64String(SHA256.HashData(Encoding.UTF8.GetBytes(script)))}";

    private static string Resource(string name)
    {
        using StreamReader reader = new(typeof(HtmlReport).Assembly.GetManifestResourceStream(name)!);
        return reader.ReadToEnd();
    }
}
