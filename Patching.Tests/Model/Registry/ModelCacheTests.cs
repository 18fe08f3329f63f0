using System.Security.Cryptography;
using System.Text;
using NUnit.Framework;
using Patching.Model.Download;
using Patching.Model.Registry;
using Patching.Tests.Model.Download;
using Patching.Tests.Model.Weights;

namespace Patching.Tests.Model.Registry;

/// <summary>The table of published models and their cache, against a server on this machine.</summary>
internal sealed class ModelCacheTests
{
    private static readonly byte[] Weights = [.. Enumerable.Range(0, 3_000_000).Select(i => (byte)(i * 7 + i / 255))];
    private static readonly byte[] Config = Encoding.UTF8.GetBytes("{}");

    private static readonly PublishedModel Vouched = Published(Convert.ToHexStringLower(SHA256.HashData(Weights)));
    private static readonly PublishedModel Unvouched = Published(null);

    private TemporaryFolder folder = null!;
    private ModelCache cache = null!;

    [SetUp]
    public void CreateFolder()
    {
        folder = new TemporaryFolder();
        cache = new ModelCache(folder["models"]);
    }

    [TearDown]
    public void RemoveFolder() => folder.Dispose();

    [Test]
    public void EveryModelHasItsOwnNameFolderAndAddress()
    {
        Assert.That(PublishedModels.All.Select(model => model.FolderName.ToLowerInvariant()), Is.Unique);
        Assert.That(PublishedModels.All.Select(model => model.Files[0].Address), Is.Unique);
        foreach (PublishedModel model in PublishedModels.All)
        {
            Assert.That(PublishedModels.Find(model.Name), Is.SameAs(model));
            Assert.That(PublishedModels.Find(model.FolderName.ToUpperInvariant()), Is.SameAs(model));
            Assert.That(model.Files[0].Name, Is.EqualTo(model.Weights));
            Assert.That(model.Files.Select(file => file.Address.Scheme), Is.All.EqualTo("https"));
            Assert.That(model.Files.Where(file => file.Sha256 is not null).Select(file => file.Sha256!.Length), Is.All.EqualTo(64));
            Assert.That(model.Files.Select(file => file.Name), Does.Contain("vocab.json").And.Contain("merges.txt"));
        }
    }

    [TestCase("ViT-L/14", "ViT-L/14")]
    [TestCase("vit-l-14", "ViT-L/14")]
    [TestCase("ViT-L/14@336px", "ViT-L/14@336px")]
    [TestCase("ViT-L-14-336px", "ViT-L/14@336px")]
    [TestCase("ViT-B-32/laion2b_s34b_b79k", "ViT-B-32:laion2b_s34b_b79k")]
    [TestCase("laion/CLIP-ViT-H-14-laion2B-s32B-b79K", "ViT-H-14:laion2b_s32b_b79k")]
    [TestCase("rn50X64", "RN50x64")]
    [TestCase("ViT-Z/99", null)]
    [TestCase("openai", null)]
    [TestCase("", null)]
    public void NamesAreFoundInTheUsualSpellings(string name, string? expected) => Assert.That(PublishedModels.Find(name)?.Name, Is.EqualTo(expected));

    /// <summary>Both addresses whose hash is known carry it: the table cannot mix up two of OpenAI's models.</summary>
    [Test]
    public void OpenAiAddressesContainTheHash()
    {
        foreach (PublishedModel model in PublishedModels.All.Where(model => !model.OpensAsFolder))
            Assert.That(model.Files[0].Address.AbsolutePath, Does.Contain($"/{model.Files[0].Sha256}/"));
    }

    [Test]
    public async Task WhatWasFetchedIsThereIntactAndNotFetchedAgain([Values] bool vouched)
    {
        PublishedModel model = vouched ? Vouched : Unvouched;
        using ScriptedServer server = Serve();
        Assert.That(cache.Has(model), Is.False);
        List<string> seen = [];
        await Fetch(server, model, (file, done, total) => seen.Add($"{file} {done == total}"));
        Assert.That(cache.Has(model), Is.True);
        Assert.That(cache.Verify(model), Is.Empty);
        Assert.That(cache.BytesOf(model), Is.EqualTo(Weights.Length + Config.Length));
        Assert.That(File.ReadAllBytes(Path.Combine(cache.FolderOf(model), "weights.pt")).AsSpan().SequenceEqual(Weights));
        Assert.That(seen, Does.Contain("weights.pt True").And.Contain("config.json True"));
        int requests = server.Seen.Count;
        await Fetch(server, model);
        Assert.That(server.Seen, Has.Count.EqualTo(requests));
    }

    [Test]
    public async Task AnInterruptedDownloadContinuesAndDoesNotCountBefore()
    {
        // The first connection ends in the middle, and the downloader is told not to try again.
        using ScriptedServer server = Serve(cutFirst: true);
        Assert.That(async () => await Fetch(server, Vouched, attempts: 1), Throws.InstanceOf<DownloadException>());
        Assert.That(cache.Has(Vouched), Is.False);
        await Fetch(server, Vouched);
        Assert.That(cache.Verify(Vouched), Is.Empty);
        Assert.That(server.Seen[1].From, Is.EqualTo(2_000_000), "the second request continues");
    }

    [Test]
    public async Task AnotherFileThanThePublishedOneIsRefused()
    {
        PublishedModel model = Published(new string('0', 64));
        using ScriptedServer server = Serve();
        DownloadException? error = await Assert.ThrowsAsync<DownloadException>(async () => await Fetch(server, model));
        Assert.That(error!.Message, Does.Contain("SHA-256").And.Not.Contain('\n'));
        Assert.That(cache.Has(model), Is.False);
        Assert.That(Directory.EnumerateFiles(cache.FolderOf(model)), Is.Empty);
    }

    [Test]
    public async Task DamageIsFoundWithAndWithoutAPublishedHash([Values] bool vouched)
    {
        PublishedModel model = vouched ? Vouched : Unvouched;
        using ScriptedServer server = Serve();
        await Fetch(server, model);
        string weights = Path.Combine(cache.FolderOf(model), "weights.pt");
        byte[] bytes = File.ReadAllBytes(weights);
        bytes[^1] ^= 1;
        File.WriteAllBytes(weights, bytes);
        Assert.That(cache.Verify(model), Has.Count.EqualTo(1).And.All.StartsWith($"{weights}: its SHA-256 is"));
        File.Delete(weights);
        Assert.That(cache.Has(model), Is.False);
        Assert.That(cache.Verify(model), Is.EqualTo(new[] { $"{weights}: is missing" }));
    }

    [Test]
    public async Task AForeignHashFileIsNoWitness([Values("", "what", "00  weights.pt", "\0\0\0")] string text)
    {
        using ScriptedServer server = Serve();
        await Fetch(server, Unvouched);
        File.WriteAllText(Path.Combine(cache.FolderOf(Unvouched), ModelCache.HashFile), text);
        Assert.That(cache.Has(Unvouched), Is.False);
        Assert.That(cache.Verify(Unvouched), Has.Count.EqualTo(2).And.All.EndsWith("was never fetched completely"));
        await Fetch(server, Unvouched);
        Assert.That(cache.Has(Unvouched), Is.True);
    }

    private static PublishedModel Published(string? sha256) => new(
        "Test/1:a", "of a test", "weights.pt", OpensAsFolder: false,
        [
            new PublishedFile("weights.pt", new Uri("https://models.invalid/a/weights.pt"), sha256),
            new PublishedFile("config.json", new Uri("https://models.invalid/a/config.json"), null),
        ]);

    private static ScriptedServer Serve(bool cutFirst = false) => new((number, request) =>
    {
        Scripted answer = Scripted.File(request, request.Path == "/a/weights.pt" ? Weights : Config);
        return cutFirst && number == 0 ? answer.Cut(2_000_000) : answer;
    });

    private async Task Fetch(ScriptedServer server, PublishedModel model, Action<string, long, long?>? progress = null, int attempts = 5)
    {
        using Downloader downloader = new(new DownloadOptions { Attempts = attempts, FirstPause = TimeSpan.FromMilliseconds(1), UseProxy = false });
        await cache.DownloadAsync(model, downloader, server.Address("/"), progress);
    }
}
