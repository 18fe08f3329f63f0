using System.Text;

namespace Patching.Model.Data.Files;

/// <summary>
/// Files below one root, in a folder or in an archive, by their paths from there with forward slashes (<c>dtd/images/lined/1.jpg</c>; the
/// root itself is the empty path). Listings are in ordinal order and leave out what is hidden (names that begin with a full stop, and
/// <c>__MACOSX</c>). Safe for use by several threads.
/// </summary>
internal abstract class FileTree
{
    // Far deeper than any data set; stops at folders that link to one of their parents.
    private const int DeepestFolder = 16;

    /// <summary>Whether there is such a file.</summary>
    public abstract bool HasFile(string path);

    /// <summary>Whether there is such a folder.</summary>
    public abstract bool HasFolder(string path);

    /// <summary>Names of the folders in a folder; none if it does not exist.</summary>
    public abstract IReadOnlyList<string> Folders(string path);

    /// <summary>Names of the files in a folder; none if it does not exist.</summary>
    public abstract IReadOnlyList<string> Files(string path);

    /// <summary>The bytes of a file.</summary>
    /// <exception cref="InputException">It does not exist, cannot be read or is damaged; the message names it.</exception>
    public abstract ReadOnlyMemory<byte> Read(string path);

    /// <summary>What messages call a file or folder: where to look for it.</summary>
    public abstract string Describe(string path);

    /// <summary>The file on the disk that holds the bytes of a file: itself, or its archive.</summary>
    public abstract string Container(string path);

    /// <summary>Paths of all files in a folder and the folders in it, in ordinal order.</summary>
    public List<string> FilesBelow(string folder)
    {
        List<string> found = [];
        AddBelow(folder, 0, found);
        found.Sort(StringComparer.Ordinal);
        return found;
    }

    /// <summary>The text of a file, as UTF-8.</summary>
    /// <exception cref="InputException">As for <see cref="Read"/>.</exception>
    public string ReadText(string path) => Encoding.UTF8.GetString(Read(path).Span).TrimStart('\uFEFF');

    /// <summary>The lines of a text file with their numbers from 1, without surrounding blanks; empty lines are left out.</summary>
    /// <exception cref="InputException">As for <see cref="Read"/>.</exception>
    public IEnumerable<(int Number, string Text)> ReadLines(string path) =>
        ReadText(path).Split('\n').Select((line, i) => (i + 1, line.Trim())).Where(line => line.Item2.Length > 0);

    /// <summary>A path and a name in it.</summary>
    public static string Join(string path, string name) => path.Length == 0 ? name : name.Length == 0 ? path : $"{path}/{name}";

    /// <summary>The last part of a path.</summary>
    public static string NameOf(string path) => path[(path.LastIndexOf('/') + 1)..];

    /// <summary>
    /// A path as it is written in a list of some data set: either kind of slash, with or without <c>./</c> before it. Null if it leads
    /// out of its folder.
    /// </summary>
    public static string? Clean(string written)
    {
        string[] parts = written.Replace('\\', '/').Split('/').Where(part => part.Length > 0 && part != ".").ToArray();
        return parts.Length == 0 || parts.Contains("..") ? null : string.Join('/', parts);
    }

    /// <summary>Whether listings leave this name out.</summary>
    protected static bool IsHidden(string name) => name.StartsWith('.') || name == "__MACOSX";

    private void AddBelow(string folder, int depth, List<string> found)
    {
        if (depth > DeepestFolder) return;
        foreach (string name in Files(folder)) found.Add(Join(folder, name));
        foreach (string name in Folders(folder)) AddBelow(Join(folder, name), depth + 1, found);
    }
}
