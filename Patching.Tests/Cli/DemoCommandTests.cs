using System.Globalization;
using System.Text.Json;
using NUnit.Framework;

namespace Patching.Tests.Cli;

/// <summary>The demo, quick: every step of it, and the numbers it prints beside those in its results file.</summary>
internal sealed class DemoCommandTests
{
    private string folder = null!;

    [SetUp]
    public void CreateFolder() => folder = Directory.CreateTempSubdirectory("patching-demo-").FullName;

    [TearDown]
    public void RemoveFolder() => Directory.Delete(folder, recursive: true);

    [Test]
    public void PrintsWhatItsResultsFileSays()
    {
        string demo = Path.Combine(folder, "demo");
        Outcome outcome = TinyWorld.Do("demo", "--quick", "--out", demo, "--device", "cpu");
        JsonElement[] records = [.. File.ReadLines(Path.Combine(demo, "results.jsonl")).Select(line => JsonDocument.Parse(line).RootElement)];
        Assert.That(records, Has.Length.EqualTo(22), "eleven alphas, two data sets");
        foreach (JsonElement record in records)
        {
            string alpha = record.GetProperty("alpha").GetDouble().ToString("R", CultureInfo.InvariantCulture);
            string count = string.Create(CultureInfo.InvariantCulture, $"({record.GetProperty("correct").GetInt32()}/100)");
            string row = outcome.OutputLines.Single(line => line.Split('|') is { Length: > 2 } cells && cells[1].Trim() == alpha);
            Assert.That(row, Does.Contain(count));
        }
        Assert.That(Directory.Exists(Path.Combine(demo, "pretrained", "model")));
        Assert.That(Directory.Exists(Path.Combine(demo, "patched", "alpha=0.5")));
        Assert.That(outcome.Output, Does.Contain("patching patch --model"));
    }

    [Test]
    public void ARepeatedDemoChangesNothingAndAnotherSeedIsRefused()
    {
        string demo = Path.Combine(folder, "demo");
        string first = TinyWorld.Do("demo", "--quick", "--out", demo, "--device", "cpu").Output;
        Assert.That(TinyWorld.Do("demo", "--quick", "--out", demo, "--device", "cpu").Output, Is.EqualTo(first));
        Outcome other = TinyWorld.Run(["demo", "--quick", "--out", demo, "--device", "cpu", "--seed", "1"]);
        Assert.That(other.Code, Is.EqualTo(2));
        Assert.That(other.ErrorLines, Has.Length.EqualTo(1));
        Assert.That(other.Error, Does.Contain(demo));
    }
}
