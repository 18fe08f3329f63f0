using System.Text.Json;
using System.Text.RegularExpressions;
using NUnit.Framework;
using Patching.Model.Evaluation;
using Patching.Model.Reports;

namespace Patching.Tests.Model.Reports;

/// <summary>What the report says of single images, on a task small enough to count by hand.</summary>
internal sealed class TaskPredictionsTests
{
    private string folder = null!;
    private string[] lines = null!;

    [SetUp]
    public void WritePredictions()
    {
        folder = Directory.CreateTempSubdirectory("patching-report-").FullName;
        lines = PredictedTask.Write(folder);
    }

    [TearDown]
    public void RemoveFolder() => Directory.Delete(folder, recursive: true);

    [Test]
    public void ClassesAreCountedByTheirRightImages()
    {
        TaskPredictions predictions = Open();
        Assert.That(predictions.Classes(0.5), Is.EqualTo([new ClassChange(0, 3, 1, 2), new ClassChange(1, 3, 2, 1), new ClassChange(2, 1, 0, 1)]));
        Assert.That(predictions.Classes(1), Is.EqualTo([new ClassChange(0, 3, 1, 3), new ClassChange(1, 3, 2, 0), new ClassChange(2, 1, 0, 1)]));
    }

    [Test]
    public void ConfusionsAreSortedByHowMuchTheyChange()
    {
        TaskPredictions predictions = Open();
        Assert.That(predictions.Confusions(0), Is.Empty);
        Assert.That(predictions.Confusions(1), Is.EqualTo([new ConfusionChange(0, 1, 2, 0), new ConfusionChange(1, 0, 1, 3), new ConfusionChange(2, 0, 1, 0)]));
        Assert.That(predictions.Confusions(0.5), Is.EqualTo([new ConfusionChange(0, 1, 2, 1), new ConfusionChange(1, 0, 1, 2), new ConfusionChange(2, 0, 1, 0)]));
    }

    [Test]
    public void PicturesComeInTheOrderInWhichTheyFlip()
    {
        TaskPredictions predictions = Open();
        Assert.That(predictions.FlipCount, Is.EqualTo(5));
        Assert.That(predictions.Flips().Select(flip => (flip.Index, flip.Label, flip.Pixels.Length)), Is.EqualTo([(1, 0, 12288), (4, 1, 12288), (6, 2, 12288), (2, 0, 12288), (3, 1, 12288)]));
    }

    [Test]
    public void BinsAddUpToTheCalibrationError()
    {
        TaskPredictions predictions = Open();
        foreach ((double alpha, int a) in PredictedTask.Alphas.Select((alpha, a) => (alpha, a)))
        {
            ConfidenceBin[] bins = predictions.Bins(alpha);
            Assert.That(bins.Sum(bin => bin.Count), Is.EqualTo(7), "the image that was not read does not count");
            double? error = CalibrationError.Of(PredictedTask.Labels.Take(7).Select((label, i) => (PredictedTask.Confidences[a][i], PredictedTask.Predictions[a][i] == label)));
            Assert.That(bins.Sum(bin => bin.Count * Math.Abs(bin.Accuracy - bin.Confidence)) / 7, Is.EqualTo(error).Within(1e-12));
        }
    }

    [Test]
    public void ThePageHasPicturesAndEveryTextForEveryAlpha()
    {
        string page = Page();
        Assert.That(Regex.Count(page, "<img src=\"data:image/jpeg;base64,/9j/"), Is.EqualTo(5), "JPEG files");
        JsonElement run = JsonDocument.Parse(page.Split("id=\"data\">")[1].Split("</script>")[0]).RootElement[0];
        string[][] cells = run.GetProperty("cells").Deserialize<string[][]>()!;
        // Five numbers and the calibration error; five pictures; three classes and ten confusions of four cells.
        Assert.That(cells.Select(cell => cell.Length), Is.All.EqualTo(6 + 5 + 12 + 40));
        Assert.That(cells[0][6..11], Is.EqualTo(["✗ class 1", "✓ class 1", "✗ class 0", "✗ class 1", "✓ class 1"]));
        Assert.That(cells[2][6..11], Is.EqualTo(["✓ class 0", "✗ class 0", "✓ class 2", "✓ class 0", "✗ class 0"]));
        Assert.That(cells[2][15..19], Is.EqualTo(["class 1", "66.67", "0.00", "\u221266.67"]));
        Assert.That(cells[2][23..31], Is.EqualTo(["class 0 → class 1", "2", "0", "\u22122", "class 1 → class 0", "1", "3", "+2"]));
        Assert.That(cells[0][23..], Is.All.Empty, "nothing has changed");
        Assert.That(Regex.Count(page, "data-cell=\"0-"), Is.EqualTo(cells[0].Length));
        Assert.That(run.GetProperty("marks").GetArrayLength(), Is.EqualTo(1 + 1 + CalibrationError.Bins), "a curve of accuracies, one of calibration errors, the reliability diagram");
        Assert.That(page, Does.Contain("Calibration error of labelled over alpha").Or.Contain("Calibration error over alpha"));
    }

    [TestCase("missing", "safetensors")]
    [TestCase("cut", "safetensors")]
    [TestCase("of other results", "not those of the results")]
    public void PredictionsThatCannotBeUsedAreLeftOutAndSaidSo(string damage, string reason)
    {
        string file = Directory.GetFiles(folder).Single();
        if (damage == "missing") File.Delete(file);
        else if (damage == "cut") File.WriteAllBytes(file, File.ReadAllBytes(file)[..^9]);
        else lines[1] = lines[1].Replace("\"correct\":4", "\"correct\":5").Replace($"\"top1\":{(4 / 7.0).ToString(System.Globalization.CultureInfo.InvariantCulture)}", $"\"top1\":{(5 / 7.0).ToString(System.Globalization.CultureInfo.InvariantCulture)}");
        string page = Page();
        Assert.That(page, Does.Contain("Predictions of labelled are left out").And.Contain(reason).And.Contain("All alphas"));
        Assert.That(page, Does.Not.Contain("<img"));
    }

    private TaskPredictions Open()
    {
        TaskPredictions? predictions = TaskPredictions.Open(new PatchReport(Rows()).Runs.Single().Tasks.Single(), out string? problem);
        Assert.That(predictions, Is.Not.Null, problem);
        return predictions!;
    }

    private string Page() => HtmlReport.Create(new PatchReport(Rows()));

    private ReportRow[] Rows() => [.. ReportRow.Read("lines", lines, folder)];
}
