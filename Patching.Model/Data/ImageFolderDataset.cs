using Patching.Model.Images;

namespace Patching.Model.Data;

/// <summary>
/// Image files in one sub-folder per class. Labels follow the ordinal order of the sub-folder names, images the ordinal order of their
/// paths; a class is called like its folder, with underscores read as spaces. Images may lie in deeper folders of their class. Hidden files
/// and folders are ignored, other files that are not images are counted in <see cref="Notes"/>.
/// </summary>
internal sealed class ImageFolderDataset : ImageDataset
{
    private const string TrainFolder = "train";

    // Far deeper than any data set; stops at folders that link to one of their parents.
    private const int DeepestFolder = 16;

    private static readonly string[] EvaluationFolders = ["test", "val"];

    // TIFF is listed although no decoder here reads it: such an image must be an error that names it, not silently missing from an
    // accuracy.
    private static readonly HashSet<string> ImageExtensions = new(StringComparer.OrdinalIgnoreCase)
    {
        ".jpg", ".jpeg", ".png", ".ppm", ".pgm", ".pbm", ".pnm", ".bmp", ".gif", ".webp", ".tif", ".tiff",
    };

    private readonly string[] files;
    private readonly int[] labels;

    /// <summary>Creates the data set from its finished list of files.</summary>
    public ImageFolderDataset(string name, IReadOnlyList<string> classNames, string[] files, int[] labels, IReadOnlyList<string> notes)
        : base(name, classNames)
    {
        this.files = files;
        this.labels = labels;
        Notes = notes;
    }

    /// <inheritdoc/>
    public override int Count => files.Length;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Notes { get; }

    /// <inheritdoc/>
    public override int Label(int index) => labels[index];

    /// <inheritdoc/>
    public override RgbImage Load(int index) => ImageDecoder.DecodeFile(files[index]);

    /// <inheritdoc/>
    public override RgbImage LoadReduced(int index, int enough) => ImageDecoder.DecodeReduced(files[index], enough);

    /// <inheritdoc/>
    public override string SourceFile(int index) => files[index];

    /// <inheritdoc/>
    public override string Describe(int index) => files[index];

    /// <summary>
    /// Opens any folder of the user (<c>folder:PATH</c>). With a sub-folder <c>train</c>, <c>val</c> or <c>test</c> these are the splits:
    /// training uses <c>train</c>, evaluation <c>test</c>, else <c>val</c>, and the classes are those of all splits together so that labels
    /// mean the same in each. Without them the sub-folders are the classes, and the folder can be evaluated; it can be trained on only if
    /// it is itself called <c>train</c>.
    /// </summary>
    /// <exception cref="InputException">The layout does not offer that split, or a class has no images to train on.</exception>
    public static ImageFolderDataset OpenAny(string name, string path, DatasetSplit split)
    {
        if (!Directory.Exists(path)) throw new InputException($"{name}: folder {path} does not exist");
        if (EvaluationFolders.Append(TrainFolder).Any(folder => Directory.Exists(Path.Combine(path, folder))))
            return OpenSplit(name, path, split, EvaluationFolders, null);

        string ownName = Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)));
        bool isTrain = ownName.Equals(TrainFolder, StringComparison.OrdinalIgnoreCase);
        if (split == DatasetSplit.Train && !isTrain)
            throw new InputException(
                $"{name}: training needs class folders in {Path.Combine(path, TrainFolder)}; without it the folder can only be evaluated");
        return OpenClassFolders(name, path, ClassFolders(name, [path]), null, split);
    }

    /// <summary>Opens <c>root/train</c> or the first existing one of several evaluation folders.</summary>
    /// <param name="name">Name of the data set.</param>
    /// <param name="root">Folder of the splits.</param>
    /// <param name="split">Part to open.</param>
    /// <param name="evaluationFolders">Names of the folders that may hold the evaluation images, best first.</param>
    /// <param name="classNames">Class names in the order of the folders; null to take the folders' names.</param>
    /// <exception cref="InputException">The folder is missing, or its classes are not the expected ones.</exception>
    public static ImageFolderDataset OpenSplit(
        string name, string root, DatasetSplit split, string[] evaluationFolders, IReadOnlyList<string>? classNames)
    {
        string[] wanted = split == DatasetSplit.Train ? [TrainFolder] : evaluationFolders;
        string? folder = wanted.Select(part => Path.Combine(root, part)).FirstOrDefault(Directory.Exists);
        if (folder is null)
        {
            string purpose = split == DatasetSplit.Train ? "training" : "evaluation";
            string places = string.Join(" or ", wanted.Select(part => Path.Combine(root, part)));
            throw new InputException($"{name}: {purpose} needs {places} with one folder of images per class");
        }
        string[] present = [.. evaluationFolders.Append(TrainFolder).Select(part => Path.Combine(root, part)).Where(Directory.Exists)];
        return OpenClassFolders(name, folder, ClassFolders(name, present), classNames, split);
    }

    /// <summary>Opens one folder whose class sub-folders are known; those that are missing there count as empty.</summary>
    /// <param name="name">Name of the data set.</param>
    /// <param name="folder">Folder that holds the class folders.</param>
    /// <param name="classFolders">Names of the class folders, in label order.</param>
    /// <param name="classNames">Class names in the same order; null to take the folders' names.</param>
    /// <param name="split">Training demands images of every class, evaluation notes what is missing.</param>
    /// <exception cref="InputException">There are no images, a class has none to train on, or the number of classes is wrong.</exception>
    public static ImageFolderDataset OpenClassFolders(
        string name, string folder, string[] classFolders, IReadOnlyList<string>? classNames, DatasetSplit split)
    {
        if (classNames is not null && classNames.Count != classFolders.Length)
            throw new InputException(
                $"{name}: {folder} has {classFolders.Length} class folders, {name} has {classNames.Count} classes; "
                + "complete or remove folders");

        List<string> files = [], empty = [], strangers = [];
        List<int> labels = [];
        for (int label = 0; label < classFolders.Length; label++)
        {
            int before = files.Count;
            AddImages(Path.Combine(folder, classFolders[label]), files, strangers);
            labels.AddRange(Enumerable.Repeat(label, files.Count - before));
            if (files.Count == before) empty.Add(classFolders[label]);
        }

        if (files.Count == 0)
            throw new InputException($"{name}: {folder} holds no images (known endings: {string.Join(" ", ImageExtensions)})");
        if (empty.Count > 0 && split == DatasetSplit.Train)
            throw new InputException(
                $"{name}: no images to train on in {folder} for {Few(empty, "class folder")}; add images or remove the folders everywhere");
        List<string> notes = [];
        if (empty.Count > 0)
            notes.Add($"{name}: no images in {folder} for {Few(empty, "class folder")}; the classes stay possible answers");
        if (strangers.Count > 0) notes.Add($"{name}: ignored {Few(strangers, "file")} without an image's ending");
        classNames ??= [.. classFolders.Select(part => part.Replace('_', ' '))];
        return new ImageFolderDataset(name, classNames, [.. files], [.. labels], notes);
    }

    /// <summary>Names of the class folders found in any of the folders, in ordinal order.</summary>
    /// <exception cref="InputException">There are none.</exception>
    public static string[] ClassFolders(string name, string[] folders)
    {
        var classes = new SortedSet<string>(StringComparer.Ordinal);
        foreach (string folder in folders)
        {
            foreach (string path in List(folder, files: false, recurse: false)) classes.Add(Path.GetFileName(path));
        }
        if (classes.Count == 0)
            throw new InputException(
                $"{name}: {string.Join(", ", folders)} has no class folders; put the images of each class into a folder of its own");
        return [.. classes];
    }

    private static void AddImages(string folder, List<string> files, List<string> strangers)
    {
        if (!Directory.Exists(folder)) return;
        foreach (string file in List(folder, files: true, recurse: true))
            (ImageExtensions.Contains(Path.GetExtension(file)) ? files : strangers).Add(file);
    }

    private static string[] List(string folder, bool files, bool recurse)
    {
        var options = new EnumerationOptions
        {
            RecurseSubdirectories = recurse,
            MaxRecursionDepth = DeepestFolder,
            IgnoreInaccessible = false,
            AttributesToSkip = FileAttributes.Hidden | FileAttributes.System,
        };
        try
        {
            string[] found = files ? Directory.GetFiles(folder, "*", options) : Directory.GetDirectories(folder, "*", options);
            Array.Sort(found, StringComparer.Ordinal);
            return found;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{folder}: cannot be listed ({OneLine.Of(e)})", e);
        }
    }

    private static string Few(List<string> names, string what)
    {
        const int shown = 5;
        string list = string.Join(", ", names.Take(shown).Select(name => $"'{name}'"));
        return $"{names.Count} {what}{(names.Count == 1 ? "" : "s")} ({list}{(names.Count > shown ? ", ..." : "")})";
    }
}
