using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;

namespace Patching.Tests.Model.Download;

/// <summary>A request as it arrived.</summary>
internal sealed record SeenRequest(string Path, IReadOnlyDictionary<string, string> Headers)
{
    /// <summary>First byte asked for; null without a Range header.</summary>
    public long? From => Headers.TryGetValue("range", out string? range) && range.StartsWith("bytes=", StringComparison.Ordinal)
        ? long.Parse(range[6..].TrimEnd('-'), CultureInfo.InvariantCulture)
        : null;
}

/// <summary>What the server sends: bytes exactly as given, so that it can lie; then it may keep silent before it hangs up.</summary>
internal sealed record Scripted(string Status, string Headers, byte[] Body, bool Stall = false)
{
    /// <summary>The whole file or the rest that was asked for, done right.</summary>
    public static Scripted File(SeenRequest request, byte[] file, string tag = "\"v1\"")
    {
        bool continues = request.From is { } from && from < file.Length && (!request.Headers.TryGetValue("if-range", out string? condition) || condition == tag);
        int start = continues ? (int)request.From!.Value : 0;
        string range = continues ? FormattableString.Invariant($"Content-Range: bytes {start}-{file.Length - 1}/{file.Length}\r\n") : "";
        return new Scripted(
            continues ? "206 Partial Content" : "200 OK", FormattableString.Invariant($"ETag: {tag}\r\nContent-Length: {file.Length - start}\r\n{range}"), file[start..]);
    }

    /// <summary>The same, but only so many bytes of the body are really sent.</summary>
    public Scripted Cut(int bytes, bool stall = false) => this with { Body = Body[..bytes], Stall = stall };
}

/// <summary>A web server on this machine that does what a test says, well or badly.</summary>
internal sealed class ScriptedServer : IDisposable
{
    private readonly TcpListener listener = new(IPAddress.Loopback, 0);
    private readonly CancellationTokenSource end = new();
    private readonly Func<int, SeenRequest, Scripted> script;
    private readonly ConcurrentQueue<SeenRequest> seen = [];
    private int count;

    /// <summary>Starts to listen.</summary>
    /// <param name="script">The answer to request number i, from 0.</param>
    public ScriptedServer(Func<int, SeenRequest, Scripted> script)
    {
        this.script = script;
        listener.Start();
        _ = AcceptAsync();
    }

    public IReadOnlyList<SeenRequest> Seen => [.. seen];

    public Uri Address(string path = "/file.bin") => new(FormattableString.Invariant($"http://127.0.0.1:{((IPEndPoint)listener.LocalEndpoint).Port}{path}"));

    public void Dispose()
    {
        end.Cancel();
        listener.Dispose();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true) _ = ServeAsync(await listener.AcceptTcpClientAsync(end.Token));
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // The test is over.
        }
    }

    private async Task ServeAsync(TcpClient client)
    {
        try
        {
            using (client)
            {
                NetworkStream stream = client.GetStream();
                SeenRequest request = await ReadAsync(stream);
                seen.Enqueue(request);
                Scripted answer = script(Interlocked.Increment(ref count) - 1, request);
                await stream.WriteAsync(Encoding.ASCII.GetBytes($"HTTP/1.1 {answer.Status}\r\n{answer.Headers}Connection: close\r\n\r\n"));
                await stream.WriteAsync(answer.Body);
                await stream.FlushAsync();
                if (answer.Stall) await Task.Delay(Timeout.Infinite, end.Token);
            }
        }
        catch (Exception e) when (e is IOException or OperationCanceledException)
        {
            // The client hung up, or the test is over.
        }
    }

    private static async Task<SeenRequest> ReadAsync(NetworkStream stream)
    {
        StringBuilder text = new();
        byte[] one = new byte[1];
        while (!text.ToString().EndsWith("\r\n\r\n", StringComparison.Ordinal) && await stream.ReadAsync(one) == 1) text.Append((char)one[0]);
        string[] lines = text.ToString().Split("\r\n", StringSplitOptions.RemoveEmptyEntries);
        Dictionary<string, string> headers = lines.Skip(1).Select(line => line.Split(':', 2)).ToDictionary(pair => pair[0].ToLowerInvariant(), pair => pair[1].Trim());
        return new SeenRequest(lines[0].Split(' ')[1], headers);
    }
}
