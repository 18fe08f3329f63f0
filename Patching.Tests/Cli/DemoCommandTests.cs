using System.Globalization;
using System.Text.Json;
using NUnit.Framework;
using Patching.Kernels;
using Patching.Model.Demo;
using Patching.Model.Pipeline;

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
        Assert.That(records, Has.Length.EqualTo(34), "seventeen alphas, two data sets");
        foreach (JsonElement record in records)
        {
            string alpha = record.GetProperty("alpha").GetDouble().ToString("R", CultureInfo.InvariantCulture);
            string count = string.Create(CultureInfo.InvariantCulture, $"({record.GetProperty("correct").GetInt32()}/100)");
            string row = outcome.OutputLines.Single(line => line.Split('|') is { Length: > 2 } cells && cells[1].Trim() == alpha);
            Assert.That(row, Does.Contain(count));
        }
        AssertFinding(outcome.OutputLines.Single(line => line.StartsWith("alpha ", StringComparison.Ordinal)), records);
        Assert.That(Directory.Exists(Path.Combine(demo, "pretrained", "model")));
        Assert.That(Directory.Exists(Path.Combine(demo, "patched", "alpha=0.5")));
        string[] phases = ["draw: ", "pretrain: ", "fine-tune: ", "evaluate "];
        foreach (string phase in phases) Assert.That(outcome.Error, Does.Contain(phase));
    }

    // Recomputed from the file: the best alpha for handwriting among those that lose at most two pictures of a hundred of the patterns.
    private static void AssertFinding(string sentence, JsonElement[] records)
    {
        int Correct(string task, double alpha) => records.Single(
            record => record.GetProperty("eval_dataset").GetString()!.EndsWith(task, StringComparison.Ordinal) && record.GetProperty("alpha").GetDouble() == alpha)
            .GetProperty("correct").GetInt32();
        int start = Correct("patterns", 0), end = Correct("patterns", 1);
        double[] allowed = [.. records.Select(record => record.GetProperty("alpha").GetDouble()).Distinct().Where(alpha => start - Correct("patterns", alpha) <= 2)];
        int best = allowed.Max(alpha => Correct("handwriting", alpha));
        double chosen = double.Parse(sentence.Split(' ', ':')[1], CultureInfo.InvariantCulture);
        Assert.That(allowed, Does.Contain(chosen));
        Assert.That(sentence, Does.Contain(string.Create(CultureInfo.InvariantCulture, $"{Correct("handwriting", 0):0.0} % -> {best:0.0} % of")));
        Assert.That(sentence, Does.Contain(string.Create(CultureInfo.InvariantCulture, $"for {start - Correct("patterns", chosen):0.0} points")));
        Assert.That(sentence, Does.EndWith(string.Create(CultureInfo.InvariantCulture, $"costs {start - end:0.0} points")));
    }

    /// <summary>The command that the demo prints is the very patch it has done: it finds the same fine-tune and prints the same table.</summary>
    [Test]
    public void ThePrintedPatchCommandIsWhatTheDemoDid()
    {
        string demo = Path.Combine(folder, "demo");
        string[] shown = TinyWorld.Do("demo", "--quick", "--out", demo, "--device", "cpu").OutputLines;
        string command = shown.Single(line => line.Contains("patching patch ", StringComparison.Ordinal));
        string[] args = command[(command.IndexOf("patching patch", StringComparison.Ordinal) + "patching ".Length)..].Split(' ');
        Outcome patch = TinyWorld.Do([.. args, "--device", "cpu"]);
        Assert.That(patch.OutputLines, Is.EqualTo(shown.Where(line => line.StartsWith('|'))));
        Assert.That(patch.Error, Does.Contain("training found complete").And.Not.Contain("fine-tune: "));
    }

    [Test]
    public void InterruptedItGoesOnAndEndsTheSame([Values("draw", "pretrain", "fine-tune", "evaluate")] string phase)
    {
        string demo = Path.Combine(folder, "demo"), undisturbed = Path.Combine(folder, "undisturbed");
        using (CancellationTokenSource interruption = new())
        using (Device device = Device.Open(DeviceKind.Host))
        {
            PipelineEvents events = new()
            {
                Progress = (what, _, _) => CancelAt(what.StartsWith(phase, StringComparison.Ordinal)),
                Pretraining = (_, _) => CancelAt(phase == "pretrain"),
                Training = (_, _) => CancelAt(phase == "fine-tune"),
            };
            void CancelAt(bool now)
            {
                if (now) interruption.Cancel();
            }
            Assert.That(
                () => new DemoPipeline(device, new DemoSettings(demo, 0, Quick: true), events).Run(interruption.Token), Throws.InstanceOf<OperationCanceledException>());
        }
        Outcome resumed = TinyWorld.Do("demo", "--quick", "--out", demo, "--device", "cpu");
        Outcome whole = TinyWorld.Do("demo", "--quick", "--out", undisturbed, "--device", "cpu");
        // The names of the data sets hold that of the folder; everything else is the same.
        Assert.That(Rows(resumed), Is.EqualTo(Rows(whole)));
        Assert.That(File.ReadLines(Path.Combine(demo, "results.jsonl")).Count(), Is.EqualTo(34));

        static string[] Rows(Outcome outcome) => [.. outcome.OutputLines.Where(line => line.StartsWith('|')).Skip(2).Select(line => line.Replace(" ", "", StringComparison.Ordinal))];
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
