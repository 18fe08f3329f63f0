using System.Text.Json;
using System.Text.RegularExpressions;
using NUnit.Framework;
using Patching.Model.Reports;

namespace Patching.Tests.Model.Reports;

/// <summary>What is written about rows.</summary>
internal sealed partial class ReportFormatTests
{
    private const string Hostile = "</script><script>alert('1')</script>\"|<b>&amp;`x`\n, y";

    [Test]
    public void CsvHoldsEveryNumberAndQuotesWhatItMust()
    {
        string csv = TableReport.Csv(ResultLines.Report(
            ResultLines.Line("MNIST", 0.5, 1, 4, ("skipped", 2), ("misled", 1), ("top5", 1), ("mean_per_class", 0.5), ("ece", 0.125), ("exp_name", "a, \"b\"")), ResultLines.Line("MNIST", null, 3, 4, ("finetune", null), ("coefficients", (double[])[0.5, 0.25]))));
        AccuracyInterval first = AccuracyInterval.Wilson(1, 4), second = AccuracyInterval.Wilson(3, 4);
        Assert.That(csv, Is.EqualTo(FormattableString.Invariant($""""
            run,task,role,alpha,coefficients,correct,count,accuracy,low,high,top5,mean_per_class,ece,skipped,misled
            "a, ""b""",MNIST,patched,0.5,,1,4,0.250000,{first.Low:0.000000},{first.High:0.000000},1.000000,0.500000,0.125000,2,1
            models/base,MNIST,,,"[0.5,0.25]",3,4,0.750000,{second.Low:0.000000},{second.High:0.000000},,,,0,

            """")));
    }

    [Test]
    public void MarkdownIsATablePerRun()
    {
        string markdown = TableReport.Markdown(ResultLines.Report([.. ResultLines.Run([0, 0.5]), ResultLines.Line(Hostile, 0.5, 1, 4)]));
        string[] lines = markdown.Split('\n');
        Assert.That(lines[0], Is.EqualTo("## MNIST in models/base"));
        Assert.That(lines[2], Does.StartWith("| alpha | FashionMNIST (supported) | MNIST (patched) | \\</script\\>").And.EndsWith("| mean of supported |"));
        Assert.That(lines[4], Does.StartWith("| 0 | 90.00 % (85.06 to 93.43) | 10.00 % (").And.EndsWith("| not measured | not measured |"));
        Assert.That(lines[5], Does.StartWith("| 0.5 | 85.00 %"));
        Assert.That(lines.Where(line => line.StartsWith('|')).Select(line => Cells().Count(line)), Is.All.EqualTo(6), "one line, as many cells");
    }

    [Test]
    public void ThePageNeedsNothingElseAndEscapesWhatComesFromFiles()
    {
        string page = HtmlReport.Create(ResultLines.Report(
            [.. ResultLines.Run([0, 1], ("exp_name", Hostile), ("command", Hostile)), ResultLines.Line(Hostile, 1, 1, 4, ("finetune", null), ("model", Hostile), (Hostile, Hostile))]));
        Assert.That(Regex.Count(page, "<script"), Is.EqualTo(2), "the data and the script of the page");
        Assert.That(Regex.Count(page, "</script"), Is.EqualTo(2));
        Assert.That(page, Does.Not.Contain("<b>").And.Not.Contain("alert('1')"));
        Assert.That(page, Does.Contain("&lt;/script&gt;&lt;script&gt;alert(&#39;1&#39;)"));
        Assert.That(Addresses().Matches(page).Select(match => match.Value), Is.All.StartsWith("href=\"#"), "no address but places of the page");
        Assert.That(Regex.Matches(page, "url\\(|@import|http"), Has.Count.EqualTo(1), "http-equiv");
        Assert.That(page, Does.Not.Contain("254,"), "a colour that the page does not know");
    }

    [Test]
    public void TheSliderHasEveryNumberOfEveryAlpha()
    {
        string page = HtmlReport.Create(ResultLines.Report(ResultLines.Run([0, 0.5, 1])));
        string data = page.Split("id=\"data\">")[1].Split("</script>")[0];
        JsonElement run = JsonDocument.Parse(data).RootElement[0];
        Assert.That(run.GetProperty("alphas").EnumerateArray().Select(alpha => alpha.GetString()), Is.EqualTo(["0", "0.5", "1"]));
        string[][] cells = run.GetProperty("cells").Deserialize<string[][]>()!;
        for (int i = 0; i < 3; i++)
        {
            Assert.That(cells[i], Has.Length.EqualTo(14), "five per task, four of the mean");
            Assert.That(cells[i][0], Is.EqualTo($"{ResultLines.Percent(180 - 10 * i, 200)} %"));
            Assert.That(cells[i][4], Is.EqualTo($"{180 - 10 * i} of 200"));
            Assert.That(cells[i][5], Is.EqualTo($"{ResultLines.Percent(5 + 20 * i, 50)} %"));
            Assert.That(cells[i][7], Is.EqualTo(i == 0 ? "0.00" : $"+{40 * i}.00"));
            Assert.That(cells[i][10], Is.EqualTo(cells[i][0]), "one supported task is the mean");
            foreach (string cell in cells[i]) Assert.That(page, i == 2 ? Does.Contain($">{cell}</span>") : Is.Not.Null, "the alpha shown first is there without the script");
        }
        Assert.That(Regex.Count(page, "data-cell=\"0-"), Is.EqualTo(14));
        Assert.That(run.GetProperty("marks").GetArrayLength(), Is.EqualTo(3), "the frontier, two curves");
        Assert.That(Regex.Count(page, "data-mark=\"0-"), Is.EqualTo(3));
    }

    [Test]
    public void MarksAreWhereThePointsAreDrawn()
    {
        ReportPlot plot = ReportPlots.Curves("accuracy, %", 100, [0, 1], [new PlotLine(0, [new PlotPoint(0, 0, 0, 25, 20, 30), null]), new PlotLine(1, [null, new PlotPoint(1, 1, 1, 75, 70, 80)])]);
        Assert.That(plot.Places[0][1], Is.Null);
        double[] left = plot.Places[0][0]!, right = plot.Places[1][1]!;
        Assert.That(left[0], Is.GreaterThan(60).And.LessThan(right[0]));
        Assert.That(left[1], Is.GreaterThan(right[1]), "downwards");
        // A square around the left point: its corner is a marker's size away.
        Assert.That(plot.Svg, Does.Contain("var(--look0)").And.Contain("var(--look1)").And.Contain("var(--ink)").And.Contain("var(--grid)"));
        Match square = SquareMark().Match(plot.Svg);
        Assert.That(square.Success, plot.Svg);
        Assert.That(double.Parse(square.Groups[1].Value, System.Globalization.CultureInfo.InvariantCulture), Is.EqualTo(left[0] - 4).Within(1));
    }

    [Test]
    public void SeveralRunsAndModelsGiveATransferMatrixThatTheSlidersMove()
    {
        PatchReport report = ResultLines.Report(
            [.. ResultLines.Run([0, 1]), .. ResultLines.Run([0, 1], ("finetune", new { train_dataset = "FashionMNIST" })), ResultLines.Line("MNIST", null, 11, 50, ("finetune", null))]);
        string page = HtmlReport.Create(report);
        Assert.That(Regex.Count(page, "<input type=\"range\""), Is.EqualTo(2));
        Assert.That(page, Does.Contain("Every patch on every data set").And.Contain(">22.00 %<"));
        Assert.That(HtmlReport.Create(ResultLines.Report(ResultLines.Run([0, 1]))), Does.Not.Contain("Every patch on every data set"));
        JsonElement second = JsonDocument.Parse(page.Split("id=\"data\">")[1].Split("</script>")[0]).RootElement[1];
        string[][] cells = second.GetProperty("cells").Deserialize<string[][]>()!;
        Assert.That(cells[1][14..], Is.EqualTo(["1", "80.00 %", "\u221210.00", "90.00 %", "+80.00"]), "alpha, FashionMNIST, MNIST");
    }

    [GeneratedRegex("(?:src|href|action|srcset|data|poster)=\"[^\"]*")]
    private static partial Regex Addresses();

    [GeneratedRegex(@"(?<!\\)\|")]
    private static partial Regex Cells();

    [GeneratedRegex("<rect x=\"([\\d.]+)\" y=\"[\\d.]+\" width=\"8\"")]
    private static partial Regex SquareMark();
}
