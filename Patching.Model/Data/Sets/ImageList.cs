using Patching.Model.Data.Files;

namespace Patching.Model.Data.Sets;

/// <summary>Collects the images of one split and what has to be said about them.</summary>
internal sealed class ImageList
{
    // TIFF is listed although no decoder here reads it: such an image must be an error that names it, not silently missing from an
    // accuracy.
    private static readonly HashSet<string> ImageEndings = new(StringComparer.OrdinalIgnoreCase)
    {
        ".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".pbm", ".pnm", ".bmp", ".gif", ".webp", ".tif", ".tiff",
    };

    private readonly List<(string File, int Label)> images = [];
    private readonly List<string> strangers = [];
    private readonly List<string> unknown = [];

    /// <summary>The known endings, for messages.</summary>
    public static string Endings => string.Join(" ", ImageEndings);

    /// <summary>The images so far.</summary>
    public IReadOnlyList<(string File, int Label)> Images => images;

    /// <summary>Whether a file's name is that of an image.</summary>
    public static bool IsImage(string path) => ImageEndings.Contains(Path.GetExtension(path));

    /// <summary>Adds an image.</summary>
    public void Add(string file, int label) => images.Add((file, label));

    /// <summary>Adds the images below a folder, in ordinal order.</summary>
    /// <returns>How many there are.</returns>
    public int AddFolder(FileTree tree, string folder, int label)
    {
        int before = images.Count;
        foreach (string file in tree.FilesBelow(folder))
        {
            if (IsImage(file)) images.Add((file, label));
            else strangers.Add(file);
        }
        return images.Count - before;
    }

    /// <summary>Adds the images in the class folders of a folder, in the order of the labels.</summary>
    /// <param name="tree">Where the folder is.</param>
    /// <param name="folder">The folder; null adds nothing.</param>
    /// <param name="labelOf">Label of a class folder's name; null for folders that are no class.</param>
    public void AddClassFolders(FileTree tree, string? folder, Func<string, int?> labelOf)
    {
        if (folder is null) return;
        List<(string Name, int Label)> classes = [];
        foreach (string name in tree.Folders(folder))
        {
            if (labelOf(name) is { } label) classes.Add((name, label));
            else unknown.Add(name);
        }
        foreach ((string name, int label) in classes.OrderBy(one => one.Label)) AddFolder(tree, FileTree.Join(folder, name), label);
    }

    /// <summary>The finished data set. Classes without images are noted: they stay possible answers.</summary>
    /// <param name="place">Where the files are.</param>
    /// <param name="split">The part that was collected.</param>
    /// <param name="classNames">Class names, indexed by label.</param>
    /// <param name="where">Where images were looked for, below the data location; for messages.</param>
    /// <param name="note">Something else to say.</param>
    /// <exception cref="InputException">There are no images.</exception>
    public ImageFileDataset Complete(
        DataPlace place, DatasetSplit split, IReadOnlyList<string> classNames, string where, string? note = null)
    {
        string name = place.Set.Name;
        if (images.Count == 0)
            throw new InputException(
                $"{name}: {place.Describe(where)} holds no {split.Word()} images in folders of its classes (known endings: {Endings}); "
                + $"patching data check {name} shows its layouts");
        List<string> notes = note is null ? [] : [note];
        bool[] present = new bool[classNames.Count];
        foreach ((_, int label) in images) present[label] = true;
        List<string> empty = [.. classNames.Where((_, label) => !present[label])];
        if (empty.Count > 0)
            notes.Add(
                $"{name}: no {split.Word()} images of {Few(empty, "class", "classes")} in {place.Describe(where)}; "
                + "they stay possible answers");
        if (unknown.Count > 0) notes.Add($"{name}: ignored {Few(unknown, "folder", "folders")} that are none of its classes");
        AddStrangers(name, notes);
        return new ImageFileDataset(name, classNames, place, images, notes, ZeroShotPrompts.For(name).Templates);
    }

    /// <summary>Notes the files that were left out.</summary>
    public void AddStrangers(string name, List<string> notes)
    {
        if (strangers.Count > 0) notes.Add($"{name}: ignored {Few(strangers, "file", "files")} without an image's ending");
    }

    /// <summary>A number of things and the first of them by name.</summary>
    public static string Few(IReadOnlyCollection<string> names, string one, string several)
    {
        const int shown = 5;
        string list = string.Join(", ", names.Take(shown).Select(name => $"'{Weights.HostileText.Show(name)}'"));
        return $"{names.Count} {(names.Count == 1 ? one : several)} ({list}{(names.Count > shown ? ", ..." : "")})";
    }
}
