using System.Globalization;
using System.Text.RegularExpressions;
using NUnit.Framework;

namespace Patching.Tests.Cli;

/// <summary><c>--dry-run</c>: says what a run would do, need and take, and leaves nothing behind.</summary>
internal sealed partial class DryRunTests
{
    private TinyWorld world = null!;

    [SetUp]
    public void CreateWorld()
    {
        world = new TinyWorld();
        TinyWorld.Copy(world.Colours, world["things"]);
    }

    [TearDown]
    public void RemoveWorld() => world.Dispose();

    [Test]
    public void APatchIsForetoldAndNothingIsTouched()
    {
        string[] patch = world.Patch("--alpha", "0", "0.5", "1", "--results-db", world["results.jsonl"], "--cache", world["cache"]);
        string output = Foretell(patch);
        Assert.That(output, Does.Contain("AdamW moments").And.Contain("original, fine-tuned, interpolated and packed weights").And.Contain("--cache: "));
        Assert.That(Row(output, "train"), Is.EqualTo($"{world.Dataset}: {TinyWorld.TrainImages} images of 3 classes"));
        Assert.That(Row(output, "evaluated"), Is.EqualTo($"{world.Dataset}: {TinyWorld.TestImages} images of 3 classes"));
        Assert.That((Row(output, "alpha"), Row(output, "steps"), Row(output, "warmup_length"), Row(output, "weight_decay")), Is.EqualTo(("0 0.5 1", "18, 9 an epoch", "2", "0.1")));
        Assert.That(Row(output, "fine-tune", last: true), Does.Contain("(18 steps, "));
        Assert.That(Row(output, $"evaluate {world.Dataset}, 3 alphas"), Does.Contain($"({TinyWorld.TestImages} images, "));
        Assert.That(Row(output, $"head of {world.Dataset}", last: true), Does.Contain(" prompts, "));

        // What the run then leaves is what was foretold.
        TinyWorld.Do(patch);
        AssertSize(output, "3 models", Directory.GetFiles(world.Save, "*", SearchOption.AllDirectories).Where(file => file.Contains("alpha=", StringComparison.Ordinal)).Sum(file => new FileInfo(file).Length));
        AssertSize(output, "state of the training", new FileInfo(Path.Combine(world.Save, "finetune", "training-state.safetensors")).Length);
        Assert.That(Foretell(patch), Does.Not.Match("fine-tune +[0-9.]+ s").And.Not.Contain(" prompts, "), "neither is done again");
    }

    [Test]
    public void OtherRunsAreForetoldToo()
    {
        string choose = Foretell([.. world.Patch("--choose", "mean", "--search", "--resolution", "0.1", "--eval-every-epoch").Select(Both)]);
        Assert.That(Row(choose, "choose"), Is.EqualTo("mean, search at 0.1"));
        Assert.That(choose, Does.Contain($"choose on folderVal:{world.Colours}, ").And.Contain($"evaluate {world.Dataset}, 3 alphas").And.Contain($"evaluate every epoch {world.Dataset}"));
        Assert.That(Foretell(world.Patch("--train-text", "--alpha", "0.5", "1")), Does.Contain("text activations").And.Contain($"heads of {world.Dataset}"));

        string[] finetune = ["finetune", .. world.Patch().Skip(1)];
        string output = Foretell(finetune);
        Assert.That(output, Does.Contain("1 models").And.Not.Contain("images, "), "nothing is evaluated");
        Assert.That(Foretell(world.Evaluate(world.Model)), Does.Contain($"evaluate {world.Dataset}").And.Not.Contain("fine-tune ").And.Not.Contain("disk"));
    }

    [TestCase("--train-dataset", "folder:/nowhere")]
    [TestCase("--lr", "-1")]
    [TestCase("--batch-size", "70000")]
    [TestCase("--load", "/nowhere.safetensors")]
    public void WhatTheRunWouldRefuseIsRefused(string flag, string value)
    {
        string[] patch = world.Patch();
        if (Array.IndexOf(patch, flag) is >= 0 and int at) patch[at + 1] = value;
        else patch = [.. patch, flag, value];
        Dictionary<string, string> before = TinyWorld.Snapshot(world.Root);
        Outcome dry = TinyWorld.Run([.. patch, "--dry-run"]);
        Assert.That((dry.Code, dry.Output, dry.ErrorLines.Length), Is.EqualTo((2, "", 1)), dry.Error);
        Assert.That(TinyWorld.Snapshot(world.Root), Is.EqualTo(before));
        Assert.That(TinyWorld.Run(patch).Error, Is.EqualTo(dry.Error));
    }

    private string Both(string argument, int index) => index == 6 ? $"{world.Dataset},folder:{world["things"]}" : argument;

    private string Foretell(string[] command)
    {
        Dictionary<string, string> before = TinyWorld.Snapshot(world.Root);
        Outcome outcome = TinyWorld.Do([.. command, "--dry-run"]);
        Assert.That(TinyWorld.Snapshot(world.Root), Is.EqualTo(before));
        foreach (string part in (string[])["settings", "memory", "time "]) Assert.That(outcome.OutputLines, Has.One.StartsWith(part));
        return outcome.Output;
    }

    private static string Row(string output, string name, bool last = false)
    {
        string[] rows = [.. output.Split('\n').Select(line => line.Trim()).Where(line => line.StartsWith(name + " ", StringComparison.Ordinal))];
        Assert.That(rows, Is.Not.Empty, $"{name} in {output}");
        return rows[last ? ^1 : 0][name.Length..].Trim();
    }

    private static void AssertSize(string output, string name, long bytes)
    {
        double foretold = double.Parse(Number().Match(Row(output, name)).Value, CultureInfo.InvariantCulture);
        // Headers come on top; they are a large part of these small files.
        Assert.That(bytes / 1048576.0, Is.InRange(foretold - 0.05, foretold + 0.05));
    }

    [GeneratedRegex("[0-9.]+")]
    private static partial Regex Number();
}
