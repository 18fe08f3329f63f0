namespace Patching.Model.Data.Files;

/// <summary>The files below a folder of the file system.</summary>
/// <param name="root">The folder.</param>
internal sealed class FolderTree(string root) : FileTree
{
    private static readonly EnumerationOptions Listing = new()
    {
        IgnoreInaccessible = false,
        AttributesToSkip = FileAttributes.Hidden | FileAttributes.System,
    };

    /// <inheritdoc/>
    public override bool HasFile(string path) => File.Exists(FullPath(path));

    /// <inheritdoc/>
    public override bool HasFolder(string path) => Directory.Exists(FullPath(path));

    /// <inheritdoc/>
    public override IReadOnlyList<string> Folders(string path) => List(path, Directory.GetDirectories);

    /// <inheritdoc/>
    public override IReadOnlyList<string> Files(string path) => List(path, Directory.GetFiles);

    /// <inheritdoc/>
    public override ReadOnlyMemory<byte> Read(string path) => ReadFile(FullPath(path));

    /// <inheritdoc/>
    public override string Describe(string path) => FullPath(path);

    /// <inheritdoc/>
    public override string Container(string path) => FullPath(path);

    /// <summary>The bytes of a file of the file system.</summary>
    /// <exception cref="InputException">It does not exist or cannot be read.</exception>
    public static byte[] ReadFile(string path)
    {
        try
        {
            return File.ReadAllBytes(path);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new InputException($"{path}: no such file", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or ArgumentException or NotSupportedException)
        {
            throw new InputException($"{path}: cannot be read ({OneLine.Of(e)})", e);
        }
    }

    private string FullPath(string path) => path.Length == 0 ? root : Path.Combine(root, path.Replace('/', Path.DirectorySeparatorChar));

    private string[] List(string path, Func<string, string, EnumerationOptions, string[]> list)
    {
        string folder = FullPath(path);
        if (!Directory.Exists(folder)) return [];
        try
        {
            string[] names = [.. list(folder, "*", Listing).Select(found => Path.GetFileName(found)!).Where(name => !IsHidden(name))];
            Array.Sort(names, StringComparer.Ordinal);
            return names;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{folder}: cannot be listed ({OneLine.Of(e)})", e);
        }
    }
}
