using NUnit.Framework;
using Patching.Model.Registry;

namespace Patching.Tests.Cli;

/// <summary><c>models</c> and names as <c>--model</c>, through the real command line; nothing here reaches the network.</summary>
[NonParallelizable]
internal sealed class ModelsCommandTests
{
    private TinyWorld world = null!;
    private string? before;

    [SetUp]
    public void CreateWorld()
    {
        world = new TinyWorld();
        before = Environment.GetEnvironmentVariable(ModelCache.FolderVariable);
        Environment.SetEnvironmentVariable(ModelCache.FolderVariable, world["cache"]);
    }

    [TearDown]
    public void RemoveWorld()
    {
        Environment.SetEnvironmentVariable(ModelCache.FolderVariable, before);
        world.Dispose();
    }

    [Test]
    public void TheListNamesEveryModelAndTheCache()
    {
        Outcome outcome = TinyWorld.Do("models", "list");
        foreach (PublishedModel model in PublishedModels.All) Assert.That(outcome.Output, Does.Contain(model.Name));
        Assert.That(outcome.Output, Does.Contain($"cache: {world["cache"]}"));
    }

    [Test]
    public void ANameIsLookedUpInTheCache()
    {
        // A model under a published name: the tiny one, with the witness that its files are complete.
        PublishedModel model = PublishedModels.Find("ViT-B-32:laion2b_s34b_b79k")!;
        string folder = new ModelCache(world["cache"]).FolderOf(model);
        TinyWorld.Copy(world.Model, folder);
        File.WriteAllText(Path.Combine(folder, model.Weights), "");
        File.WriteAllText(Path.Combine(folder, "open_clip_config.json"), "{}");
        File.WriteAllLines(Path.Combine(folder, ModelCache.HashFile), model.Files.Select(file => $"{new string('a', 64)}  {file.Name}"));
        Outcome outcome = TinyWorld.Do("info", "--model", "vit-b-32/laion2b_s34b_b79k", "--offline");
        Assert.That(outcome.Output, Does.Contain(Path.Combine(folder, "model.safetensors")));
        Assert.That(TinyWorld.Do("models", "list").Output, Does.Contain("MiB here"));
        Outcome damaged = TinyWorld.Run(["models", "verify"]);
        Assert.That((damaged.Code, damaged.Output), Is.EqualTo((2, $"{model.Name,-34}damaged\n")));
        Assert.That(damaged.Error, Does.Contain("SHA-256"));
    }

    [TestCase(2, "is not in", "info", "--model", "ViT-L/14", "--offline")]
    [TestCase(2, "no published model is called so", "info", "--model", "ViT-Z-99", "--offline")]
    [TestCase(2, "no published model is called so", "models", "download", "ViT-Z/99")]
    [TestCase(2, "--offline", "models", "download", "ViT-B/32", "--offline")]
    [TestCase(2, "holds no model", "models", "verify")]
    [TestCase(2, "is missing", "models", "verify", "ViT-B/32")]
    [TestCase(2, "--mirror", "models", "download", "ViT-B/32", "--mirror", "ftp://here")]
    [TestCase(2, "--mirror", "models", "download", "ViT-B/32", "--mirror", "http://here/with/a/path")]
    [TestCase(1, "127.0.0.1", "models", "download", "ViT-B/32", "--mirror", "http://127.0.0.1:1")]
    public void WhatCannotBeDoneIsSaidInALine(int code, string part, params string[] arguments)
    {
        Outcome outcome = TinyWorld.Run(arguments);
        Assert.That(outcome.Code, Is.EqualTo(code));
        Assert.That(outcome.Error.TrimEnd('\n'), Does.Contain(part).And.Not.Contain('\n'));
    }
}
