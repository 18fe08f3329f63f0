using System.Text.Json;

namespace Patching.Model.Download;

/// <summary>
/// A file on its way: <c>TARGET.part</c> with the bytes so far, and <c>TARGET.part.json</c> with what has to be known to continue (address, the server's version of the file).
/// Locked against a second download of the same target.
/// </summary>
internal sealed class PartialFile : IDisposable
{
    private readonly string target;
    private readonly FileStream stream;
    private bool finished;

    private PartialFile(string target, FileStream stream, Version version)
    {
        this.target = target;
        this.stream = stream;
        Known = version;
    }

    /// <summary>The bytes so far.</summary>
    public string Path => stream.Name;

    /// <summary>Number of bytes so far.</summary>
    public long Length => stream.Length;

    /// <summary>What the bytes so far belong to.</summary>
    public Version Known { get; private set; }

    private string NotePath => NoteOf(target);

    /// <summary>Opens what an earlier run left, or begins.</summary>
    /// <exception cref="InputException">The folder cannot be written, or another download of the same file is running.</exception>
    public static PartialFile Open(string target, Uri address)
    {
        try
        {
            Directory.CreateDirectory(System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(target))!);
            FileStream stream = new(target + ".part", FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 0);
            PartialFile part = new(target, stream, ReadNote(NoteOf(target)) ?? new Version(address.AbsoluteUri, null, null));
            if (part.Known.Address != address.AbsoluteUri) part.StartOver(address);
            return part;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{target}: cannot be written ({e.Message.ReplaceLineEndings(" ").TrimEnd('.')}); is another download of it running?", e);
        }
    }

    /// <summary>Forgets the bytes so far.</summary>
    public void StartOver(Uri address)
    {
        Known = new Version(address.AbsoluteUri, null, null);
        Write(() =>
        {
            if (stream.Length > 0) stream.SetLength(0);
            File.Delete(NotePath);
        });
    }

    /// <summary>Notes which version of the file the bytes from here on belong to.</summary>
    public void Remember(Version version)
    {
        if (version == Known && File.Exists(NotePath)) return;
        Known = version;
        Write(() => File.WriteAllText(NotePath, JsonSerializer.Serialize(version)));
    }

    /// <summary>Adds bytes at the end.</summary>
    public void Append(ReadOnlyMemory<byte> bytes) => Write(() =>
    {
        stream.Position = stream.Length;
        stream.Write(bytes.Span);
    });

    /// <summary>Brings the bytes so far to the disk.</summary>
    public void Flush() => Write(() => stream.Flush(flushToDisk: true));

    /// <summary>A reader of the bytes so far, from the first on.</summary>
    public Stream Rewind()
    {
        Flush();
        stream.Position = 0;
        return stream;
    }

    /// <summary>Gives the complete file its name.</summary>
    public void Complete(bool overwrite)
    {
        Flush();
        // The lock goes with the stream; the name changes while it is held, which POSIX allows. Elsewhere the stream has to be closed first.
        if (OperatingSystem.IsWindows()) stream.Dispose();
        Write(() =>
        {
            File.Move(target + ".part", target, overwrite);
            finished = true;
            File.Delete(NotePath);
        });
    }

    /// <summary>Removes what has been fetched.</summary>
    public void Discard()
    {
        finished = true;
        stream.Dispose();
        File.Delete(target + ".part");
        File.Delete(NotePath);
    }

    /// <summary>Keeps the bytes so far, if there are any.</summary>
    public void Dispose()
    {
        if (!finished && stream.Length == 0) Discard();
        stream.Dispose();
    }

    // The disk may fill up at any of these.
    private void Write(Action write)
    {
        try
        {
            write();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DownloadException($"{target}.part: cannot be written ({e.Message.ReplaceLineEndings(" ").TrimEnd('.')}); make room, then the same command continues", e);
        }
    }

    private static string NoteOf(string target) => target + ".part.json";

    private static Version? ReadNote(string path)
    {
        try
        {
            return File.Exists(path) ? JsonSerializer.Deserialize<Version>(File.ReadAllText(path)) : null;
        }
        catch (JsonException)
        {
            // A damaged note only costs the bytes so far.
            return new Version("", null, null);
        }
    }

    /// <summary>Which version of a file the bytes belong to.</summary>
    /// <param name="Address">Where it was asked for.</param>
    /// <param name="Validator">The server's strong ETag or date of change, as the If-Range header takes it; null if it gave none.</param>
    /// <param name="Length">Bytes of the whole file, if the server said so.</param>
    internal sealed record Version(string Address, string? Validator, long? Length);
}
