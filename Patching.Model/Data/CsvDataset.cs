using System.Globalization;
using Patching.Model.Data.Files;

namespace Patching.Model.Data;

/// <summary>
/// Images that a table names (<c>csv:FILE</c>): columns <c>path</c>, <c>label</c> and, where one table holds several splits, <c>split</c>.
/// Paths start from the table's folder; labels are class names, or numbers from 0. <c>FILE.classes.txt</c> or <c>classes.txt</c> beside the
/// table gives the classes and their order, else they are those of the table, sorted; <c>templates.txt</c> likewise.
/// </summary>
internal static class CsvDataset
{
    /// <summary>Opens one split; a table without the column <c>split</c> is all of any.</summary>
    /// <exception cref="InputException">The table is missing or damaged; the message names the line.</exception>
    public static ImageDataset Open(string name, string path, DatasetSplit split)
    {
        string full = Path.GetFullPath(path), file = Path.GetFileName(full);
        var tree = new FolderTree(Path.GetDirectoryName(full)!);
        char separator = Path.GetExtension(path).Equals(".tsv", StringComparison.OrdinalIgnoreCase) ? '\t' : ',';
        List<CsvRow> rows = CsvTable.Read(
            tree, file, separator, "path|file|filename|filepath|image", "label|class|classname", "split|set?");
        if (rows.Count == 0) throw new InputException($"{path}: names no images");
        IReadOnlyList<string>? given = ClassFiles.ReadClasses(tree, Beside(tree, file, ClassFiles.Classes));
        string[] written = [.. rows.Select(row => row.Cells[1]!).Distinct()];
        IReadOnlyList<string> names = given ?? Sorted(written);
        Dictionary<string, int> labels = names.Select((one, label) => (one, label)).ToDictionary(pair => pair.one, pair => pair.label);
        List<(string, int)> images = [];
        foreach (CsvRow row in Chosen(path, rows, split)) images.Add((Image(path, row), Label(path, row, labels)));
        if (images.Count == 0) throw new InputException($"{path}: its column 'split' marks no images for {split.Word()}");
        return new ImageFileDataset(name, names, tree, images, [],
            ClassFiles.ReadTemplates(tree, Beside(tree, file, ClassFiles.Templates)));
    }

    private static string Beside(FolderTree tree, string table, string kind)
    {
        string own = $"{Path.GetFileNameWithoutExtension(table)}.{kind}";
        return tree.HasFile(own) ? own : kind;
    }

    // Numbers in the order of numbers, so that class 10 comes after class 9.
    private static string[] Sorted(string[] labels) => labels.All(label => Number(label) is not null)
        ? [.. labels.OrderBy(label => Number(label))]
        : [.. labels.Order(StringComparer.Ordinal)];

    private static int? Number(string text) => int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number)
        ? number : null;

    private static IEnumerable<CsvRow> Chosen(string path, List<CsvRow> rows, DatasetSplit split)
    {
        if (rows[0].Cells[2] is null) return rows;
        ILookup<DatasetSplit, CsvRow> parts = rows.ToLookup(row => row.Cells[2]!.ToLowerInvariant() switch
        {
            "train" or "training" => DatasetSplit.Train,
            "test" or "eval" or "evaluation" => DatasetSplit.Test,
            "val" or "valid" or "validation" => DatasetSplit.Validation,
            _ => throw new InputException(
                $"{path}: line {row.Line} has the split '{Weights.HostileText.Show(row.Cells[2]!)}'; known are train, val and test"),
        });
        return split == DatasetSplit.Test && !parts.Contains(DatasetSplit.Test) ? parts[DatasetSplit.Validation] : parts[split];
    }

    private static string Image(string path, CsvRow row) => row.Cells[0] is { Length: > 0 } image
        ? image.Replace('\\', '/')
        : throw new InputException($"{path}: line {row.Line} names no image");

    private static int Label(string path, CsvRow row, Dictionary<string, int> labels)
    {
        string written = row.Cells[1]!;
        if (written.Length == 0) throw new InputException($"{path}: line {row.Line} has no label");
        if (labels.TryGetValue(written, out int label)) return label;
        return Number(written) is { } number && number < labels.Count
            ? number
            : throw new InputException(
                $"{path}: line {row.Line} has the label '{Weights.HostileText.Show(written)}', which is none of the {labels.Count} "
                + $"classes of {ClassFiles.Classes}");
    }
}
