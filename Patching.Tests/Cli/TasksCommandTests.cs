using System.Text.Json;
using NUnit.Framework;
using Patching.Model;
using Patching.Model.Data;
using Patching.Model.Tasks;
using Patching.Model.Weights;

namespace Patching.Tests.Cli;

/// <summary><c>patching tasks</c>: every strategy from flags and recipes to models and results.</summary>
internal sealed class TasksCommandTests
{
    private TinyWorld world = null!;

    [SetUp]
    public void CreateWorld()
    {
        world = new TinyWorld();
        Rename("things", "sky", "blood", "grass");
        Rename("fruits", "plum", "cherry", "lime");
    }

    [TearDown]
    public void RemoveWorld() => world.Dispose();

    [TestCase("joint", "original|folder:{0}+folder:{1}")]
    [TestCase("sequential", "original|folder:{0}|folder:{0} then folder:{1}|folder:{1}|folder:{1} then folder:{0}")]
    [TestCase("parallel", "original|folder:{0}+folder:{1}")]
    [TestCase("transfer", "original|folder:{0}|folder:{1}")]
    public void EveryStrategyTestsItsModelsOnEveryDataSet(string strategy, string models)
    {
        string[] both = strategy == "sequential" ? ["--both-orders"] : [];
        Outcome outcome = TinyWorld.Do(Tasks(strategy, "colours,things", "save", ["--results-db", world["r"], "--budget", "12", .. both]));
        string page = File.ReadAllText(world["save", "report.html"]);
        Assert.That(page, Does.Contain("Every patch on every data set").And.Contain("original"));
        string[] expected = string.Format(null, models, world.Colours, world["things"]).Split('|');
        Assert.That(outcome.OutputLines.Skip(2).Select(line => line.Split('|')[1].Trim()), Is.EqualTo(expected));
        JsonElement[] lines = [.. File.ReadLines(world["r"]).Select(line => JsonDocument.Parse(line).RootElement)];
        Assert.That(lines, Has.Length.EqualTo(expected.Length * 3));
        Assert.That(lines.Select(line => (line.GetProperty("exp_name").GetString(), line.GetProperty("eval_dataset").GetString())), Is.Unique, "every test once");
        Assert.That(lines.Select(line => line.GetProperty("recipe").GetString()).Distinct().Single(), Is.EqualTo(File.ReadAllText(world["save", "recipe.json"]).TrimEnd()));
        string[] saved = [.. Directory.GetDirectories(world["save", "models"])];
        Assert.That(saved, Has.Length.EqualTo(expected.Length - 1));
        foreach (string model in saved)
        {
            using ClipCheckpoint checkpoint = ClipCheckpoint.Open(model);
            Assert.That(checkpoint.Metadata["recipe"], Does.Contain($"\"strategy\":\"{strategy}\""));
        }
    }

    [Test]
    public void TheOrderOfParallelTasksChangesNothing()
    {
        TinyWorld.Do(Tasks("parallel", "colours,things", "a", "--alpha", "0.7"));
        TinyWorld.Do(Tasks("parallel", "things,colours", "b", "--alpha", "0.7"));
        byte[] First(string folder) => File.ReadAllBytes(Path.Combine(Directory.GetDirectories(world[folder, "models"]).Single(), "model.safetensors"));
        byte[] a = First("a"), b = First("b");
        Assert.That(b.AsSpan(8 + (int)BitConverter.ToInt64(b)).SequenceEqual(a.AsSpan(8 + (int)BitConverter.ToInt64(a))), Is.True);
    }

    [Test]
    public void ARecordedRecipeIsARecipe()
    {
        Outcome first = TinyWorld.Do(Tasks("joint", "colours,things", "a", "--mixing", "proportional", "--max-drop", "50"));
        Outcome again = TinyWorld.Do("tasks", "--recipe", world["a", "recipe.json"], "--save", world["b"], "--device", "cpu", "--threads", "2", "--workers", "2", "--cache", world["cache"]);
        Assert.That(again.Output, Is.EqualTo(first.Output));
        // Two tasks to train on, three to choose and to test on.
        Assert.That(Directory.GetFiles(world["cache"], "*.images"), Has.Length.EqualTo(8));
        Assert.That(File.ReadAllText(world["b", "recipe.json"]), Is.EqualTo(File.ReadAllText(world["a", "recipe.json"])));
        Outcome third = TinyWorld.Do("tasks", "--recipe", world["a", "recipe.json"], "--save", world["a"], "--device", "cpu", "--threads", "2", "--workers", "2");
        Assert.That(third.Error, Does.Contain("found complete"), "fine-tunes are used again");
        Outcome other = TinyWorld.Run(["tasks", "--recipe", world["a", "recipe.json"], "--save", world["a"], "--alpha", "0.5", "--device", "cpu"]);
        Assert.That((other.Code, other.Output), Is.EqualTo((2, "")));
        Assert.That(other.Error, Does.Contain("holds another recipe"));
    }

    [TestCase("strategy: joint\nmodle: x\n", "modle")]
    [TestCase("strategy: together\n", "line 1")]
    [TestCase("epochs: many\n", "line 1")]
    [TestCase("model: [\n", "line")]
    [TestCase("", "empty")]
    [TestCase("model: x\ntrain-datasets: [MNIST]\neval-datasets: [MNIST]\n", "eval-datasets")]
    [TestCase("model: x\ntrain-datasets: [MNIST, mnist]\neval-datasets: [CIFAR10]\n", "train-datasets")]
    [TestCase("model: x\ntrain-datasets: [NIST]\neval-datasets: [CIFAR10]\n", "MNIST")]
    [TestCase("model: x\ntrain-datasets: [MNIST]\neval-datasets: [CIFAR10Val]\n", "CIFAR10Val")]
    public void WrongRecipesAreNamed(string text, string mentions)
    {
        File.WriteAllText(world["r.yaml"], text);
        Outcome outcome = TinyWorld.Run(["tasks", "--recipe", world["r.yaml"], "--save", world["x"]]);
        Assert.That((outcome.Code, outcome.Output, outcome.ErrorLines.Length, Directory.Exists(world["x"])), Is.EqualTo((2, "", 1, false)), outcome.Error);
        Assert.That(outcome.Error, Does.Contain(mentions));
    }

    [Test]
    public void EveryRecipeOfTheRepositoryParses()
    {
        string[] recipes = Directory.GetFiles(Repository.Fixture("recipes"));
        Assert.That(recipes, Has.Length.GreaterThanOrEqualTo(10));
        foreach (string path in recipes)
        {
            TaskRecipe recipe = RecipeFile.Read(path);
            recipe.Check();
            Assert.That(recipe.Name, Is.EqualTo(Path.GetFileNameWithoutExtension(path)));
            File.WriteAllText(world["again.json"], RecipeFile.Write(recipe));
            Assert.That(RecipeFile.Write(RecipeFile.Read(world["again.json"])), Is.EqualTo(RecipeFile.Write(recipe)), path);
        }
    }

    [Test]
    public void HalvesDivideTheClasses()
    {
        ImageDataset whole = DatasetCatalog.Open(world.Dataset, DatasetSplit.Test, "");
        ImageDataset a = DatasetCatalog.Open(world.Dataset + ":A", DatasetSplit.Test, ""), b = DatasetCatalog.Open(world.Dataset + ":B", DatasetSplit.Test, "");
        Assert.That(a.ClassNames.Concat(b.ClassNames), Is.EquivalentTo(whole.ClassNames));
        Assert.That(a.Count + b.Count, Is.EqualTo(whole.Count));
        foreach (ImageDataset half in (ImageDataset[])[a, b])
            for (int i = 0; i < half.Count; i++) Assert.That(half.Describe(i), Does.Contain($"{Path.DirectorySeparatorChar}{half.ClassNames[half.Label(i)].Replace(' ', '_')}{Path.DirectorySeparatorChar}"));
        Assert.That((DatasetCatalog.Canonical("mnist:A"), DatasetCatalog.ValidationName("mnist:B"), DatasetCatalog.ValidationName(world.Dataset + ":A")),
            Is.EqualTo(("MNIST:A", "MNISTVal:B", "folderVal:" + world.Colours + ":A")));
        Assert.That(() => DatasetCatalog.Open(world.Dataset + ":A:A:A", DatasetSplit.Test, ""), Throws.TypeOf<InputException>().With.Message.Contains("halves"));
    }

    [Test]
    public void JointDataSetsKeepLabelsAndCountsApart()
    {
        ImageDataset large = DatasetCatalog.Open(world.Dataset, DatasetSplit.Train, ""), small = DatasetCatalog.Open("folder:" + world["things"], DatasetSplit.Test, "");
        JointDataset balanced = new([large, small], balanced: true), proportional = new([large, small], balanced: false);
        Assert.That((balanced.Count, proportional.Count), Is.EqualTo((2 * large.Count, large.Count + small.Count)));
        Assert.That(balanced.ClassNames, Is.EqualTo(large.ClassNames.Concat(small.ClassNames)));
        for (int i = 0; i < balanced.Count; i++)
        {
            (ImageDataset part, int image) = i < large.Count ? (large, i) : (small, (i - large.Count) % small.Count);
            Assert.That((balanced.Describe(i), balanced.ClassNames[balanced.Label(i)]), Is.EqualTo((part.Describe(image), part.ClassNames[part.Label(image)])));
        }
    }

    private string[] Tasks(string strategy, string tasks, string save, params string[] more) => TinyWorld.Defaults(
        [
            "tasks", "--strategy", strategy, "--model", world.Model, "--train-datasets", string.Join(',', tasks.Split(',').Select(task => "folder:" + world[task])),
            "--eval-datasets", "folder:" + world["fruits"], "--save", world[save],
        ],
        [
            ("--epochs", "1"), ("--lr", "0.01"), ("--warmup_length", "2"), ("--batch-size", "4"), ("--resolution", "0.25"), ("--device", "cpu"), ("--threads", "2"), ("--workers", "2"),
        ],
        more);

    // The same pictures under other names.
    private void Rename(string folder, string red, string green, string blue)
    {
        foreach ((string from, string to) in (IEnumerable<(string, string)>)[("red", red), ("lime_green", green), ("blue", blue)])
            foreach (string split in (string[])["train", "test"]) TinyWorld.Copy(Path.Combine(world.Colours, split, from), world[folder, split, to]);
    }
}
