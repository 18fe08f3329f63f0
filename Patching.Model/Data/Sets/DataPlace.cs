using Patching.Model.Data.Files;

namespace Patching.Model.Data.Sets;

/// <summary>
/// The files of one data set below the data location, wherever they are: in a folder of the data set's name, in archives there or beside
/// it. All are one tree, in which an archive's files lie where unpacking it in place would put them. The parts of a data set are found by
/// the end of their path (<see cref="Folder"/>, <see cref="File"/>), so that the wrapping folders that archives and download sites add do
/// not matter. Archives often stay beside what was unpacked from them, so they are opened only where the folders do not suffice.
/// </summary>
internal sealed class DataPlace : FileTree
{
    // Wrapping folders that are looked through, and how many sub-folders one of them may have: class folders are not searched.
    private const int DeepestWrapping = 3;
    private const int MostWrappings = 24;

    private readonly FolderTree folders;
    private readonly List<(string Mount, FileTree Tree)> archives = [];
    private readonly List<string> starts = [];
    private readonly Dictionary<string, string?> found = [];
    private readonly bool hasArchives;

    private bool missed;

    private DataPlace(NamedDataset set, string dataLocation, bool openArchives)
    {
        Set = set;
        DataLocation = dataLocation;
        folders = new FolderTree(dataLocation);
        string[] present = [.. folders.Folders("")];
        starts.AddRange(set.Folders
            .SelectMany(name => present.Where(folder => folder.Equals(name, StringComparison.OrdinalIgnoreCase))).Distinct());
        foreach (string place in starts.SelectMany(start => Wrappings(folders, start, DeepestWrapping - 1)).Append("").ToList())
        {
            foreach (string file in folders.Files(place).Where(set.IsArchive))
            {
                hasArchives = true;
                if (openArchives) archives.Add((place, ArchiveFile.Read(folders.Describe(Join(place, file)))));
            }
        }
        starts.AddRange(archives.Select(archive => archive.Mount).Where(mount => !starts.Contains(mount)).Distinct());
    }

    /// <summary>Opens a split of a data set.</summary>
    /// <param name="set">The data set.</param>
    /// <param name="split">Part to open.</param>
    /// <param name="dataLocation">The folder that holds the data sets.</param>
    /// <exception cref="InputException">Something is missing or damaged.</exception>
    public static ImageDataset Open(NamedDataset set, DatasetSplit split, string dataLocation)
    {
        DataPlace unpacked = new(set, dataLocation, openArchives: false);
        try
        {
            return set.Open(unpacked, split);
        }
        catch (InputException) when (unpacked.missed && unpacked.hasArchives)
        {
            return set.Open(new DataPlace(set, dataLocation, openArchives: true), split);
        }
    }

    /// <summary>Whether there is a folder or an archive of a data set; neither is opened.</summary>
    public static bool Exists(NamedDataset set, string dataLocation)
    {
        DataPlace place = new(set, dataLocation, openArchives: false);
        return place.starts.Count > 0 || place.hasArchives;
    }

    /// <summary>The data set.</summary>
    public NamedDataset Set { get; }

    /// <summary>The folder that holds the data sets.</summary>
    public string DataLocation { get; }

    /// <summary>The folders in which the data set is looked for, for messages.</summary>
    public IEnumerable<string> Starts => starts.Select(Describe);

    /// <summary>The first folder whose path ends so; null if there is none. Of several ends the first that is found counts.</summary>
    public string? Folder(params ReadOnlySpan<string> ends) => Find(ends, folder: true);

    /// <summary>The first file whose path ends so; null if there is none.</summary>
    public string? File(params ReadOnlySpan<string> ends) => Find(ends, folder: false);

    /// <summary>An error that says what is missing and how the data set should lie.</summary>
    /// <param name="what">What was looked for, for example "training images".</param>
    public InputException Missing(string what)
    {
        missed = true;
        string where = starts.Count == 0 ? $"nothing of it is in {DataLocation}" : $"no {what} in {string.Join(", ", Starts)}";
        return new InputException(
            $"{Set.Name}: {where}; it should look like {Set.Layouts[0].Shape} below {DataLocation}; "
            + $"patching data check {Set.Name} shows all layouts and where to get it");
    }

    /// <summary>The path of an image that a list names; the list is at fault if that leads out of the folder.</summary>
    /// <param name="list">The list.</param>
    /// <param name="line">Where in the list.</param>
    /// <param name="folder">What the list's paths start from.</param>
    /// <param name="written">The path as written.</param>
    /// <exception cref="InputException">It is empty or leads out of the folder.</exception>
    public string Listed(string list, int line, string folder, string written) => Clean(written) is { } path
        ? Join(folder, path)
        : throw new InputException(
            $"{Describe(list)}: line {line} names '{Weights.HostileText.Show(written)}', which is no path in its folder");

    /// <inheritdoc/>
    public override bool HasFile(string path) => folders.HasFile(path) || Archive(path, (tree, inner) => tree.HasFile(inner)) is not null;

    /// <inheritdoc/>
    public override bool HasFolder(string path) => folders.HasFolder(path)
        || Archive(path, (tree, inner) => tree.HasFolder(inner)) is not null;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Folders(string path) => Together(path, tree => tree.Folders);

    /// <inheritdoc/>
    public override IReadOnlyList<string> Files(string path) => Together(path, tree => tree.Files);

    /// <inheritdoc/>
    public override ReadOnlyMemory<byte> Read(string path) => Owner(path, out string inner).Read(inner);

    /// <inheritdoc/>
    public override string Describe(string path) => Owner(path, out string inner).Describe(inner);

    /// <inheritdoc/>
    public override string Container(string path) => Owner(path, out string inner).Container(inner);

    private FileTree Owner(string path, out string inner)
    {
        inner = path;
        if (folders.HasFile(path) || archives.Count == 0) return folders;
        if (Archive(path, (tree, name) => tree.HasFile(name)
            || (name.Length > 0 && tree.HasFolder(name))) is not { } archive) return folders;
        inner = Inner(path, archive.Mount)!;
        return archive.Tree;
    }

    private (string Mount, FileTree Tree)? Archive(string path, Func<FileTree, string, bool> has)
    {
        foreach ((string Mount, FileTree Tree) archive in archives)
        {
            if (Inner(path, archive.Mount) is { } inner && has(archive.Tree, inner)) return archive;
        }
        return null;
    }

    private static string? Inner(string path, string mount) =>
        mount.Length == 0 || path == mount ? path[mount.Length..]
        : path.StartsWith(mount, StringComparison.Ordinal) && path[mount.Length] == '/' ? path[(mount.Length + 1)..]
        : null;

    private IReadOnlyList<string> Together(string path, Func<FileTree, Func<string, IReadOnlyList<string>>> list)
    {
        IReadOnlyList<string> names = list(folders)(path);
        if (archives.Count == 0) return names;
        SortedSet<string> all = new(names, StringComparer.Ordinal);
        foreach ((string mount, FileTree tree) in archives)
        {
            if (Inner(path, mount) is { } inner) all.UnionWith(list(tree)(inner));
        }
        return [.. all];
    }

    private string? Find(ReadOnlySpan<string> ends, bool folder)
    {
        foreach (string end in ends)
        {
            string key = (folder ? "d:" : "f:") + end;
            lock (found)
            {
                if (!found.TryGetValue(key, out string? path))
                    found[key] = path = Search(end, (tree, at) => folder ? tree.HasFolder(at) : tree.HasFile(at));
                if (path is not null) return path;
            }
        }
        return null;
    }

    private string? Search(string end, Func<FileTree, string, bool> has)
    {
        foreach (string start in starts)
        {
            // The data location itself holds other data sets, so only what archives in it add is looked at there.
            IEnumerable<FileTree> trees = start.Length > 0
                ? [this]
                : archives.Where(archive => archive.Mount.Length == 0).Select(archive => archive.Tree);
            foreach (FileTree tree in trees)
            {
                foreach (string place in Wrappings(tree, start, DeepestWrapping))
                {
                    if (has(tree, Join(place, end))) return Join(place, end);
                }
            }
        }
        return null;
    }

    // A folder and those in it, the shallow ones first.
    private static IEnumerable<string> Wrappings(FileTree tree, string start, int depth)
    {
        List<string> level = [start];
        for (; depth >= 0; depth--)
        {
            List<string> next = [];
            foreach (string place in level)
            {
                yield return place;
                if (depth == 0) continue;
                IReadOnlyList<string> children = tree.Folders(place);
                if (children.Count <= MostWrappings) next.AddRange(children.Select(name => Join(place, name)));
            }
            level = next;
        }
    }
}
