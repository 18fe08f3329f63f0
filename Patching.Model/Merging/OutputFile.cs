using Patching.Model.Pipeline;

namespace Patching.Model.Merging;

/// <summary>A single file that a command will write at the end of long work.</summary>
public static class OutputFile
{
    /// <summary>Refuses now what writing would refuse later.</summary>
    /// <param name="flag">The flag that names the file.</param>
    /// <param name="path">The file.</param>
    /// <param name="overwrite">Whether it may exist.</param>
    /// <exception cref="InputException">The file exists, is a folder, or its folder cannot be written.</exception>
    public static void Check(string flag, string path, bool overwrite)
    {
        if (path.Length == 0) throw new InputException($"{flag}: the name is empty");
        if (Directory.Exists(path)) throw new InputException($"{flag} {path}: is a folder; name a file to be created");
        if (File.Exists(path) && !overwrite) throw new InputException($"{flag} {path}: exists already; name another file or give --overwrite");
        PatchSettings.CheckFolder(flag, Path.GetDirectoryName(Path.GetFullPath(path))!);
    }

    /// <summary>Writes a small text, complete or not at all; a file that exists is replaced.</summary>
    public static void WriteText(string path, string text)
    {
        string temporary = $"{path}.{Guid.NewGuid():N}.tmp";
        File.WriteAllText(temporary, text);
        File.Move(temporary, path, overwrite: true);
    }
}
