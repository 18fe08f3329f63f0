using System.Collections.Concurrent;
using Patching.Model.Weights;

namespace Patching.Model.Data.Files;

/// <summary>
/// The files in an archive, read where they lie: nothing is unpacked to the disk but archives that are compressed as a whole
/// (<see cref="TarTree"/>). An archive is opened once per process and stays open.
/// </summary>
/// <typeparam name="TEntry">What an archive of this kind knows about a file in it.</typeparam>
internal abstract class ArchiveTree<TEntry> : FileTree
{
    private readonly Dictionary<string, TEntry> entries = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Folder> folders = new(StringComparer.Ordinal) { [""] = new Folder() };

    /// <summary>Begins an empty archive.</summary>
    /// <param name="archive">The archive's file.</param>
    protected ArchiveTree(string archive) => Archive = archive;

    /// <summary>The archive's file.</summary>
    protected string Archive { get; }

    /// <inheritdoc/>
    public override bool HasFile(string path) => entries.ContainsKey(path);

    /// <inheritdoc/>
    public override bool HasFolder(string path) => folders.ContainsKey(path);

    /// <inheritdoc/>
    public override IReadOnlyList<string> Folders(string path) => folders.TryGetValue(path, out Folder? folder) ? [.. folder.Folders] : [];

    /// <inheritdoc/>
    public override IReadOnlyList<string> Files(string path) => folders.TryGetValue(path, out Folder? folder) ? [.. folder.Files] : [];

    /// <inheritdoc/>
    public override ReadOnlyMemory<byte> Read(string path) => entries.TryGetValue(path, out TEntry? entry)
        ? Read(path, entry)
        : throw new InputException($"{Describe(path)}: the archive holds no such file");

    /// <inheritdoc/>
    public override string Describe(string path) => path.Length == 0 ? Archive : $"{Archive}:{HostileText.Show(path)}";

    /// <inheritdoc/>
    public override string Container(string path) => Archive;

    /// <summary>The bytes of an entry.</summary>
    protected abstract ReadOnlyMemory<byte> Read(string path, TEntry entry);

    /// <summary>Adds a file; of two with the same name the later one counts, as for those who unpack the archive.</summary>
    /// <exception cref="InputException">Its name leads out of the archive.</exception>
    protected void Add(string name, TEntry entry)
    {
        if (name.StartsWith('/') || Clean(name) is not { } path)
            throw new InputException($"{Archive}: its entry '{HostileText.Show(name)}' has a name that leads out of the archive");
        string[] parts = path.Split('/');
        if (parts.Any(IsHidden)) return;
        entries[path] = entry;
        string parent = "";
        for (int i = 0; i < parts.Length - 1; i++)
        {
            folders[parent].Folders.Add(parts[i]);
            parent = Join(parent, parts[i]);
            folders.TryAdd(parent, new Folder());
        }
        folders[parent].Files.Add(parts[^1]);
    }

    private sealed class Folder
    {
        public SortedSet<string> Folders { get; } = new(StringComparer.Ordinal);

        public SortedSet<string> Files { get; } = new(StringComparer.Ordinal);
    }
}

/// <summary>Opens archives by the ending of their names.</summary>
internal static class ArchiveFile
{
    private static readonly string[] Compressed = [".tar.gz", ".tgz"];

    private static readonly ConcurrentDictionary<(string Path, long Length, DateTime Written), Lazy<FileTree>> Open = new();

    /// <summary>Whether a file's name is that of an archive that can be read.</summary>
    public static bool IsArchive(string path) => HasEnding(path, ".zip") || HasEnding(path, ".tar")
        || Compressed.Any(end => HasEnding(path, end));

    /// <summary>The files in an archive.</summary>
    /// <exception cref="InputException">It cannot be read, is damaged or lies about itself.</exception>
    public static FileTree Read(string path)
    {
        FileInfo file = new(Path.GetFullPath(path));
        if (!file.Exists) throw new InputException($"{path}: no such file");
        return Open.GetOrAdd((file.FullName, file.Length, file.LastWriteTimeUtc), key => new Lazy<FileTree>(() => Create(path))).Value;
    }

    private static FileTree Create(string path) =>
        HasEnding(path, ".zip") ? new ZipTree(path) : TarTree.Open(path, Compressed.Any(end => HasEnding(path, end)));

    private static bool HasEnding(string path, string ending) => path.EndsWith(ending, StringComparison.OrdinalIgnoreCase);
}
