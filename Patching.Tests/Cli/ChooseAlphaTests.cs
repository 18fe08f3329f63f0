using System.Text.Json;
using NUnit.Framework;
using Patching.Kernels;
using Patching.Model;
using Patching.Model.Clip;
using Patching.Model.Data;
using Patching.Model.Evaluation;
using Patching.Model.Pipeline;

namespace Patching.Tests.Cli;

/// <summary><c>patching patch --choose | --max-drop</c>: chosen on held-out images, tested once.</summary>
internal sealed class ChooseAlphaTests
{
    private TinyWorld world = null!;

    [SetUp]
    public void CreateWorld()
    {
        world = new TinyWorld();
        // A second task: the same pictures under other names, so that learning one name forgets another.
        foreach ((string from, string to) in (IEnumerable<(string, string)>)[("red", "sky"), ("lime_green", "blood"), ("blue", "grass")])
            foreach (string split in (string[])["train", "test"]) TinyWorld.Copy(Path.Combine(world.Colours, split, from), world["things", split, to]);
    }

    [TearDown]
    public void RemoveWorld() => world.Dispose();

    private string Things => "folder:" + world["things"];

    [Test]
    public void ChoosesOnHeldOutImagesAndTestsOnce([Values(false, true)] bool search)
    {
        string results = world["results.jsonl"];
        Outcome outcome = TinyWorld.Do(Choose(results, ["--choose", "mean", .. search ? (string[])["--search", "--resolution", "0.1"] : ["--alpha", "0.5", "1"]]));
        JsonElement[] lines = [.. File.ReadLines(results).Select(line => JsonDocument.Parse(line).RootElement)];
        string[] heldOut = [.. lines.Select(line => line.GetProperty("eval_dataset").GetString()!)];
        int firstTest = Array.FindIndex(heldOut, name => !name.StartsWith("folderVal:", StringComparison.Ordinal));
        Assert.That(heldOut[firstTest..], Has.None.StartsWith("folderVal:"), "test images come last");
        Assert.That(lines[firstTest..].Select(line => (line.GetProperty("eval_dataset").GetString(), line.GetProperty("alpha").GetDouble())), Is.Unique, "and once");
        Assert.That(lines[0].GetProperty("finetune").GetProperty("train_images").GetInt32(), Is.EqualTo(TinyWorld.TrainImages - 3), "held-out images are not trained on");

        // The choice can be made again from the results.
        double[] alphas = [.. lines[..firstTest].Select(line => line.GetProperty("alpha").GetDouble()).Distinct().Order()];
        double best = alphas.MaxBy(alpha => lines[..firstTest].Where(line => line.GetProperty("alpha").GetDouble() == alpha).Average(line => line.GetProperty("top1").GetDouble()));
        using JsonDocument choice = JsonDocument.Parse(File.ReadAllText(Path.Combine(world.Save, "choice.json")));
        double chosen = choice.RootElement.GetProperty("choice").GetProperty("alpha").GetDouble();
        Assert.That(chosen, Is.EqualTo(best));
        Assert.That(outcome.Output, Does.Contain(FormattableString.Invariant($"chosen: alpha {chosen:R} by mean, {alphas.Length} of at most")));
        Assert.That(Directory.GetDirectories(world.Save, "alpha=*").Select(Path.GetFileName), Is.EqualTo([FormattableString.Invariant($"alpha={chosen:R}")]), "only the chosen model is saved");
    }

    [Test]
    public void TheGuardDecidesTheExitCode()
    {
        // The tasks contradict each other; a bound of 100 points holds always, one of nothing only for alphas that lose nothing.
        Outcome loose = TinyWorld.Do(Choose(world["a"], ["--max-drop", "100", "--guard"]));
        Assert.That(loose.Output, Does.Contain("bound held in").And.Contain("by max-drop 100"));
        string[] forced = [.. Choose(world["b"], ["--max-drop", "0", "--guard"])];
        Outcome tight = TinyWorld.Run(forced);
        bool holds = JsonDocument.Parse(File.ReadAllText(Path.Combine(world.Save, "choice.json"))).RootElement.GetProperty("choice").GetProperty("holds").GetBoolean();
        Assert.That(tight.Code, Is.EqualTo(holds ? 0 : 3), tight.Error);
        Assert.That(tight.Error.Contains("guard: ", StringComparison.Ordinal), Is.EqualTo(!holds));
    }

    [Test]
    public void AGuardThatDoesNotHoldEndsWithThree()
    {
        // An image that the patch changes the mind about: held out, it is called what the patched model says; tested, what the original says. So the bound holds where alpha is chosen only.
        string[] patch = world.Patch("--alpha", "1", "--epochs", "6");
        patch[Array.IndexOf(patch, "--train-dataset") + 1] = DatasetCatalog.ValidationName(world.Dataset);
        TinyWorld.Do(patch);
        ImageDataset test = DatasetCatalog.Open(Things, DatasetSplit.Test, "");
        int[] before = Predictions(world.Model, test), after = Predictions(Path.Combine(world.Save, "alpha=1"), test);
        int changed = Enumerable.Range(0, test.Count).First(i => before[i] != after[i]);
        byte[] image = File.ReadAllBytes(test.Describe(changed));
        string name = "x" + Path.GetExtension(test.Describe(changed));
        Directory.Delete(world["things"], recursive: true);
        string Folder(string split, int label) => Directory.CreateDirectory(world["things", split, test.ClassNames[label]]).FullName;
        for (int i = 0; i < 17; i++) File.WriteAllBytes(Path.Combine(Folder("train", after[changed]), i + name), image);
        for (int label = 0; label < 3; label++) File.WriteAllBytes(Path.Combine(Folder("train", label), "z" + name), image);
        File.WriteAllBytes(Path.Combine(Folder("test", before[changed]), name), image);

        Outcome outcome = TinyWorld.Run(Choose(world["r"], ["--max-drop", "5", "--guard", "--alpha", "1", "--epochs", "6"]));
        Assert.That(outcome.Code, Is.EqualTo(3), outcome.Output);
        Assert.That(outcome.ErrorLines[^1], Is.EqualTo($"patching: guard: {Things} lost 100.00 points on the test images; --max-drop allows 5"));
        Assert.That(TinyWorld.Run(Choose(world["r"], ["--max-drop", "5", "--alpha", "1", "--epochs", "6"])).Code, Is.Zero, "nobody asked for a guard");
    }

    [Test]
    public void NothingIsSavedButWhatIsAskedFor()
    {
        TinyWorld.Do(world.Patch("--alpha", "0", "0.5", "1", "--save-alpha", "0.25"));
        Assert.That(Directory.GetDirectories(world.Save, "alpha=*").Select(Path.GetFileName), Is.EqualTo(["alpha=0.25"]));
    }

    [TestCase("--choose mean --max-drop 3", "--max-drop")]
    [TestCase("--max-drop -1", "--max-drop")]
    [TestCase("--max-drop 1e3", "--max-drop")]
    [TestCase("--guard", "--guard")]
    [TestCase("--choose mean --guard", "--guard")]
    [TestCase("--search", "--search")]
    [TestCase("--choose mean --search --alpha 0.5", "--search")]
    [TestCase("--choose mean --resolution 0.3", "--resolution")]
    [TestCase("--choose median", "--choose")]
    [TestCase("--save-alpha 2", "--save-alpha")]
    public void WrongFlagsAreNamed(string flags, string mentions)
    {
        Dictionary<string, string> before = TinyWorld.Snapshot(world.Root);
        Outcome outcome = TinyWorld.Run(Choose(world["r"], flags.Split(' ')));
        Assert.That((outcome.Code, outcome.Output, outcome.ErrorLines.Length), Is.EqualTo((2, "", 1)), outcome.Error);
        Assert.That(outcome.Error, Does.Contain(mentions));
        Assert.That(TinyWorld.Snapshot(world.Root), Is.EqualTo(before));
    }

    [Test]
    public void AChoiceNeedsBothKindsOfTasks()
    {
        Assert.That(TinyWorld.Run(world.Patch("--choose", "mean")).Error, Does.Contain("add a supported task"));
        string[] other = [.. Choose(world["r"], ["--choose", "mean"])];
        other[Array.IndexOf(other, "--eval-datasets") + 1] = Things;
        Assert.That(TinyWorld.Run(other).Error, Does.Contain("the patching task is not among them"));
        other[Array.IndexOf(other, "--eval-datasets") + 1] = "folderVal:" + world.Colours;
        Assert.That(TinyWorld.Run(other).Error, Does.Contain("without Val"));
    }

    [Test]
    public void FoldersAreDividedLikeTheOtherDataSets()
    {
        string divided = DatasetCatalog.ValidationName(world.Dataset);
        Assert.That((divided, DatasetCatalog.ValidationName(divided), DatasetCatalog.ValidationName("mnist")), Is.EqualTo(("folderVal:" + world.Colours, divided, "MNISTVal")));
        Assert.That((DatasetCatalog.IsValidation(divided), DatasetCatalog.IsValidation(world.Dataset), DatasetCatalog.IsValidation("MNISTVal"), DatasetCatalog.IsValidation("MNIST")), Is.EqualTo((true, false, true, false)));
        ImageDataset train = DatasetCatalog.Open(divided, DatasetSplit.Train, ""), held = DatasetCatalog.Open(divided, DatasetSplit.Test, "");
        string[] all = [.. Enumerable.Range(0, train.Count).Select(train.Describe), .. Enumerable.Range(0, held.Count).Select(held.Describe)];
        Assert.That((train.Count, held.Count), Is.EqualTo((TinyWorld.TrainImages - 3, 3)));
        Assert.That(all, Is.Unique.And.All.Contains("train"));
        Assert.That(() => DatasetCatalog.ValidationName("NIST"), Throws.TypeOf<InputException>());
    }

    private static int[] Predictions(string path, ImageDataset dataset)
    {
        using Device device = Device.Open(DeviceKind.Host, 2);
        using ClipModel model = ClipModel.Open(device, path);
        using VisionParameters weights = new(model.Vision, model.Config);
        using Evaluator evaluator = new(model, new BatchOptions(4, model.Config.Vision.ImageSize) { Workers = 2 });
        return evaluator.Evaluate(dataset, new HeadCache(null).Get(model, dataset).Head, 1, _ => weights)[0].Predictions;
    }

    private string[] Choose(string results, string[] more)
    {
        List<string> arguments = [.. world.Patch([.. more, "--results-db", results])];
        arguments[arguments.IndexOf("--eval-datasets") + 1] = $"{world.Dataset},{Things}";
        return [.. arguments];
    }
}
