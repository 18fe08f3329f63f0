using Patching.Model.Data.Files;
using Patching.Model.Data.Sets;

namespace Patching.Model.Data;

/// <summary>
/// Any folder or archive of the user with a folder of images per class (<c>folder:PATH</c>). Labels follow the ordinal order of the class
/// folders' names, images the ordinal order of their paths; a class is called like its folder, with underscores read as spaces, unless
/// <c>classes.txt</c> names the classes in that order. Images may lie in deeper folders of their class.
/// </summary>
internal static class FolderDataset
{
    private const string TrainFolder = "train";

    private static readonly string[] EvaluationFolders = ["test", "val"];

    /// <summary>
    /// Opens one split. With a sub-folder <c>train</c>, <c>val</c> or <c>test</c> these are the splits: training uses <c>train</c>,
    /// evaluation <c>test</c>, else <c>val</c>, and the classes are those of all splits together so that labels mean the same in each.
    /// Without them the sub-folders are the classes, and the folder can be evaluated; it can be trained on only if it is itself called
    /// <c>train</c>.
    /// </summary>
    /// <param name="name">Name of the data set.</param>
    /// <param name="path">Folder or archive.</param>
    /// <param name="split">Part to open.</param>
    /// <exception cref="InputException">The layout does not offer that split, or a class has no images to train on.</exception>
    public static ImageDataset Open(string name, string path, DatasetSplit split)
    {
        FileTree tree = OpenTree(name, path, out string root);
        string[] present = [.. EvaluationFolders.Append(TrainFolder).Select(part => FileTree.Join(root, part)).Where(tree.HasFolder)];
        string folder = root;
        if (present.Length > 0)
        {
            string[] wanted = [.. (split == DatasetSplit.Train ? [TrainFolder] : EvaluationFolders)
                .Select(part => FileTree.Join(root, part))];
            string places = string.Join(" or ", wanted.Select(tree.Describe));
            folder = wanted.FirstOrDefault(tree.HasFolder)
                ?? throw new InputException($"{name}: {split.Word()} needs {places} with one folder of images per class");
        }
        else
        {
            present = [root];
            string ownName = Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)));
            if (split == DatasetSplit.Train && !ownName.Equals(TrainFolder, StringComparison.OrdinalIgnoreCase))
                throw new InputException(
                    $"{name}: training needs class folders in {tree.Describe(FileTree.Join(root, TrainFolder))}; without it the folder "
                    + "can only be evaluated");
        }
        string[] classes = [.. present.SelectMany(tree.Folders).Distinct().Order(StringComparer.Ordinal)];
        if (classes.Length == 0)
            throw new InputException(
                $"{name}: {string.Join(", ", present.Select(tree.Describe))} has no class folders; put the images of each class into a "
                + "folder of its own");
        return Collect(name, tree, folder, classes, split, root);
    }

    /// <summary>A folder as a tree, or an archive, whose one wrapping folder is looked through.</summary>
    /// <exception cref="InputException">There is no such folder or archive.</exception>
    public static FileTree OpenTree(string name, string path, out string root)
    {
        root = "";
        if (Directory.Exists(path)) return new FolderTree(path);
        if (!File.Exists(path)) throw new InputException($"{name}: folder {path} does not exist");
        if (!ArchiveFile.IsArchive(path)) throw new InputException(
            $"{name}: {path} is neither a folder nor an archive (.zip, .tar, .tar.gz)");
        FileTree archive = ArchiveFile.Read(path);
        // What holds splits or images is no wrapping.
        while (archive.Folders(root) is [var only] && archive.Files(root).Count == 0 && only != TrainFolder
            && !EvaluationFolders.Contains(only)
            && archive.Folders(FileTree.Join(root, only)).Count > 0)
            root = FileTree.Join(root, only);
        return archive;
    }

    private static ImageFileDataset Collect(string name, FileTree tree, string folder, string[] classes, DatasetSplit split, string root)
    {
        ImageList list = new();
        List<string> empty = [];
        for (int label = 0; label < classes.Length; label++)
        {
            if (list.AddFolder(tree, FileTree.Join(folder, classes[label]), label) == 0) empty.Add(classes[label]);
        }
        string where = tree.Describe(folder);
        if (list.Images.Count == 0) throw new InputException($"{name}: {where} holds no images (known endings: {ImageList.Endings})");
        if (empty.Count > 0 && split == DatasetSplit.Train)
            throw new InputException(
                $"{name}: no images to train on in {where} for {ImageList.Few(empty, "class folder", "class folders")}; add images or "
                + "remove the folders everywhere");
        List<string> notes = [];
        if (empty.Count > 0)
            notes.Add(
                $"{name}: no images in {where} for {ImageList.Few(empty, "class folder", "class folders")}; "
                + "the classes stay possible answers");
        list.AddStrangers(name, notes);
        IReadOnlyList<string>? given = ClassFiles.ReadClasses(tree, FileTree.Join(root, ClassFiles.Classes));
        if (given is not null && given.Count != classes.Length)
            throw new InputException(
                $"{tree.Describe(FileTree.Join(root, ClassFiles.Classes))}: names {given.Count} classes, there are {classes.Length} "
                + "class folders; one line per folder, in their order");
        IReadOnlyList<string>? templates = ClassFiles.ReadTemplates(tree, FileTree.Join(root, ClassFiles.Templates));
        return new ImageFileDataset(name, given ?? [.. classes.Select(part => part.Replace('_', ' '))], tree, list.Images, notes,
            templates);
    }
}
