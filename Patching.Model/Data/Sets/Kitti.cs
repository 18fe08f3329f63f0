using System.Globalization;
using Patching.Model.Data.Files;

namespace Patching.Model.Data.Sets;

/// <summary>
/// KITTI distance: how far away the nearest vehicle of a street photo is, from the label files of the object-detection task. The devkit
/// says which photo is from which drive; a tenth of the drives evaluates and a tenth validates, drawn as the original does.
/// </summary>
internal static class Kitti
{
    private const uint SplitSeed = 123;
    private const int PercentOfDrives = 10;
    private const string Address = "https://s3.eu-central-1.amazonaws.com/avg-kitti/";

    // A photo's class is the number of the last bound that its nearest vehicle, in metres, is beyond; without a vehicle it is the last
    // class.
    private static readonly double[] Bounds = [-100, 8, 20, 999];
    private const double NoVehicle = 10000;

    private static readonly string[] Vehicles = ["Car", "Van", "Truck"];

    public static NamedDataset Definition { get; } = new()
    {
        Name = "KITTI",
        Subject = "distance of the nearest vehicle in street photos",
        Classes = 4,
        Counts = new DatasetCounts(6347, 711, 423),
        Source = "https://www.cvlibs.net/datasets/kitti/eval_object.php",
        Folders = ["kitti", "kitti-dataset"],
        Archives = ["data_object_", "devkit_object", "kitti"],
        Layouts =
        [
            new("original, torchvision", "kitti/raw/training/image_2/*.png, kitti/raw/training/label_2/*.txt, kitti/raw/devkit_object.zip"),
            new("publisher",
                "kitti/data_object_image_2.zip, data_object_label_2.zip, devkit_object.zip (or unpacked: mapping/train_rand.txt, "
                + "train_mapping.txt)"),
            new("Kaggle",
                "kitti/data_object_image_2/training/image_2/*.png, kitti/data_object_label_2/training/label_2/*.txt, "
                + "kitti/devkit_object.zip"),
        ],
        Downloads =
        [
            new(Address + "data_object_image_2.zip", "kitti/raw/data_object_image_2.zip"),
            new(Address + "data_object_label_2.zip", "kitti/raw/data_object_label_2.zip"),
            new(Address + "devkit_object.zip", "kitti/raw/devkit_object.zip"),
        ],
        Open = Open,
    };

    private static ImageFileDataset Open(DataPlace place, DatasetSplit split)
    {
        string images = place.Folder("training/image_2") ?? throw place.Missing("training/image_2");
        string labels = place.Folder("training/label_2") ?? throw place.Missing("training/label_2");
        ImageList list = new();
        int absent = 0;
        foreach (int image in Photos(place, split))
        {
            string number = image.ToString("000000", CultureInfo.InvariantCulture), file = FileTree.Join(images, number + ".png");
            if (place.HasFile(file)) list.Add(file, Label(place, FileTree.Join(labels, number + ".txt")));
            else absent++;
        }
        string? note = absent > 0 ? $"{place.Set.Name}: {absent} photos of the {split.Word()} split are not in {place.Describe(images)}"
            : null;
        return list.Complete(place, split, ZeroShotPrompts.For(place.Set.Name).ClassNames, images, note);
    }

    // Photos of a split: drives in the order of their first photo, each with its photos in order.
    private static List<int> Photos(DataPlace place, DatasetSplit split)
    {
        string random = place.File("mapping/train_rand.txt") ?? throw place.Missing("mapping/train_rand.txt of the devkit");
        string mapping = place.File("mapping/train_mapping.txt") ?? throw place.Missing("mapping/train_mapping.txt of the devkit");
        // Only what stands at the end of a line is blank: a line's number counts.
        string[] lines = place.ReadText(mapping).Split('\n');
        Dictionary<string, List<int>> drives = [];
        List<string> order = [];
        int image = 0;
        foreach (string written in place.ReadText(random).Split(','))
        {
            // Lines are counted from 1.
            bool known = int.TryParse(written.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out int line) && line >= 1
                && line <= lines.Length;
            string[] cells = known ? lines[line - 1].Trim().Split(' ') : [];
            if (cells.Length < 2)
                throw new InputException(
                    $"{place.Describe(random)}: number {image + 1} is '{Weights.HostileText.Show(written.Trim())}', which is no line "
                    + $"of {place.Describe(mapping)} that names a drive");
            if (drives.TryAdd(cells[1], [])) order.Add(cells[1]);
            drives[cells[1]].Add(image++);
        }
        HashSet<string> wanted = [.. Drives(order, split)];
        return [.. order.Where(wanted.Contains).SelectMany(drive => drives[drive])];
    }

    private static IEnumerable<string> Drives(List<string> all, DatasetSplit split)
    {
        NumpyPermutation random = new(SplitSeed);
        int size = Math.Max(1, PercentOfDrives * all.Count / 100);
        string[] test = random.Choice([.. all.Order(StringComparer.Ordinal)], size);
        string[] validation = random.Choice([.. all.Except(test).Order(StringComparer.Ordinal)], size);
        return split switch
        {
            DatasetSplit.Test => test,
            DatasetSplit.Validation => validation,
            _ => all.Except(test).Except(validation),
        };
    }

    private static int Label(DataPlace place, string file)
    {
        double nearest = NoVehicle;
        foreach ((int number, string line) in place.ReadLines(file))
        {
            // Type, truncation, occlusion, angle, four numbers of the box, three of the size, x y z of the place, rotation.
            string[] cells = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (cells.Length < 15 || !double.TryParse(cells[13], NumberStyles.Float, CultureInfo.InvariantCulture, out double distance))
                throw new InputException($"{place.Describe(file)}: line {number} is no object of a KITTI label file (15 values)");
            if (Vehicles.Contains(cells[0])) nearest = Math.Min(nearest, distance);
        }
        int label = Array.FindLastIndex(Bounds, bound => bound < nearest);
        return label >= 0 ? label
            : throw new InputException($"{place.Describe(file)}: a vehicle is {nearest} m away; the label file is damaged");
    }
}
