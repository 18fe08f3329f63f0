using NUnit.Framework;
using Patching.Model.Reports;

namespace Patching.Tests.Model.Reports;

/// <summary>How rows of results files come together.</summary>
internal sealed class PatchReportTests
{
    [Test]
    public void ARunKnowsItsTasksMeansAndFrontier()
    {
        string[] lines = [.. ResultLines.Run([1, 0, 0.5]), .. ((double[])[0, 1]).Select(alpha => ResultLines.Line("CIFAR10", alpha, 30, 100))];
        ReportRun run = ResultLines.Report(lines).Runs.Single();
        Assert.That(run.Name, Is.EqualTo("MNIST in models/base"));
        Assert.That(run.Alphas, Is.EqualTo([0, 0.5, 1]));
        Assert.That(run.Tasks.Select(task => (task.Name, task.Role)), Is.EqualTo([("FashionMNIST", "supported"), ("MNIST", "patched"), ("CIFAR10", "supported")]));
        Assert.That(run.Frontier(heldOut: false).Select(point => (point.Alpha, Math.Round(point.Supported.Value, 9), point.Patched.Value)), Is.EqualTo([(0.0, 0.6, 0.1), (1.0, 0.55, 0.9)]),
            "alpha 0.5 lacks a supported task");
        Assert.That(run.SupportedMean(0.5, heldOut: false), Is.Null);
        Assert.That(run.FirstShown(), Is.EqualTo(1), "0.55 + 0.9 is the best mean");
    }

    [Test]
    public void HeldOutImagesAreTasksOfTheirOwnAndTheTestedAlphaIsShownFirst()
    {
        (string, object?)[] trained = [("finetune", new { train_dataset = "MNISTVal" })];
        string[] lines = [.. ((double[])[0, 0.25, 0.5, 1]).SelectMany(alpha => (string[])
            [ResultLines.Line("FashionMNISTVal", alpha, 9, 10, trained), ResultLines.Line("MNISTVal", alpha, 5 + (int)(4 * alpha), 10, trained)]),
            .. ResultLines.Run([0, 0.25, 1], trained)];
        ReportRun run = ResultLines.Report(lines).Runs.Single();
        Assert.That(run.Tasks.Select(task => task.Role), Is.EqualTo(["supported, held-out", "patched, held-out", "supported", "patched"]));
        Assert.That(run.Means, Is.EqualTo([false, true]));
        Assert.That(run.Frontier(heldOut: true).Select(point => point.Alpha), Is.EqualTo([0, 0.25, 0.5, 1]));
        Assert.That(run.FirstShown(), Is.EqualTo(0.25));
        Assert.That(run.Name, Is.EqualTo("MNIST in models/base"));
    }

    [TestCase("MNISTVal", "MNIST")]
    [TestCase("folderVal:/data/a", "folder:/data/a")]
    [TestCase("MNISTVal:A", "MNIST:A")]
    [TestCase("GTSRB:B", "GTSRB:B")]
    [TestCase("SomethingOfLaterVal", "SomethingOfLaterVal")]
    public void HeldOutNamesAreTakenApart(string name, string plain) => Assert.That(ReportRun.Plain(name), Is.EqualTo(plain));

    [Test]
    public void RunsAreToldApartByWhatTheyComputed()
    {
        string[] lines =
        [
            .. ResultLines.Run([0, 1]), .. ResultLines.Run([0, 1], ("finetune", new { train_dataset = "MNIST", epochs = 2 })), .. ResultLines.Run([0, 1], ("model_sha256", "b")),
            .. ResultLines.Run([0, 1], ("exp_name", "mine")), .. ResultLines.Run([0.5], ("time", "2027-01-01T00:00:00Z"), ("command", "another command")),
            .. ResultLines.Run([1], ("finetune", null), ("command", "patching patch --load a")), .. ResultLines.Run([1], ("finetune", null), ("command", "patching patch --load b")),
        ];
        PatchReport report = ResultLines.Report(lines);
        Assert.That(report.Runs.Select(run => run.Name), Is.EqualTo(
            ["MNIST in models/base (1)", "MNIST in models/base (2)", "MNIST in models/base (3)", "mine", "models/base (1)", "models/base (2)"]));
        Assert.That(report.Runs[0].Alphas, Is.EqualTo([0, 0.5, 1]), "the same run went on later");
        Assert.That(report.Runs[4].Tasks.Select(task => task.IsPatched), Is.All.Null);
        Assert.That(report.Runs[4].Frontier(heldOut: false), Is.Empty);

        PatchReport told = new([.. ReportRow.Read("lines", lines, "/")], "FashionMNIST");
        Assert.That(told.Runs[5].Tasks.Single(task => task.IsPatched == true).Name, Is.EqualTo("FashionMNIST"));
        Assert.That(told.Runs[0].Tasks.Single(task => task.IsPatched == true).Name, Is.EqualTo("MNIST"), "it was recorded");
    }

    [Test]
    public void OfARepeatedMeasurementTheLastCounts()
    {
        ReportRun run = ResultLines.Report([.. ResultLines.Run([0, 1]), ResultLines.Line("MNIST", 1, 7, 50)]).Runs.Single();
        Assert.That(run.Tasks.Single(task => task.Name == "MNIST").At(1)!.Value.Value, Is.EqualTo(0.14));
    }

    [Test]
    public void ModelsWithoutAlphaAreComparedWithTheirOriginal()
    {
        (string, object?)[] Of(string name, double[] coefficients) => [("exp_name", name), ("coefficients", coefficients), ("recipe", "{}"), ("finetune", null)];
        PatchReport report = ResultLines.Report(
            ResultLines.Line("MNIST", null, 10, 50, Of("original", [])), ResultLines.Line("GTSRB", null, 20, 50, Of("original", [])),
            ResultLines.Line("MNIST", null, 40, 50, Of("both", [0.5, 0.25])), ResultLines.Line("GTSRB", null, 45, 50, Of("both", [0.5, 0.25])),
            ResultLines.Line("MNIST", null, 11, 50, ("finetune", null)));
        Assert.That(report.Runs, Is.Empty);
        Assert.That(report.Models.Select(model => (model.Name, model.Coefficients, model.Original?.Name)), Is.EqualTo(
            [("original", "", null), ("both", "[0.5,0.25]", "original"), ("models/base", "", (string?)null)]));
        Assert.That(report.TestSets, Is.EqualTo(["MNIST", "GTSRB"]));
    }

    [Test]
    public void RowsOfOlderVersionsAreRead()
    {
        const string old = """{"eval_dataset":"MNIST","alpha":0.5,"top1":0.25,"correct":1,"count":4}""";
        ReportRun run = ResultLines.Report(old, """{"eval_dataset":"MNIST","epoch":1,"top1":0.5,"correct":2,"count":4}""").Runs.Single();
        Assert.That((run.Name, run.Alphas.Single(), run.Tasks.Single().Rows[0.5].Correct), Is.EqualTo(("a model", 0.5, 1)), "evaluations during training are no results of an alpha");
    }
}
