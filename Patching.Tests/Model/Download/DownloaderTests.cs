using System.Security.Cryptography;
using NUnit.Framework;
using Patching.Model;
using Patching.Model.Download;
using Patching.Tests.Model.Data;

namespace Patching.Tests.Model.Download;

internal sealed class DownloaderTests
{
    private static readonly byte[] Body = [.. Enumerable.Range(0, 300_000).Select(i => (byte)(i * 7 + (i >> 8)))];
    private static readonly string Hash = Convert.ToHexStringLower(SHA256.HashData(Body));

    private TemporaryFolder root = null!;

    private string Target => root.File("deep", "file.bin");

    [SetUp]
    public void CreateFolder() => root = new TemporaryFolder();

    [TearDown]
    public void RemoveFolder() => root.Dispose();

    [Test]
    public async Task FetchesAndReportsProgress()
    {
        using ScriptedServer server = new((_, request) => Scripted.File(request, Body));
        List<(long, long?)> progress = [];
        DownloadResult result = await Fetch(server, request => request with { Sha256 = Hash.ToUpperInvariant(), Length = Body.Length }, (done, total) => progress.Add((done, total)));
        Assert.That(result, Is.EqualTo(new DownloadResult(Target, Body.Length, Hash, AlreadyThere: false)));
        AssertComplete();
        Assert.That(progress[0], Is.EqualTo((0L, (long?)Body.Length)));
        Assert.That(progress[^1], Is.EqualTo(((long)Body.Length, (long?)Body.Length)));
        Assert.That(progress, Is.Ordered);
        Assert.That((await Fetch(server)).AlreadyThere, Is.True);
        Assert.That(server.Seen, Has.Count.EqualTo(1), "a file that is there is not asked for");
    }

    [Test]
    public async Task ContinuesWhereTheConnectionBroke()
    {
        using ScriptedServer server = new((i, request) => i < 3 ? Scripted.File(request, Body).Cut(50_000) : Scripted.File(request, Body));
        await Fetch(server);
        AssertComplete();
        Assert.That(server.Seen.Select(request => request.From), Is.EqualTo(new long?[] { null, 50_000, 100_000, 150_000 }));
        Assert.That(server.Seen[1].Headers["if-range"], Is.EqualTo("\"v1\""));
    }

    [Test]
    public async Task ContinuesInALaterRun()
    {
        using ScriptedServer server = new((i, request) => i == 0 ? Scripted.File(request, Body).Cut(1000) : i < 3 ? Status("503 Service Unavailable") : Scripted.File(request, Body));
        DownloadException error = await Fails(server);
        Assert.That(error.Message, Does.Contain("503").And.Contain("1000 bytes are kept"));
        Assert.That(File.Exists(Target), Is.False);
        await Fetch(server);
        AssertComplete();
        Assert.That(server.Seen[^1].From, Is.EqualTo(1000));
    }

    [Test]
    public async Task StartsOverWhenTheFileChanged()
    {
        byte[] newer = [.. Body.Reverse(), 1, 2, 3];
        using ScriptedServer server = new((i, request) => i == 0 ? Scripted.File(request, Body).Cut(1000) : Scripted.File(request, newer, "\"v2\""));
        await Fetch(server);
        Assert.That(File.ReadAllBytes(Target), Is.EqualTo(newer));
        Assert.That(server.Seen[1].From, Is.EqualTo(1000));
    }

    [Test]
    public async Task StartsOverWhereTheServerGivesNoVersion([Values] bool known)
    {
        using ScriptedServer server = new((i, request) =>
        {
            Scripted right = Scripted.File(request, Body);
            Scripted plain = right with { Headers = right.Headers.Replace("ETag: \"v1\"\r\n", "", StringComparison.Ordinal) };
            return i == 0 ? plain.Cut(1000) : plain;
        });
        await Fetch(server, request => known ? request with { Sha256 = Hash } : request);
        AssertComplete();
        Assert.That(server.Seen[1].From, Is.EqualTo(known ? 1000 : null), "continuing blindly is safe only with a hash");
    }

    [Test]
    public async Task FetchesAgainWhatAnEarlierRunLeftDamaged()
    {
        File.WriteAllBytes(Target + ".part", new byte[5000]);
        using ScriptedServer server = new((_, request) => Scripted.File(request, Body));
        await Fetch(server, request => request with { Sha256 = Hash });
        AssertComplete();
        Assert.That(server.Seen.Select(request => request.From), Is.EqualTo(new long?[] { 5000, null }));
    }

    [Test]
    public async Task TakesAPartThatIsWholeAlready()
    {
        File.WriteAllBytes(Target + ".part", Body);
        using ScriptedServer server = new((_, _) =>
            new Scripted("416 Range Not Satisfiable", FormattableString.Invariant($"Content-Range: bytes */{Body.Length}\r\nContent-Length: 0\r\n"), []));
        await Fetch(server, request => request with { Sha256 = Hash });
        AssertComplete();
    }

    [TestCase("{", "1000")]
    [TestCase("null", "1000")]
    public async Task ADamagedNoteOnlyCostsTheBytes(string note, string bytes)
    {
        File.WriteAllBytes(Target + ".part", new byte[int.Parse(bytes, System.Globalization.CultureInfo.InvariantCulture)]);
        File.WriteAllText(Target + ".part.json", note);
        using ScriptedServer server = new((_, request) => Scripted.File(request, Body));
        await Fetch(server);
        AssertComplete();
    }

    [Test]
    public async Task FollowsRedirects()
    {
        using ScriptedServer server = new((_, request) => request.Path == "/file.bin" ? Redirect("/moved") : Scripted.File(request, Body));
        await Fetch(server);
        AssertComplete();
        Assert.That(server.Seen.Select(request => request.Path), Is.EqualTo(new[] { "/file.bin", "/moved" }));
    }

    [Test]
    public async Task RedirectsInACircleEnd()
    {
        using ScriptedServer server = new((_, _) => Redirect("/file.bin"));
        Assert.That((await Fails(server)).Message, Does.Contain("redirects more than 10 times"));
        AssertNothing();
    }

    [Test]
    public async Task ASilentServerIsTriedAgain()
    {
        using ScriptedServer server = new((i, request) => Scripted.File(request, Body) is var right && i == 0 ? right.Cut(100, stall: true) : right);
        await Fetch(server, options: new DownloadOptions { IdleTimeout = TimeSpan.FromMilliseconds(300) });
        AssertComplete();
        Assert.That(server.Seen[1].From, Is.EqualTo(100));
    }

    [Test]
    public async Task AServerThatStaysSilentEndsIt()
    {
        using ScriptedServer server = new((_, _) => new Scripted("200 OK", "Content-Length: 10\r\n", [], Stall: true));
        DownloadException error = await Fails(server, options: new DownloadOptions { IdleTimeout = TimeSpan.FromMilliseconds(100) });
        Assert.That(error.Message, Does.Contain("silent for 0.1 s").And.Contain("2 attempts"));
        AssertNothing();
    }

    [Test]
    public async Task ALengthThatNeverComesIsAnError()
    {
        using ScriptedServer server = new((_, _) => new Scripted("200 OK", "Content-Length: 5000000\r\n", Body));
        Assert.That((await Fails(server)).Message, Does.Contain("2 attempts"));
        Assert.That(File.Exists(Target), Is.False);
    }

    [Test]
    public async Task ALengthBeyondAnyDiskIsRefusedBeforeAByteIsWritten()
    {
        using ScriptedServer server = new((_, _) => new Scripted("200 OK", "Content-Length: 9000000000000000000\r\n", Body));
        Assert.That((await Fails(server)).Message, Does.Contain("MiB free"));
        AssertNothing();
    }

    [Test]
    public async Task AnotherLengthThanExpectedIsRefused([Values] bool announced)
    {
        using ScriptedServer server = new((_, _) => new Scripted("200 OK", announced ? FormattableString.Invariant($"Content-Length: {Body.Length}\r\n") : "", Body));
        Assert.That((await Fails(server, request => request with { Length = 1000 })).Message, Does.Contain("1000").And.Contain("nothing was kept"));
        AssertNothing();
    }

    [Test]
    public async Task ABodyThatEndsEarlyWithoutAnnouncedLengthIsFoundByTheLength()
    {
        using ScriptedServer server = new((_, _) => new Scripted("200 OK", "", Body));
        Assert.That((await Fails(server, request => request with { Length = Body.Length + 1 })).Message, Does.Contain("300001 are expected"));
        AssertNothing();
    }

    [Test]
    public async Task AnotherHashThanExpectedLeavesNothing([Values] bool md5)
    {
        using ScriptedServer server = new((_, request) => Scripted.File(request, [.. Body[..^1], 0]));
        string wanted = md5 ? Convert.ToHexStringLower(MD5.HashData(Body)) : Hash;
        Assert.That((await Fails(server, request => md5 ? request with { Md5 = wanted } : request with { Sha256 = wanted })).Message, Does.Contain(wanted).And.Contain("is expected"));
        AssertNothing();
    }

    [TestCase("404 Not Found", "404")]
    [TestCase("403 Forbidden", "403")]
    [TestCase("410 Gone", "410")]
    public async Task RefusalsAreNotRepeated(string status, string named)
    {
        using ScriptedServer server = new((_, _) => Status(status));
        Assert.That((await Fails(server)).Message, Does.Contain(named).And.Contain(server.Address().AbsoluteUri));
        Assert.That(server.Seen, Has.Count.EqualTo(1));
        AssertNothing();
    }

    [Test]
    public async Task BusyServersAreAskedAgain()
    {
        using ScriptedServer server = new((i, request) => i == 0 ? Status("429 Too Many Requests", "Retry-After: 0\r\n") : Scripted.File(request, Body));
        await Fetch(server);
        AssertComplete();
    }

    [Test]
    public async Task AServerThatContinuesElsewhereIsNotBelieved()
    {
        using ScriptedServer server = new((i, request) => i == 0
            ? Scripted.File(request, Body).Cut(1000)
            : new Scripted("206 Partial Content", FormattableString.Invariant($"Content-Range: bytes 2000-{Body.Length - 1}/{Body.Length}\r\n"), Body[2000..]));
        await Fails(server);
        Assert.That(File.Exists(Target), Is.False);
    }

    [Test]
    public async Task NobodyListens()
    {
        Uri address;
        using (ScriptedServer server = new((_, _) => Status("200 OK"))) address = server.Address();
        DownloadException? error = await Assert.ThrowsAsync<DownloadException>(() => Fetch(address));
        Assert.That(error!.Message, Does.Contain("the connection failed").And.Not.Contain("\n"));
        AssertNothing();
    }

    [Test]
    public async Task CancellingKeepsWhatIsThere()
    {
        using CancellationTokenSource stop = new();
        using ScriptedServer server = new((_, request) => Scripted.File(request, Body).Cut(1000, stall: true));
        using Downloader downloader = Make(null);
        await Assert.ThatAsync(
            () => downloader.FetchAsync(new DownloadRequest(server.Address(), Target), (done, _) => { if (done == 1000) stop.Cancel(); }, stop.Token),
            Throws.InstanceOf<OperationCanceledException>());
        Assert.That(new FileInfo(Target + ".part").Length, Is.EqualTo(1000));
    }

    [Test]
    public async Task TwoDownloadsOfOneFileDoNotMix()
    {
        using FileStream other = new(Target + ".part", FileMode.Create, FileAccess.ReadWrite, FileShare.None);
        using ScriptedServer server = new((_, request) => Scripted.File(request, Body));
        await Assert.ThatAsync(() => Fetch(server), Throws.TypeOf<InputException>().With.Message.Contains("another download"));
    }

    [Test]
    public async Task AFullDiskIsSaidAndKeepsThePart()
    {
        if (!File.Exists("/dev/full")) Assert.Ignore("needs a device that is always full");
        string full = Path.Combine(root.Path, "full.bin");
        File.CreateSymbolicLink(full + ".part", "/dev/full");
        using ScriptedServer server = new((_, request) => Scripted.File(request, Body));
        Exception? error = await Assert.CatchAsync(async () =>
        {
            using Downloader downloader = Make(null);
            await downloader.FetchAsync(new DownloadRequest(server.Address(), full));
        });
        TestContext.Out.WriteLine(error!.Message);
        Assert.That(error, Is.TypeOf<DownloadException>());
        Assert.That(error!.Message, Does.Contain("cannot be written"));
    }

    [Test]
    public async Task ADifferentFileOfTheSameNameIsNotTouched()
    {
        File.WriteAllText(Target, "mine");
        using ScriptedServer server = new((_, request) => Scripted.File(request, Body));
        await Assert.ThatAsync(() => Fetch(server, request => request with { Sha256 = Hash }), Throws.TypeOf<InputException>().With.Message.Contains("exists, but its SHA-256"));
        Assert.That(File.ReadAllText(Target), Is.EqualTo("mine"));
        Assert.That(server.Seen, Is.Empty);
    }

    [Test]
    public async Task OverwritesOnlyWhenAskedTo()
    {
        File.WriteAllText(Target, "mine");
        using ScriptedServer server = new((_, request) => Scripted.File(request, Body));
        await Fetch(server, request => request with { Overwrite = true });
        AssertComplete();
    }

    [TestCase("ftp://example.org/x")]
    [TestCase("file:///etc/passwd")]
    public async Task OnlyHttp(string address) => await Assert.ThatAsync(() => Fetch(new Uri(address)), Throws.TypeOf<InputException>().With.Message.Contains(address));

    [Test]
    public async Task AFolderIsNoTarget()
    {
        root.Folder("deep", "file.bin");
        using ScriptedServer server = new((_, request) => Scripted.File(request, Body));
        await Assert.ThatAsync(() => Fetch(server), Throws.TypeOf<InputException>().With.Message.Contains("is a folder"));
    }

    private static Scripted Status(string status, string headers = "") => new(status, headers + "Content-Length: 0\r\n", []);

    private static Scripted Redirect(string to) => Status("302 Found", $"Location: {to}\r\n");

    private static Downloader Make(DownloadOptions? options) =>
        new((options ?? new DownloadOptions()) with { Attempts = 4, FirstPause = TimeSpan.FromMilliseconds(1), UseProxy = false });

    private async Task<DownloadResult> Fetch(Uri address)
    {
        using Downloader downloader = new(new DownloadOptions { Attempts = 2, FirstPause = TimeSpan.FromMilliseconds(1), UseProxy = false });
        return await downloader.FetchAsync(new DownloadRequest(address, Target));
    }

    private async Task<DownloadResult> Fetch(
        ScriptedServer server, Func<DownloadRequest, DownloadRequest>? change = null, Action<long, long?>? progress = null, DownloadOptions? options = null)
    {
        using Downloader downloader = Make(options);
        DownloadRequest request = new(server.Address(), Target);
        return await downloader.FetchAsync(change is null ? request : change(request), progress);
    }

    private async Task<DownloadException> Fails(ScriptedServer server, Func<DownloadRequest, DownloadRequest>? change = null, DownloadOptions? options = null)
    {
        using Downloader downloader = new((options ?? new DownloadOptions()) with { Attempts = 2, FirstPause = TimeSpan.FromMilliseconds(1), UseProxy = false });
        DownloadRequest request = new(server.Address(), Target);
        DownloadException? error = await Assert.ThrowsAsync<DownloadException>(() => downloader.FetchAsync(change is null ? request : change(request)));
        TestContext.Out.WriteLine(error!.Message);
        Assert.That(error.Message, Does.Not.Contain("\n"));
        return error;
    }

    private void AssertComplete()
    {
        Assert.That(File.ReadAllBytes(Target), Is.EqualTo(Body));
        Assert.That(Directory.GetFiles(Path.GetDirectoryName(Target)!), Has.Length.EqualTo(1), "no leftovers");
    }

    private void AssertNothing() => Assert.That(Directory.GetFiles(Path.GetDirectoryName(Target)!), Is.Empty);
}
