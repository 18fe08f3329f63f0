using System.Text.Json;
using System.Text.RegularExpressions;
using NUnit.Framework;

namespace Patching.Tests.Cli;

/// <summary><c>patching report</c>, and the page that <c>patch</c> leaves.</summary>
internal sealed class ReportCommandTests
{
    private TinyWorld world = null!;

    [SetUp]
    public void CreateWorld() => world = new TinyWorld();

    [TearDown]
    public void RemoveWorld() => world.Dispose();

    [Test]
    public void ThePageOfPatchIsThatOfItsResultsFile()
    {
        string results = world["results.jsonl"], own = Path.Combine(world.Save, "report.html"), page = world["page.html"];
        Outcome patch = TinyWorld.Do(world.Patch("--alpha", "0", "0.5", "1", "--results-db", results));
        Assert.That(patch.Error, Does.Contain($"report: {own}"));
        Outcome outcome = TinyWorld.Do("report", results, "--out", page);
        Assert.That(outcome.OutputLines, Is.EqualTo([page]));
        Assert.That(File.ReadAllText(page), Is.EqualTo(File.ReadAllText(own)));

        string html = File.ReadAllText(page);
        foreach (JsonElement row in File.ReadLines(results).Select(line => JsonDocument.Parse(line).RootElement))
            Assert.That(html, Does.Contain($"{row.GetProperty("correct").GetInt32()} of {TinyWorld.TestImages}"));
        Assert.That(html, Does.Contain("Gradient norm before clipping").And.Contain("<tr><th scope=\"row\">18</th>"), "the curve of the fine-tune");
        Assert.That(html, Does.Not.Contain(DateTime.UtcNow.Year + "-"), "no time, so that the same run leaves the same page");
        Assert.That(Directory.GetFiles(world.Root, "*.tmp", SearchOption.AllDirectories), Is.Empty);
    }

    [Test]
    public void ChoosingIsReportedWithHeldOutAndTestImages()
    {
        string results = world["results.jsonl"];
        string[] args = world.Patch("--choose", "mean", "--resolution", "0.5", "--results-db", results);
        string other = world["other"];
        TinyWorld.Copy(world.Colours, other);
        args[Array.IndexOf(args, "--eval-datasets") + 1] = $"{world.Dataset},folder:{other}";
        TinyWorld.Do(args);
        string html = File.ReadAllText(Path.Combine(world.Save, "report.html"));
        Assert.That(html, Does.Contain("Frontier on held-out images").And.Contain("supported, held-out").And.Contain("patched, held-out").And.Contain("mean of supported, held-out"));
        TinyWorld.Do("report", results, "--out", world["again.html"]);
        Assert.That(File.ReadAllText(world["again.html"]), Is.EqualTo(html));
    }

    [Test]
    public void TablesGoToStandardOutputOrAFile()
    {
        string results = world["results.jsonl"];
        TinyWorld.Do(world.Patch("--alpha", "0.5", "--results-db", results));
        Outcome csv = TinyWorld.Do("report", results, "--format", "csv");
        Assert.That(csv.OutputLines, Has.Length.EqualTo(2));
        Assert.That(csv.OutputLines[1], Does.Contain($"{world.Dataset},patched,0.5,,").And.Contain($",{TinyWorld.TestImages},"));
        Outcome markdown = TinyWorld.Do("report", results, "--format", "markdown", "--out", world["table.md"]);
        Assert.That(File.ReadAllText(world["table.md"]), Does.StartWith("## ").And.Contain("| 0.5 |"));
        Assert.That(markdown.OutputLines, Is.EqualTo([world["table.md"]]));
        TinyWorld.Do("report", results, "--format", "csv", "--out", world["table.md"], "--overwrite");
        Assert.That(File.ReadAllText(world["table.md"]), Is.EqualTo(csv.Output));
    }

    [Test]
    public void SeveralFilesMakeOneReport()
    {
        string first = world["first.jsonl"], second = world["second.jsonl"];
        TinyWorld.Do(world.Patch("--alpha", "0", "1", "--results-db", first));
        TinyWorld.Do(world.Patch("--alpha", "0", "1", "--results-db", second, "--seed", "7", "--save", world["second"]));
        TinyWorld.Do(world.Evaluate(world.Model, "--results-db", second));
        TinyWorld.Do("report", first, second, "--out", world["both.html"]);
        string html = File.ReadAllText(world["both.html"]);
        Assert.That(Regex.Count(html, "<input type=\"range\""), Is.EqualTo(2));
        Assert.That(html, Does.Contain("Every patch on every data set"));
    }
}
