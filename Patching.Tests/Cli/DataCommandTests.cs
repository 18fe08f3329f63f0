using System.Security.Cryptography;
using System.Text.Json;
using NUnit.Framework;
using Patching.Model.Data;
using Patching.Model.Data.Sets;
using Patching.Tests.Model.Data;
using Patching.Tests.Model.Download;

namespace Patching.Tests.Cli;

/// <summary><c>data</c> and the data sets it describes, through the real command line; nothing here reaches the network.</summary>
internal sealed class DataCommandTests
{
    private TinyWorld world = null!;

    private string Location => world["data"];

    [SetUp]
    public void CreateWorld() => world = new TinyWorld();

    [TearDown]
    public void RemoveWorld() => world.Dispose();

    [Test]
    public void TheListNamesEveryDataSet()
    {
        Image("data", "dtd", "train", "banded", "1.jpg");
        Outcome outcome = TinyWorld.Do("data", "list", "--data-location", Location);
        foreach (NamedDataset set in DatasetCatalog.Sets) Assert.That(outcome.Output, Does.Contain(set.Name));
        Assert.That(outcome.OutputLines.Single(line => line.StartsWith("DTD ", StringComparison.Ordinal)),
            Does.Contain(" here ").And.Contains("47 classes, 3760 + 1880"));
        Assert.That(outcome.OutputLines.Single(line => line.StartsWith("MNIST ", StringComparison.Ordinal)), Does.Contain(" download "));
    }

    [Test]
    public void CheckSaysWhatIsThereAndHowTheRestShouldLie()
    {
        Image("data", "dtd", "train", "banded", "1.jpg");
        Image("data", "dtd", "val", "banded", "2.jpg");
        Outcome whole = TinyWorld.Do("data", "check", "--data-location", Location);
        Assert.That(whole.Output, Does.Contain("DTD: textures").And.Contains("training    1 of 3760 images, 1 of 47 classes")
            .And.Contains("evaluation  1 of 1880 images"));
        Assert.That(whole.Output, Does.Not.Contain("layout in"));
        File.WriteAllText(world["data", "dtd", "val", "banded", "3.jpg"], "no image");
        Outcome bad = TinyWorld.Run(["data", "check", "DTD", "KITTI", "--data-location", Location]);
        Assert.That(bad.Code, Is.EqualTo(2));
        Assert.That(bad.Output, Does.Contain($"unreadable: {world["data", "dtd", "val", "banded", "3.jpg"]}: not an image"));
        Assert.That(bad.Output, Does.Contain("missing: KITTI: nothing of it is in")
            .And.Contains($"layout in {Location} (original, torchvision): kitti/raw/training/image_2")
            .And.Contains("get it from: https://www.cvlibs.net").And.Contains("patching data download KITTI"));
        Assert.That(bad.ErrorLines[^1], Does.StartWith("patching: DTD, KITTI: missing or damaged in part"));
        Assert.That(TinyWorld.Do("data", "check", "DTD", "--quick", "--data-location", Location).Output,
            Does.Contain("evaluation  2 of 1880"));
    }

    [Test]
    public void CheckFindsDuplicates()
    {
        Image("data", "dtd", "train", "banded", "1.jpg");
        File.Copy(world["data", "dtd", "train", "banded", "1.jpg"], world["data", "twin.jpg"]);
        Directory.CreateDirectory(world["data", "dtd", "val", "lined"]);
        File.Move(world["data", "twin.jpg"], world["data", "dtd", "val", "lined", "2.jpg"]);
        string output = TinyWorld.Do("data", "check", "DTD", "--duplicates", "--data-location", Location).Output;
        Assert.That(output, Does.Contain("images both in training and in evaluation: 1"));
        Assert.That(
            output, Does.Contain(
            $"{world["data", "dtd", "val", "lined", "2.jpg"]} = {world["data", "dtd", "train", "banded", "1.jpg"]} (of another class)"));
    }

    [Test]
    public void ARunTakesAManifestAndItsResultsCiteIt()
    {
        string manifest = world["m", "colours.manifest"], results = world["results.jsonl"];
        Outcome written = TinyWorld.Do("data", "manifest", world.Dataset, "--out", manifest);
        string sha = Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(manifest)));
        Assert.That(written.Output, Is.EqualTo($"{manifest}: {TinyWorld.TrainImages + TinyWorld.TestImages} images, SHA-256 {sha}\n"));
        TinyWorld.Do([.. world.Evaluate(world.Model, "--results-db", results)]);
        string[] named = [.. world.Evaluate(world.Model, "--results-db", results)
            .Select(argument => argument == world.Dataset ? "manifest:" + manifest : argument)];
        TinyWorld.Do(named);
        JsonElement[] rows = [.. File.ReadAllLines(results).Select(line => JsonDocument.Parse(line).RootElement)];
        Assert.That(rows[1].GetProperty("manifest").GetString(), Is.EqualTo(sha));
        Assert.That(rows[0].TryGetProperty("manifest", out _), Is.False);
        Assert.That(rows[1].GetProperty("correct").GetInt32(), Is.EqualTo(rows[0].GetProperty("correct").GetInt32()));
        Assert.That(rows[1].GetProperty("head_key").GetString(), Is.EqualTo(rows[0].GetProperty("head_key").GetString()));
    }

    [Test]
    public void TypographicAttacksCountTheMisled()
    {
        // Every image is red and says one of two classes: what is not right is misled.
        Image("attacks", "label=red_text=blue.png");
        Image("attacks", "label=blue_text=red.png");
        Image("attacks", "label=red_text=red.png");
        string results = world["results.jsonl"];
        Outcome outcome = TinyWorld.Do([.. world.Evaluate(world.Model, "--results-db", results).Select(argument =>
            argument == world.Dataset ? "typographic:" + world["attacks"] : argument)]);
        JsonElement row = JsonDocument.Parse(File.ReadAllLines(results)[0]).RootElement;
        (int correct, int misled) = (row.GetProperty("correct").GetInt32(), row.GetProperty("misled").GetInt32());
        // The same picture three times: the model answers the same to all, so one or two are right, and only a written word can mislead.
        Assert.That((correct, misled), Is.EqualTo((1, 1)).Or.EqualTo((2, 1)));
        Assert.That(outcome.Output, Does.Contain($"({correct}/3), {misled} misled"));
    }

    [TestCase(false)]
    [TestCase(true)]
    public void DownloadContinuesAndChecks(bool lies)
    {
        byte[] archive = [.. Enumerable.Range(0, 200_000).Select(i => (byte)(i * 7))];
        // Not CIFAR's archive, so its hash must be refused; what has no published hash is taken.
        using ScriptedServer server = new((i, request) => i switch
        {
            0 => new Scripted("302 Found", "Location: /moved/devkit.zip\r\n", []),
            1 => Scripted.File(request, archive).Cut(50_000),
            _ => Scripted.File(request, archive),
        });
        string mirror = server.Address("/").AbsoluteUri;
        Outcome outcome = TinyWorld.Run(
            ["data", "download", lies ? "CIFAR10" : "ImageNetV2", "--data-location", Location, "--mirror", mirror]);
        string target = Path.Combine(Location, lies ? "cifar-10-python.tar.gz" : "imagenetv2-matched-frequency.tar.gz");
        Assert.That(server.Seen.Select(request => request.From), Is.EqualTo(new long?[] { null, null, 50_000 }));
        if (lies)
        {
            Assert.That((outcome.Code, File.Exists(target)), Is.EqualTo((1, false)));
            Assert.That(outcome.Error, Does.Contain("MD5").And.Contains("c58f30108f718f92721af3b95e74349a"));
            return;
        }
        Assert.That(outcome.Output, Is.EqualTo($"{target}: fetched, no hash is published for it\n"), outcome.Error);
        Assert.That(File.ReadAllBytes(target), Is.EqualTo(archive));
        Assert.That(TinyWorld.Do("data", "download", "ImageNetV2", "--data-location", Location, "--mirror", mirror).Output,
            Does.Contain("was there"));
    }

    [Test]
    public void DownloadSurvivesSilenceAndLies()
    {
        byte[] archive = [.. Enumerable.Range(0, 200_000).Select(i => (byte)(i * 7))];
        const string tag = "ETag: \"v1\"\r\n";
        using ScriptedServer server = new((i, request) => i switch
        {
            0 => Scripted.File(request, archive).Cut(30_000, stall: true),
            // The rest of a file of another length.
            1 => new Scripted("206 Partial Content", $"{tag}Content-Length: 10\r\nContent-Range: bytes 30000-30009/30010\r\n", archive[..10]),
            _ => Scripted.File(request, archive),
        });
        Outcome outcome = TinyWorld.Do(
            "data", "download", "ImageNetV2", "--data-location", Location, "--mirror", server.Address("/").AbsoluteUri, "--timeout", "1");
        string target = Path.Combine(Location, "imagenetv2-matched-frequency.tar.gz");
        Assert.That(server.Seen.Select(request => request.From), Is.EqualTo(new long?[] { null, 30_000, null }));
        Assert.That(outcome.Output, Is.EqualTo($"{target}: fetched, no hash is published for it\n"), outcome.Error);
        Assert.That(File.ReadAllBytes(target), Is.EqualTo(archive));
    }

    [Test]
    public void EveryFileOfADataSetIsFetchedToItsPlace()
    {
        List<string> asked = [];
        using ScriptedServer server = new((_, request) =>
        {
            lock (asked) asked.Add(request.Path);
            return Scripted.File(request, [1, 2, 3]);
        });
        TinyWorld.Do("data", "download", "kitti", "--data-location", Location, "--mirror", server.Address("/").AbsoluteUri);
        Assert.That(
            asked, Is.EqualTo(
            new[] { "/avg-kitti/data_object_image_2.zip", "/avg-kitti/data_object_label_2.zip", "/avg-kitti/devkit_object.zip" }));
        Assert.That(Directory.GetFiles(world["data", "kitti", "raw"]).Select(Path.GetFileName).Order(),
            Is.EqualTo(new[] { "data_object_image_2.zip", "data_object_label_2.zip", "devkit_object.zip" }));
    }

    [TestCase(2, "holds no known data set", "data", "check", "--data-location", "{root}/nowhere")]
    [TestCase(2, "did you mean DTD?", "data", "check", "DDT")]
    [TestCase(2, "--duplicates", "data", "check", "folder:{root}/colours", "--quick", "--duplicates")]
    [TestCase(2, "account or a form", "data", "download", "ImageNet")]
    [TestCase(2, "is a path", "data", "download", "folder:{root}")]
    [TestCase(2, "--offline", "data", "download", "MNIST", "--offline")]
    [TestCase(2, "--mirror", "data", "download", "MNIST", "--mirror", "ftp://x")]
    [TestCase(2, "--timeout 0", "data", "download", "MNIST", "--timeout", "0")]
    [TestCase(2, "is there already", "data", "manifest", "folder:{root}/colours", "--out", "{root}/model/config.json")]
    [TestCase(2, "--split", "data", "manifest", "folder:{root}/colours", "--out", "{root}/x", "--split", "val")]
    [TestCase(2, "no such file", "evaluate", "--model", "{root}/model", "--eval-datasets", "manifest:{root}/nothing")]
    public void WhatCannotBeDoneIsSaidInALine(int code, string part, params string[] arguments)
    {
        Outcome outcome = TinyWorld.Run([.. arguments.Select(argument => argument.Replace("{root}", world.Root))]);
        Assert.That(outcome.Code, Is.EqualTo(code), outcome.Error);
        Assert.That(outcome.ErrorLines, Has.Length.EqualTo(1), outcome.Error);
        Assert.That(outcome.ErrorLines[0], Does.Contain(part));
    }

    private void Image(params string[] parts)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(world[parts])!);
        SyntheticFiles.Ppm(world[parts], 20, 16, (byte)(parts[0] == "attacks" ? 200 : parts[^1][0]),
            (byte)(parts[0] == "attacks" ? 10 : parts.Length * 7), 30);
    }
}
