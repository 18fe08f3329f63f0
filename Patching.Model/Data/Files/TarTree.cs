using System.Formats.Tar;
using System.IO.Compression;
using Microsoft.Win32.SafeHandles;

namespace Patching.Model.Data.Files;

/// <summary>Where a file's bytes lie in a tar archive.</summary>
/// <param name="Offset">First byte.</param>
/// <param name="Length">Bytes.</param>
internal readonly record struct TarSpan(long Offset, long Length);

/// <summary>
/// The files in a tar archive. Archives in it (ImageNet's training images come as one per class) are shown as folders. A
/// <c>.tar.gz</c> has no table of contents and can only be read from its beginning: it is unpacked, as one, into a nameless temporary file,
/// as far as that is sensible.
/// </summary>
internal sealed class TarTree : ArchiveTree<TarSpan>
{
    private const string Ending = ".tar";

    // Beyond this, unpacking by hand once is better than unpacking in every run.
    private const long LongestUnpacked = 4L << 30;

    private const int BufferBytes = 1 << 20;

    private readonly SafeFileHandle file;
    private readonly long length;

    private TarTree(string archive, FileStream stream)
        : base(archive)
    {
        file = stream.SafeFileHandle;
        length = stream.Length;
        Index(stream, 0, "");
    }

    /// <summary>Reads the headers of all files.</summary>
    /// <param name="path">The archive.</param>
    /// <param name="compressed">Whether it is compressed with gzip.</param>
    /// <exception cref="InputException">It cannot be read, is damaged, or too large to be unpacked on the way.</exception>
    public static TarTree Open(string path, bool compressed)
    {
        try
        {
            FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 12, FileOptions.RandomAccess);
            return new TarTree(path, compressed ? Unpack(path, stream) : stream);
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException or ArgumentException)
        {
            throw new InputException($"{path}: is damaged or no archive of its kind ({OneLine.Of(e)}); download it again", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{path}: cannot be read ({OneLine.Of(e)})", e);
        }
    }

    /// <inheritdoc/>
    protected override ReadOnlyMemory<byte> Read(string path, TarSpan entry)
    {
        if (entry.Length > Array.MaxLength) throw new InputException(
            $"{Describe(path)}: {entry.Length} bytes are too many; unpack the archive");
        byte[] bytes = GC.AllocateUninitializedArray<byte>((int)entry.Length);
        int done = 0;
        while (done < bytes.Length)
        {
            int read = RandomAccess.Read(file, bytes.AsSpan(done), entry.Offset + done);
            if (read == 0) throw new InputException($"{Describe(path)}: the archive ends here; download it again");
            done += read;
        }
        return bytes;
    }

    private void Index(Stream stream, long start, string folder)
    {
        using TarReader reader = new(stream, leaveOpen: true);
        while (reader.GetNextEntry() is { } entry)
        {
            if (entry.EntryType is not (TarEntryType.RegularFile or TarEntryType.V7RegularFile or TarEntryType.ContiguousFile)) continue;
            long offset = start + Math.Max(0, entry.DataOffset);
            if (entry.Length > length - offset) throw new EndOfStreamException($"it ends within '{entry.Name}'");
            if (entry.Name.EndsWith(Ending, StringComparison.OrdinalIgnoreCase) && folder.Length == 0 && entry.DataStream is { } inner)
                Index(inner, offset, entry.Name[..^Ending.Length]);
            else
                Add(Join(folder, entry.Name), new TarSpan(offset, entry.Length));
        }
    }

    private static FileStream Unpack(string path, FileStream stream)
    {
        using GZipStream packed = new(stream, CompressionMode.Decompress);
        string temporary = Path.GetTempFileName();
        FileStream unpacked = new(
            temporary, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete, BufferBytes, FileOptions.DeleteOnClose);
        // Where a file may lose its name while it is open, nothing is left behind even if the process is killed.
        if (!OperatingSystem.IsWindows()) File.Delete(temporary);
        byte[] buffer = new byte[BufferBytes];
        int read;
        while ((read = packed.Read(buffer)) > 0)
        {
            if (unpacked.Length + read > LongestUnpacked)
                throw new InputException(
                    $"{path}: unpacks to more than {LongestUnpacked >> 30} GiB; unpack it once instead: tar xzf {Path.GetFileName(path)}");
            unpacked.Write(buffer, 0, read);
        }
        unpacked.Position = 0;
        return unpacked;
    }
}
