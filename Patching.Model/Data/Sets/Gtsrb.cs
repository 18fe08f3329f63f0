using System.Globalization;
using Patching.Model.Data.Files;

namespace Patching.Model.Data.Sets;

/// <summary>
/// German traffic signs: training images in folders named by class number, test images in one folder with their labels in a table
/// (<c>GT-final_test.csv</c>: Filename, ClassId; Kaggle's <c>Test.csv</c>: Path, ClassId).
/// </summary>
internal static class Gtsrb
{
    private const string Address = "https://sid.erda.dk/public/archives/daaeac0d7ce1152aea9b61d9f1e19370/";

    public static NamedDataset Definition { get; } = new()
    {
        Name = "GTSRB",
        Subject = "German traffic signs",
        Classes = 43,
        Counts = new DatasetCounts(26640, 12630),
        Source = "https://benchmark.ini.rub.de/gtsrb_dataset.html",
        Folders = ["gtsrb", "gtsrb-german-traffic-sign"],
        Archives = ["gtsrb"],
        Layouts =
        [
            new("original, torchvision",
                "gtsrb/GTSRB/Training/00000 .. 00042/*.ppm, gtsrb/GTSRB/Final_Test/Images/*.ppm, gtsrb/GT-final_test.csv"),
            new("publisher",
                "gtsrb/GTSRB-Training_fixed.zip (or GTSRB_Final_Training_Images.zip, 39209 images), GTSRB_Final_Test_Images.zip, "
                + "GTSRB_Final_Test_GT.zip"),
            new("Kaggle", "gtsrb/Train/0 .. 42/*.png, gtsrb/Test/*.png, gtsrb/Test.csv"),
        ],
        Downloads =
        [
            new(Address + "GTSRB-Training_fixed.zip", "gtsrb/GTSRB-Training_fixed.zip") { Md5 = "513f3c79a4c5141765e10e952eaa2478" },
            new(Address + "GTSRB_Final_Test_Images.zip", "gtsrb/GTSRB_Final_Test_Images.zip") { Md5 = "c7e4e6327067d32654124b0fe9e82185" },
            new(Address + "GTSRB_Final_Test_GT.zip", "gtsrb/GTSRB_Final_Test_GT.zip") { Md5 = "fe31e9c9270bbcd7b84b7f21a9d9d9e5" },
        ],
        Open = Open,
    };

    private static ImageFileDataset Open(DataPlace place, DatasetSplit split)
    {
        IReadOnlyList<string> classNames = ZeroShotPrompts.For(place.Set.Name).ClassNames;
        ImageList list = new();
        if (split == DatasetSplit.Train)
        {
            string folder = place.Folder("GTSRB/Training", "GTSRB/Final_Training/Images", "Training", "Train", "train")
                ?? throw place.Missing("Training");
            list.AddClassFolders(place, folder, name => Number(name, classNames.Count));
            return list.Complete(place, split, classNames, folder);
        }
        if (place.File("Test.csv", "test.csv") is { } kaggle && place.Folder("GTSRB/Final_Test/Images") is null)
        {
            // Its paths start from where the table is.
            AddTable(place, list, kaggle, ',', "Path", kaggle[..^"Test.csv".Length].TrimEnd('/'), classNames.Count);
            return list.Complete(place, split, classNames, kaggle);
        }
        string images = place.Folder("GTSRB/Final_Test/Images", "Final_Test/Images") ?? throw place.Missing("Final_Test/Images");
        string table = place.File("GT-final_test.csv") ?? throw place.Missing("GT-final_test.csv (the labels)");
        AddTable(place, list, table, ';', "Filename", images, classNames.Count);
        return list.Complete(place, split, classNames, images);
    }

    private static void AddTable(DataPlace place, ImageList list, string table, char separator, string column, string folder, int classes)
    {
        List<CsvRow> rows = CsvTable.Read(place, table, separator, column, "ClassId");
        if (rows.Count == 0) throw new InputException($"{place.Describe(table)}: names no images");
        foreach (CsvRow row in rows)
        {
            int label = Number(row.Cells[1]!, classes)
                ?? throw new InputException(
                    $"{place.Describe(table)}: line {row.Line} has ClassId '{row.Cells[1]}', GTSRB has the classes 0 to {classes - 1}");
            list.Add(place.Listed(table, row.Line, folder, row.Cells[0]!), label);
        }
    }

    private static int? Number(string text, int classes) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number < classes ? number : null;
}
