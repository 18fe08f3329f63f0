using Patching.Model.Data.Files;
using Patching.Model.Data.Sets;
using Patching.Model.Images;

namespace Patching.Model.Data;

/// <summary>
/// Typographic attacks (<c>typographic:PATH</c>): images with a word written on them, called <c>label=dog_text=cat.png</c>. The classes are
/// all labels and words together, in ordinal order, or those of <c>classes.txt</c>; the accuracy is that of the true label, and how often
/// the written word wins is counted beside it.
/// </summary>
internal sealed class TypographicDataset : ImageDataset
{
    private const string LabelMark = "label=";
    private const string TextMark = "_text=";

    private readonly FileTree tree;
    private readonly List<Attack> attacks;
    private readonly int[] labels;
    private readonly int[] words;
    private readonly IReadOnlyList<string>? templates;

    private TypographicDataset(
        string name, IReadOnlyList<string> classNames, FileTree tree, List<Attack> attacks, IReadOnlyList<string>? templates,
            IReadOnlyList<string> notes)
        : base(name, classNames)
    {
        (this.tree, this.attacks, this.templates, Notes) = (tree, attacks, templates, notes);
        Dictionary<string, int> numbers = classNames.Select((one, label) => (one, label))
            .ToDictionary(pair => pair.one, pair => pair.label);
        ClassIndex alike = new(classNames);
        labels = [.. attacks.Select(attack => Number(numbers, alike, attack, attack.Label))];
        words = [.. attacks.Select(attack => Number(numbers, alike, attack, attack.Text))];
    }

    /// <inheritdoc/>
    public override int Count => attacks.Count;

    /// <inheritdoc/>
    public override IReadOnlyList<string> Notes { get; }

    /// <inheritdoc/>
    public override IReadOnlyList<string> Templates => templates ?? base.Templates;

    /// <summary>
    /// Opens a folder or archive. With a sub-folder <c>train</c>, <c>val</c> or <c>test</c> these are the splits, as in
    /// <see cref="FolderDataset"/>; without them all images are evaluated, and trained on only in a folder called <c>train</c>.
    /// </summary>
    /// <exception cref="InputException">There are no images, or one is not named as it should be.</exception>
    public static TypographicDataset Open(string name, string path, DatasetSplit split)
    {
        FileTree tree = FolderDataset.OpenTree(name, path, out string root);
        string[] wanted = [.. (split == DatasetSplit.Train ? ["train"] : (string[])["test", "val"])
            .Select(part => FileTree.Join(root, part))];
        bool hasSplits = ((string[])["train", "test", "val"]).Any(part => tree.HasFolder(FileTree.Join(root, part)));
        string ownName = Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(path)));
        if (!hasSplits && split == DatasetSplit.Train && ownName != "train")
            throw new InputException(
                $"{name}: training needs images in {tree.Describe(wanted[0])}; without it the folder can only be evaluated");
        string folder = hasSplits ? wanted.FirstOrDefault(tree.HasFolder)
            ?? throw new InputException($"{name}: has no folder {tree.Describe(wanted[0])}") : root;

        // Classes come from all splits, so that labels mean the same in each.
        ImageList list = new();
        list.AddFolder(tree, root, 0);
        List<Attack> all = [.. list.Images.Select(image => Parse(tree, image.File))];
        List<Attack> attacks = [
            .. all.Where(attack => folder.Length == 0 || attack.File.StartsWith(folder + "/", StringComparison.Ordinal))];
        if (attacks.Count == 0)
            throw new InputException(
                $"{name}: {tree.Describe(folder)} holds no images called {LabelMark}X{TextMark}Y.png (known endings: {ImageList.Endings})");
        IReadOnlyList<string> classes = ClassFiles.ReadClasses(tree, FileTree.Join(root, ClassFiles.Classes))
            ?? [.. all.SelectMany(attack => (string[])[attack.Label, attack.Text]).Distinct().Order(StringComparer.Ordinal)];
        return new TypographicDataset(name, classes, tree, attacks,
            ClassFiles.ReadTemplates(tree, FileTree.Join(root, ClassFiles.Templates)), []);
    }

    /// <inheritdoc/>
    public override int Label(int index) => labels[index];

    /// <inheritdoc/>
    public override int? WrittenLabel(int index) => words[index] == labels[index] ? null : words[index];

    /// <inheritdoc/>
    public override RgbImage Load(int index) => ImageDecoder.Decode(tree.Read(attacks[index].File).Span, Describe(index));

    /// <inheritdoc/>
    public override RgbImage LoadReduced(int index, int enough) =>
        ImageDecoder.DecodeReduced(tree.Read(attacks[index].File).Span, Describe(index), enough);

    /// <inheritdoc/>
    public override string SourceFile(int index) => tree.Container(attacks[index].File);

    /// <inheritdoc/>
    public override StoredImage Stored(int index) => new(attacks[index].File, tree.Read(attacks[index].File));

    /// <inheritdoc/>
    public override string StoredPath(int index) => attacks[index].File;

    /// <inheritdoc/>
    public override string Describe(int index) => tree.Describe(attacks[index].File);

    private static Attack Parse(FileTree tree, string file)
    {
        string stem = Path.GetFileNameWithoutExtension(FileTree.NameOf(file));
        int text = stem.IndexOf(TextMark, StringComparison.Ordinal);
        if (!stem.StartsWith(LabelMark, StringComparison.Ordinal) || text <= LabelMark.Length || text + TextMark.Length == stem.Length)
            throw new InputException($"{tree.Describe(file)}: is not called {LabelMark}X{TextMark}Y; rename or remove it");
        // Several images of the same pair are told apart by what follows a hash sign.
        string word = stem[(text + TextMark.Length)..].Split('#')[0];
        return new Attack(file, stem[LabelMark.Length..text].Replace('_', ' '), word.Replace('_', ' '));
    }

    // Names of files lack what names of classes may have, such as slashes.
    private int Number(Dictionary<string, int> numbers, ClassIndex alike, Attack attack, string name) =>
        numbers.TryGetValue(name, out int label) ? label
        : alike.Find(name) ?? throw new InputException(
            $"{tree.Describe(attack.File)}: '{name}' is none of the {numbers.Count} classes of {ClassFiles.Classes}; add it there");

    private sealed record Attack(string File, string Label, string Text);
}
