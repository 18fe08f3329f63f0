using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;

namespace Patching.Model.Download;

/// <summary>
/// Fetches files over HTTP so that what has the target's name is complete and checked, whatever the server and the connection do: bytes go to <c>TARGET.part</c>, an interrupted
/// download continues where it stopped (Range with If-Range, so that two versions of a file never mix), silence times out, failures are tried again, length and hash are compared, and
/// only then the file gets its name. Redirects are followed, but not from https to http. Safe for use by several threads.
/// </summary>
public sealed class Downloader : IDisposable
{
    private const int BufferBytes = 1 << 17;
    private const long ProgressThatCounts = 1 << 20;
    private const int MostRedirects = 10;

    private static readonly TimeSpan LongestPause = TimeSpan.FromMinutes(1);

    private readonly DownloadOptions options;
    private readonly HttpClient client;

    /// <summary>Creates a downloader; it keeps its connections until it is disposed.</summary>
    public Downloader(DownloadOptions? options = null)
    {
        this.options = options ?? new DownloadOptions();
        ArgumentOutOfRangeException.ThrowIfLessThan(this.options.Attempts, 1);
        SocketsHttpHandler handler = new()
        {
            ConnectTimeout = this.options.ConnectTimeout,
            MaxAutomaticRedirections = MostRedirects,
            // Compressed on the way, lengths and ranges would not be those of the file.
            AutomaticDecompression = DecompressionMethods.None,
            UseProxy = this.options.UseProxy,
        };
        client = new HttpClient(handler) { Timeout = Timeout.InfiniteTimeSpan };
        client.DefaultRequestHeaders.UserAgent.Add(new ProductInfoHeaderValue("patching", null));
    }

    /// <summary>
    /// Fetches a file. One that is there already is only checked (length, hashes), unless it is to be overwritten. After a failure or a cancellation, the same call continues.
    /// </summary>
    /// <param name="request">What to fetch.</param>
    /// <param name="progress">Called with the bytes that are there and those of the whole file, if known.</param>
    /// <param name="cancellation">Stops; what has been fetched is kept.</param>
    /// <exception cref="InputException">The address or the target cannot be used, or a different file has the target's name.</exception>
    /// <exception cref="DownloadException">The server or the connection failed for good, or what it sends is not the expected file.</exception>
    public async Task<DownloadResult> FetchAsync(DownloadRequest request, Action<long, long?>? progress = null, CancellationToken cancellation = default)
    {
        if (request.Address is not { IsAbsoluteUri: true, Scheme: "http" or "https" })
            throw new InputException($"{request.Address}: only http and https addresses can be fetched");
        if (Directory.Exists(request.Target)) throw new InputException($"{request.Target}: is a folder; name a file");
        if (File.Exists(request.Target) && !request.Overwrite) return await CheckExistingAsync(request, cancellation);

        using PartialFile part = PartialFile.Open(request.Target, request.Address);
        bool continued = part.Length > 0;
        while (true)
        {
            await TransferAsync(part, request, progress, cancellation);
            (string sha256, string? problem) = await VerifyAsync(part.Rewind(), request, cancellation);
            if (problem is null)
            {
                long length = part.Length;
                part.Complete(request.Overwrite);
                return new DownloadResult(request.Target, length, sha256, AlreadyThere: false);
            }
            if (!continued)
            {
                part.Discard();
                throw new DownloadException($"{request.Address}: {problem}; nothing was kept. The file at this address is not the expected one, or the connection changes it");
            }
            // What an earlier run left may be to blame.
            part.StartOver(request.Address);
            continued = false;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => client.Dispose();

    private static async Task<DownloadResult> CheckExistingAsync(DownloadRequest request, CancellationToken cancellation)
    {
        try
        {
            await using FileStream file = new(request.Target, FileMode.Open, FileAccess.Read, FileShare.Read, BufferBytes, FileOptions.Asynchronous);
            (string sha256, string? problem) = await VerifyAsync(file, request, cancellation);
            if (problem is not null) throw new InputException($"{request.Target}: exists, but {problem}; remove it to fetch it again");
            return new DownloadResult(request.Target, file.Length, sha256, AlreadyThere: true);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{request.Target}: cannot be read ({OneLine(e)})", e);
        }
    }

    private static async Task<(string Sha256, string? Problem)> VerifyAsync(Stream file, DownloadRequest request, CancellationToken cancellation)
    {
        using IncrementalHash sha256 = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        using IncrementalHash? md5 = request.Md5 is null ? null : IncrementalHash.CreateHash(HashAlgorithmName.MD5);
        byte[] buffer = new byte[BufferBytes];
        long length = 0;
        int read;
        while ((read = await file.ReadAsync(buffer, cancellation)) > 0)
        {
            sha256.AppendData(buffer, 0, read);
            md5?.AppendData(buffer, 0, read);
            length += read;
        }
        string found = Convert.ToHexStringLower(sha256.GetHashAndReset());
        if (request.Length is { } expected && length != expected) return (found, Text($"it has {length} bytes, {expected} are expected"));
        if (request.Sha256 is { } wanted && !found.Equals(wanted, StringComparison.OrdinalIgnoreCase)) return (found, $"its SHA-256 is {found}, {wanted.ToLowerInvariant()} is expected");
        string? foundMd5 = md5 is null ? null : Convert.ToHexStringLower(md5.GetHashAndReset());
        if (foundMd5 is not null && !foundMd5.Equals(request.Md5, StringComparison.OrdinalIgnoreCase))
            return (found, $"its MD5 is {foundMd5}, {request.Md5!.ToLowerInvariant()} is expected");
        return (found, null);
    }

    // Until the whole body has been received once.
    private async Task TransferAsync(PartialFile part, DownloadRequest request, Action<long, long?>? progress, CancellationToken cancellation)
    {
        int failures = 0;
        while (true)
        {
            long before = part.Length;
            TimeSpan? asked = null;
            string reason;
            try
            {
                await AttemptAsync(part, request, progress, cancellation);
                return;
            }
            catch (TransientException e)
            {
                (reason, asked) = (e.Message, e.RetryAfter);
            }
            finally
            {
                part.Flush();
            }
            failures = part.Length - before >= ProgressThatCounts ? 1 : failures + 1;
            if (failures >= options.Attempts)
                throw new DownloadException(Text($"{request.Address}: {reason} ({failures} attempts); {part.Length} bytes are kept in {part.Path}, and the same command continues from there"));
            TimeSpan pause = asked ?? options.FirstPause * Math.Pow(2, failures - 1);
            await Task.Delay(pause < LongestPause ? pause : LongestPause, cancellation);
        }
    }

    private async Task AttemptAsync(PartialFile part, DownloadRequest request, Action<long, long?>? progress, CancellationToken cancellation)
    {
        // Without the server's word for the version, only a known hash makes it safe to continue.
        bool canContinue = part.Known.Validator is not null || request.Sha256 is not null || request.Md5 is not null;
        if (part.Length > 0 && !canContinue) part.StartOver(request.Address);
        using HttpRequestMessage message = new(HttpMethod.Get, request.Address);
        if (part.Length > 0)
        {
            message.Headers.Range = new RangeHeaderValue(part.Length, null);
            if (part.Known.Validator is { } validator) message.Headers.TryAddWithoutValidation("If-Range", validator);
        }

        using CancellationTokenSource idle = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        using HttpResponseMessage response = await PatientlyAsync(idle, cancellation, token => client.SendAsync(message, HttpCompletionOption.ResponseHeadersRead, token));
        if (!Begin(part, request, response)) return;
        long? total = part.Known.Length;
        await using Stream body = await PatientlyAsync(idle, cancellation, response.Content.ReadAsStreamAsync);
        byte[] buffer = new byte[BufferBytes];
        progress?.Invoke(part.Length, total);
        while (true)
        {
            int read = await PatientlyAsync(idle, cancellation, token => body.ReadAsync(buffer, token).AsTask());
            if (read == 0) break;
            if (part.Length + read > (request.Length ?? total ?? long.MaxValue))
                throw Broken(part, request, Text($"sends more than the {request.Length ?? total} bytes that the file has"));
            part.Append(buffer.AsMemory(0, read));
            progress?.Invoke(part.Length, total);
        }
        if (total is { } whole && part.Length < whole) throw new TransientException(Text($"the connection ended after {part.Length} of {whole} bytes"));
    }

    // True when a body follows that has to be appended; false when the file is complete already.
    private static bool Begin(PartialFile part, DownloadRequest request, HttpResponseMessage response)
    {
        Uri address = request.Address;
        switch (response.StatusCode)
        {
            case HttpStatusCode.PartialContent:
                ContentRangeHeaderValue? range = response.Content.Headers.ContentRange;
                bool follows = range?.From == part.Length && (range.Length ?? part.Known.Length) == (part.Known.Length ?? range.Length);
                if (!follows)
                {
                    part.StartOver(address);
                    throw new TransientException("the server continues at another place than asked for");
                }
                part.Remember(part.Known with { Length = range!.Length ?? part.Known.Length });
                break;
            case HttpStatusCode.OK:
                part.StartOver(address);
                part.Remember(new PartialFile.Version(address.AbsoluteUri, ValidatorOf(response), response.Content.Headers.ContentLength));
                break;
            case HttpStatusCode.RequestedRangeNotSatisfiable:
                if (response.Content.Headers.ContentRange?.Length == part.Length) return false;
                part.StartOver(address);
                throw new TransientException("the file has become shorter");
            default:
                throw Refusal(response, address);
        }
        if (request.Length is { } expected && part.Known.Length is { } offered && offered != expected)
            throw Broken(part, request, Text($"offers a file of {offered} bytes, {expected} are expected"));
        RequireSpace(part, part.Known.Length);
        return true;
    }

    private static Exception Refusal(HttpResponseMessage response, Uri address)
    {
        int code = (int)response.StatusCode;
        string status = Text($"the server answers {code} {response.ReasonPhrase}").TrimEnd();
        if (code is 408 or 429 or >= 500)
        {
            TimeSpan? wait = response.Headers.RetryAfter is { } after ? after.Delta ?? after.Date - DateTimeOffset.UtcNow : null;
            return new TransientException(status) { RetryAfter = wait < TimeSpan.Zero ? TimeSpan.Zero : wait };
        }
        return new DownloadException(code is >= 300 and < 400
            ? $"{address}: redirects more than {MostRedirects} times, to nowhere, or from https to http; it is not followed"
            : $"{address}: {status}; the file may have moved: look for it at its publisher and put it in place by hand");
    }

    private static DownloadException Broken(PartialFile part, DownloadRequest request, string what)
    {
        part.StartOver(request.Address);
        return new DownloadException($"{request.Address}: the server {what}; nothing was kept. The file at this address is not the expected one");
    }

    private static string? ValidatorOf(HttpResponseMessage response) =>
        response.Headers.ETag is { IsWeak: false } tag ? tag.ToString() : response.Content.Headers.LastModified?.ToString("R", CultureInfo.InvariantCulture);

    private static void RequireSpace(PartialFile part, long? total)
    {
        if (total is not { } whole) return;
        long free;
        try
        {
            free = new DriveInfo(Path.GetDirectoryName(Path.GetFullPath(part.Path))!).AvailableFreeSpace;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return;
        }
        if (whole - part.Length > free)
            throw new DownloadException(Text($"{part.Path}: {(whole - part.Length) >> 20} MiB are still to come, the disk has {free >> 20} MiB free; make room or choose another folder"));
    }

    // Every wait for the network goes through here: failures that may pass become one kind of exception, and so does silence.
    private async Task<T> PatientlyAsync<T>(CancellationTokenSource idle, CancellationToken cancellation, Func<CancellationToken, Task<T>> wait)
    {
        idle.CancelAfter(options.IdleTimeout);
        try
        {
            return await wait(idle.Token);
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new TransientException(Text($"the server was silent for {options.IdleTimeout.TotalSeconds:0.#} s"));
        }
        catch (Exception e) when (e is HttpRequestException or IOException)
        {
            throw new TransientException($"the connection failed ({OneLine(e)})");
        }
    }

    private static string OneLine(Exception e) => e.Message.ReplaceLineEndings(" ").TrimEnd('.', ' ');

    private static string Text(FormattableString text) => FormattableString.Invariant(text);

    /// <summary>Something that may be over when it is tried again.</summary>
    private sealed class TransientException(string message) : Exception(message)
    {
        public TimeSpan? RetryAfter { get; init; }
    }
}
