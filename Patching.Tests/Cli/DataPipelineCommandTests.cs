using NUnit.Framework;

namespace Patching.Tests.Cli;

/// <summary>The flags of the image pipeline, from the arguments to the files.</summary>
internal sealed class DataPipelineCommandTests
{
    private TinyWorld world = null!;

    private string Cache => world["cache"];

    [SetUp]
    public void CreateWorld() => world = new TinyWorld();

    [TearDown]
    public void RemoveWorld() => world.Dispose();

    [Test]
    public void ACacheChangesNoByteAndIsFilledOnce()
    {
        Outcome without = TinyWorld.Do(world.Patch("--alpha", "0.5", "1"));
        Outcome filling = TinyWorld.Do(world.Patch("--alpha", "0.5", "1", "--cache", Cache, "--save", world["filling"]));
        Dictionary<string, DateTime> written = Times();
        Outcome filled = TinyWorld.Do(world.Patch("--alpha", "0.5", "1", "--cache", Cache, "--save", world["filled"]));
        Assert.That(written.Keys.Select(Path.GetExtension), Is.EquivalentTo(new[] { ".images", ".images", ".lock", ".lock" }));
        Assert.That(Times(), Is.EqualTo(written));
        Assert.That((filling.Output, filled.Output), Is.EqualTo((without.Output, without.Output)));
        Assert.That((filling.Error.Contains("cache folder:"), filled.Error.Contains("cache folder:")), Is.EqualTo((true, false)));
        foreach (string run in new[] { "filling", "filled" }) TinyWorld.AssertSameModels(world.Save, world[run], "0.5", "1");
    }

    [Test]
    public void AnEvaluationUsesTheCacheThatAPatchFilled()
    {
        TinyWorld.Do(world.Patch("--alpha", "0", "--cache", Cache));
        Dictionary<string, DateTime> written = Times();
        Outcome with = TinyWorld.Do(world.Evaluate(world.Model, "--cache", Cache));
        Assert.That(with.Output, Is.EqualTo(TinyWorld.Do(world.Evaluate(world.Model)).Output));
        Assert.That(Times(), Is.EqualTo(written));
    }

    [Test]
    public void ADamagedCacheIsMadeAgain()
    {
        Outcome first = TinyWorld.Do(world.Evaluate(world.Model, "--cache", Cache));
        string file = Directory.GetFiles(Cache, "*.images").Single();
        File.WriteAllBytes(file, File.ReadAllBytes(file)[..^5]);
        Outcome second = TinyWorld.Do(world.Evaluate(world.Model, "--cache", Cache));
        Assert.That(second.Output, Is.EqualTo(first.Output));
        Assert.That(second.ErrorLines.Count(line => line.StartsWith(file, StringComparison.Ordinal) && line.Contains("truncated")), Is.EqualTo(1));
    }

    [Test]
    public void FewShotsAreFewStepsAndAnotherRun()
    {
        Outcome few = TinyWorld.Do(world.Patch("--alpha", "1", "--shots", "2", "--balanced"));
        Assert.That(few.Error, Does.Contain("fine-tune: 4/4 steps"), "2 images of 3 colours in batches of 4, twice");
        Outcome all = TinyWorld.Run(world.Patch("--alpha", "1"));
        Assert.That(all.Code, Is.EqualTo(2), "another sampling is another run");
    }

    [Test]
    public void TypographicPicturesAreWrittenWithTheirClasses()
    {
        Outcome outcome = TinyWorld.Do("data", "typographic", "--from", world.Dataset, "--out", world["attacks"], "--side", "48", "--split", "both", "--count", "5");
        Assert.That(outcome.OutputLines.Single(), Does.StartWith("10 pictures in"));
        Assert.That(Directory.GetFiles(world["attacks"], "label=*_text=*#*.png", SearchOption.AllDirectories), Has.Length.EqualTo(10));
        Assert.That(File.ReadAllLines(world["attacks", "classes.txt"]), Has.Length.EqualTo(3));
        string[] folders = [.. Directory.GetDirectories(world["attacks"]).Select(folder => Path.GetFileName(folder)!)];
        Assert.That(folders, Is.EquivalentTo(new[] { "train", "test" }));
    }

    [Test]
    public void TypographicPicturesAreTrainedAndEvaluatedOn()
    {
        TinyWorld.Do("data", "typographic", "--from", world.Dataset, "--out", world["attacks"], "--side", "32", "--split", "both");
        string attacks = "typographic:" + world["attacks"];
        Outcome outcome = TinyWorld.Do(
            "patch", "--model", world.Model, "--train-dataset", attacks, "--eval-datasets", attacks, "--epochs", "1", "--lr", "0.01", "--warmup_length", "0",
            "--batch-size", "4", "--alpha", "0", "1", "--device", "cpu", "--threads", "2", "--workers", "2");
        Assert.That(outcome.Error, Does.Contain($"fine-tune: {TinyWorld.TrainImages / 4}/{TinyWorld.TrainImages / 4} steps"));
        Assert.That(outcome.Output, Does.Contain($"/{TinyWorld.TestImages})"));
    }

    private Dictionary<string, DateTime> Times() => Directory.GetFiles(Cache).ToDictionary(file => file, File.GetLastWriteTimeUtc);
}
