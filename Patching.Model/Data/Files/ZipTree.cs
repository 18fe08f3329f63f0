using System.IO.Hashing;
using Patching.Model.Weights;

namespace Patching.Model.Data.Files;

/// <summary>The files in a zip archive. Stored files are used in place, deflated ones unpacked when they are read; both are
/// checked.</summary>
internal sealed class ZipTree : ArchiveTree<ZipEntry>
{
    // A file of a data set that is read as a whole has to fit into an array.
    private static readonly int LongestFile = Array.MaxLength;

    private readonly ZipDirectory directory;

    /// <summary>Reads the table of contents.</summary>
    /// <exception cref="InputException">The archive cannot be read, is damaged or lies about itself.</exception>
    public ZipTree(string path)
        : base(path)
    {
        directory = ZipDirectory.Read(MappedFile.Open(path));
        foreach (ZipEntry entry in directory.Entries.Values)
        {
            if (!entry.Name.EndsWith('/')) Add(entry.Name, entry);
        }
    }

    /// <inheritdoc/>
    protected override ReadOnlyMemory<byte> Read(string path, ZipEntry entry)
    {
        ReadOnlyMemory<byte> bytes = directory.Unpack(entry, LongestFile);
        if (Crc32.HashToUInt32(bytes.Span) != entry.Crc)
            throw new InputException($"{Describe(path)}: the archive is damaged here (wrong check sum); download it again");
        return bytes;
    }
}
