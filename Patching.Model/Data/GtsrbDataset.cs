using System.Globalization;

namespace Patching.Model.Data;

/// <summary>
/// German traffic signs in the original's layout: training images in <c>gtsrb/GTSRB/Training/00000 .. 00042</c>, test images in
/// <c>gtsrb/GTSRB/Final_Test/Images</c> with their labels in <c>gtsrb/GT-final_test.csv</c> (columns Filename and ClassId, separated by
/// semicolons).
/// </summary>
internal static class GtsrbDataset
{
    private const string Name = "GTSRB";

    /// <summary>Opens one split.</summary>
    /// <exception cref="InputException">Folders or labels are missing or damaged.</exception>
    public static ImageDataset Open(DatasetSplit split, string dataLocation)
    {
        string root = Path.Combine(dataLocation, "gtsrb");
        IReadOnlyList<string> classNames = ZeroShotPrompts.For(Name).ClassNames;
        string training = Path.Combine(root, "GTSRB", "Training");
        string images = Path.Combine(root, "GTSRB", "Final_Test", "Images");
        string folder = split == DatasetSplit.Train ? training : images;
        if (!Directory.Exists(folder))
            throw new InputException(
                $"{Name}: {folder} does not exist; unpack the data set so that DATA/gtsrb/GTSRB exists and give DATA as --data-location");
        return split == DatasetSplit.Train
            ? ImageFolderDataset.OpenClassFolders(Name, training, ImageFolderDataset.ClassFolders(Name, [training]), classNames, split)
            : OpenTest(Path.Combine(root, "GT-final_test.csv"), images, classNames);
    }

    private static ImageFolderDataset OpenTest(string table, string folder, IReadOnlyList<string> classNames)
    {
        string[] lines;
        try
        {
            lines = File.ReadAllLines(table);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InputException($"{Name}: the labels {table} cannot be read ({OneLine.Of(e)})", e);
        }

        string[] header = lines.Length > 0 ? lines[0].Split(';', StringSplitOptions.TrimEntries) : [];
        (int file, int label) = (Array.IndexOf(header, "Filename"), Array.IndexOf(header, "ClassId"));
        if (file < 0 || label < 0)
            throw new InputException($"{table}: line 1 does not name the columns Filename and ClassId, separated by ';'");
        List<string> files = [];
        List<int> labels = [];
        for (int i = 1; i < lines.Length; i++)
        {
            if (lines[i].Length == 0) continue;
            string[] cells = lines[i].Split(';', StringSplitOptions.TrimEntries);
            if (cells.Length != header.Length)
                throw new InputException($"{table}: line {i + 1} has {cells.Length} cells, line 1 names {header.Length}");
            if (!int.TryParse(cells[label], NumberStyles.None, CultureInfo.InvariantCulture, out int value) || value >= classNames.Count)
                throw new InputException(
                    $"{table}: line {i + 1} has ClassId '{cells[label]}', {Name} has the classes 0 to {classNames.Count - 1}");
            if (cells[file] != Path.GetFileName(cells[file]) || cells[file].Length == 0)
                throw new InputException($"{table}: line {i + 1} has Filename '{cells[file]}', a file name without folders is needed");
            files.Add(Path.Combine(folder, cells[file]));
            labels.Add(value);
        }
        if (files.Count == 0) throw new InputException($"{table}: names no images");
        return new ImageFolderDataset(Name, classNames, [.. files], [.. labels], []);
    }
}
