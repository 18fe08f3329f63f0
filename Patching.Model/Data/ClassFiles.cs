using Patching.Model.Data.Files;

namespace Patching.Model.Data;

/// <summary>
/// Files that a user can put beside images of his own: <c>classes.txt</c> with a class name per line, <c>templates.txt</c> with a prompt
/// template per line.
/// </summary>
internal static class ClassFiles
{
    /// <summary>Name of the file of class names.</summary>
    public const string Classes = "classes.txt";

    /// <summary>Name of the file of templates.</summary>
    public const string Templates = "templates.txt";

    /// <summary>The class names of a file; null if there is no such file.</summary>
    /// <exception cref="InputException">It is empty, or names a class twice.</exception>
    public static IReadOnlyList<string>? ReadClasses(FileTree tree, string path)
    {
        if (!tree.HasFile(path)) return null;
        List<string> names = [];
        foreach ((int number, string line) in tree.ReadLines(path))
        {
            if (names.IndexOf(line) is >= 0 and var before)
                throw new InputException(
                    $"{tree.Describe(path)}: line {number} names the class '{line}' again, it is class {before} already");
            names.Add(line);
        }
        return names.Count > 0 ? names
            : throw new InputException($"{tree.Describe(path)}: names no class; write one name per line, or remove it");
    }

    /// <summary>The templates of a file, with <c>{}</c> read as <c>{CLASS}</c>; null if there is no such file.</summary>
    /// <exception cref="InputException">It is empty, or a template has no place for the class name.</exception>
    public static IReadOnlyList<string>? ReadTemplates(FileTree tree, string path)
    {
        if (!tree.HasFile(path)) return null;
        string[] templates = [
            .. tree.ReadLines(path)
            .Select(line => line.Text.Replace("{}", ZeroShotPrompts.Placeholder, StringComparison.Ordinal) is var template
            && template.Contains(ZeroShotPrompts.Placeholder, StringComparison.Ordinal)
                ? template
                : throw new InputException(
                    $"{tree.Describe(path)}: line {line.Number} has no place for the class name; write {{}} where it goes"))];
        return templates.Length > 0
            ? templates
            : throw new InputException($"{tree.Describe(path)}: holds no template; write one per line, or remove it");
    }
}
