using System.Security.Cryptography;
using System.Text.Json;
using NUnit.Framework;
using Patching.Model.Demo;

namespace Patching.Tests.Model.Demo;

/// <summary>What the demo draws: the same for the same seed, nothing twice, and every class name of both tasks in some caption.</summary>
internal sealed class DemoDataTests
{
    private string folder = null!;

    [OneTimeSetUp]
    public void DrawOnce()
    {
        folder = Directory.CreateTempSubdirectory("patching-demo-data-").FullName;
        Draw("first", seed: 0);
    }

    [OneTimeTearDown]
    public void RemoveFolder() => Directory.Delete(folder, recursive: true);

    [Test]
    public void TheSeedDecidesEveryByte()
    {
        Draw("again", seed: 0);
        Draw("other", seed: 1);
        Dictionary<string, string> first = Hashes("first"), again = Hashes("again"), other = Hashes("other");
        Assert.That(again, Is.EqualTo(first));
        Assert.That(other.Keys, Is.EquivalentTo(first.Keys));
        Assert.That(other.Where(file => first[file.Key] == file.Value), Is.Empty);
    }

    [Test]
    public void NoPictureIsInTwoSplits() => Assert.That(Hashes("first").Where(file => file.Key.EndsWith(".png", StringComparison.Ordinal)).Select(file => file.Value), Is.Unique);

    [Test]
    public void CaptionsSpeakOfEveryClassOfBothTasks()
    {
        string[] captions = [.. File.ReadLines(Path.Combine(folder, "first", "captions.jsonl"))
            .Select(line => JsonDocument.Parse(line).RootElement.GetProperty("caption").GetString()!)];
        foreach ((string task, int classes) in ((string, int)[])[("patterns", 9), ("handwriting", 10)])
        {
            string[] names = [.. Directory.GetDirectories(Path.Combine(folder, "first", task, "test")).Select(path => Path.GetFileName(path).Replace('_', ' '))];
            Assert.That(names, Has.Length.EqualTo(classes), task);
            foreach (string name in names) Assert.That(captions, Has.Some.Contains($" {name}."), $"{task}: {name}");
        }
    }

    private void Draw(string name, long seed)
    {
        const int Pairs = 200, Training = 40, Test = 20;
        new DemoData(Path.Combine(folder, name), seed, imageSize: 32, progress: null).Draw(Pairs, Training, Test, CancellationToken.None);
    }

    private Dictionary<string, string> Hashes(string name)
    {
        string root = Path.Combine(folder, name);
        return Directory.EnumerateFiles(root, "*", SearchOption.AllDirectories)
            .ToDictionary(path => Path.GetRelativePath(root, path), path => Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(path))));
    }
}
