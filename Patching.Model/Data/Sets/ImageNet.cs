using System.Globalization;
using Patching.Model.Data.Files;
using Patching.Model.Data.Matlab;

namespace Patching.Model.Data.Sets;

/// <summary>
/// ImageNet (ILSVRC 2012): class folders named by WordNet number, whose ordinal order is that of the labels. The validation images, which
/// evaluate, come without folders from the publisher and from Kaggle; their labels then come from the devkit or from Kaggle's table.
/// </summary>
internal static class ImageNet
{
    private const string DevkitTruth = "data/ILSVRC2012_validation_ground_truth.txt";

    private static readonly string[] Synsets = ReadSynsets();

    private static readonly ClassIndex SynsetIndex = new(Synsets);

    public static NamedDataset Definition { get; } = new()
    {
        Name = "ImageNet",
        Subject = "photos of a thousand kinds of things (ILSVRC 2012)",
        Classes = 1000,
        Counts = new DatasetCounts(1281167, 50000),
        Source = "https://www.image-net.org/download.php (with an account) or "
        + "https://www.kaggle.com/c/imagenet-object-localization-challenge",
        Folders = ["imagenet", "ILSVRC2012", "ILSVRC", "imagenet-object-localization-challenge"],
        Archives = ["ilsvrc2012_", "imagenet-object-localization"],
        Layouts =
        [
            new("original, torchvision", "imagenet/train/nXXXXXXXX/*.JPEG, imagenet/val_in_folder/nXXXXXXXX/*.JPEG (or val)"),
            new("publisher", "imagenet/ILSVRC2012_img_train.tar, ILSVRC2012_img_val.tar (or val/*.JPEG), ILSVRC2012_devkit_t12.tar.gz"),
            new("Kaggle",
                "imagenet/ILSVRC/Data/CLS-LOC/train/nXXXXXXXX/*.JPEG, imagenet/ILSVRC/Data/CLS-LOC/val/*.JPEG, "
                + "imagenet/LOC_val_solution.csv"),
        ],
        Open = Open,
    };

    /// <summary>Natural photos that test ImageNet's classifiers anew, ten per class.</summary>
    public static NamedDataset Version2 { get; } = new()
    {
        Name = "ImageNetV2",
        Subject = "ten new photos of every class of ImageNet, matched frequency",
        Classes = 1000,
        Counts = new DatasetCounts(0, 10000),
        Source = "https://huggingface.co/datasets/vaishaal/ImageNetV2",
        Folders = ["imagenetv2-matched-frequency-format-val", "imagenetv2-matched-frequency", "imagenetv2"],
        Archives = ["imagenetv2-matched-frequency"],
        Layouts =
        [
            new("publisher", "imagenetv2-matched-frequency-format-val/0 .. 999/*.jpeg; imagenetv2-matched-frequency.tar.gz"),
            new("folders like ImageNet's", "imagenetv2/nXXXXXXXX/*.jpeg"),
        ],
        Downloads =
        [
            new("https://huggingface.co/datasets/vaishaal/ImageNetV2/resolve/main/imagenetv2-matched-frequency.tar.gz",
                "imagenetv2-matched-frequency.tar.gz"),
        ],
        Open = OpenVersion2,
    };

    private static IReadOnlyList<string> ClassNames => ZeroShotPrompts.For("ImageNet").ClassNames;

    private static ImageFileDataset Open(DataPlace place, DatasetSplit split)
    {
        ImageList list = new();
        if (split == DatasetSplit.Train)
        {
            // What the publisher's archive holds has no folder around its classes; neither is it where the validation images are.
            string? loose = Parent(place.Folder(Synsets[0]));
            if (loose is not null && FileTree.NameOf(loose).StartsWith("val", StringComparison.Ordinal)) loose = null;
            string train = place.Folder("Data/CLS-LOC/train", "train") ?? loose ?? throw place.Missing("folder train");
            list.AddClassFolders(place, train, SynsetIndex.Find);
            return list.Complete(place, split, ClassNames, train);
        }
        string? folder = place.Folder("val_in_folder", "Data/CLS-LOC/val", "val");
        if (folder is not null && place.Folders(folder).Count > 0)
        {
            list.AddClassFolders(place, folder, SynsetIndex.Find);
            return list.Complete(place, split, ClassNames, folder);
        }
        // The archive of the validation images has no folder.
        folder ??= Parent(place.File("ILSVRC2012_val_00000001.JPEG")) ?? throw place.Missing("folder val");
        if (place.File("LOC_val_solution.csv") is { } table) AddKaggle(place, list, table, folder);
        else AddPublished(place, list, folder);
        return list.Complete(place, split, ClassNames, folder);
    }

    private static ImageFileDataset OpenVersion2(DataPlace place, DatasetSplit split)
    {
        if (split != DatasetSplit.Test) throw new InputException($"{place.Set.Name}: has no training images; it can only be evaluated");
        string[] marks = ["0", "1", "999", Synsets[0]];
        string folder = Parent(marks.Select(mark => place.Folder(mark)).FirstOrDefault(found => found is not null))
            ?? throw place.Missing("folder 0");
        ImageList list = new();
        list.AddClassFolders(place, folder, name =>
            int.TryParse(name, NumberStyles.None, CultureInfo.InvariantCulture, out int number) && number < Synsets.Length ? number
                : SynsetIndex.Find(name));
        return list.Complete(place, split, ClassNames, folder);
    }

    // ImageId, PredictionString: WordNet number and box of every object, all of the same class.
    private static void AddKaggle(DataPlace place, ImageList list, string table, string folder)
    {
        foreach (CsvRow row in CsvTable.Read(place, table, ',', "ImageId", "PredictionString")
            .OrderBy(row => row.Cells[0], StringComparer.Ordinal))
        {
            string synset = row.Cells[1]!.Split(' ')[0];
            int label = SynsetIndex.Find(synset)
                ?? throw new InputException(
                    $"{place.Describe(table)}: line {row.Line} has the class '{Weights.HostileText.Show(synset)}', which ImageNet does "
                    + "not have");
            list.Add(place.Listed(table, row.Line, folder, row.Cells[0]! + ".JPEG"), label);
        }
    }

    // One number per line, in the order of the images' names; meta.mat says which class has which number.
    private static void AddPublished(DataPlace place, ImageList list, string folder)
    {
        string truth = place.File(DevkitTruth)
            ?? throw place.Missing($"{DevkitTruth} of the devkit, which labels the images of {place.Describe(folder)},");
        string meta = place.File("data/meta.mat") ?? throw place.Missing("data/meta.mat of the devkit");
        MatFile mat = MatFile.Read(place.Read(meta), place.Describe(meta));
        MatStructs synsets = mat.Structs("synsets");
        int[] numbers = mat.Integers(synsets, "ILSVRC2012_ID");
        string[] names = mat.Texts(mat.Field(synsets, "WNID"), "WNID");
        Dictionary<string, int> labels = [];
        for (int i = 0; i < numbers.Length; i++)
        {
            if (SynsetIndex.Find(names[i]) is { } label) labels[numbers[i].ToString(CultureInfo.InvariantCulture)] = label;
        }
        foreach ((int line, string number) in place.ReadLines(truth))
        {
            if (!labels.TryGetValue(number, out int label))
                throw new InputException(
                    $"{place.Describe(truth)}: line {line} is '{Weights.HostileText.Show(number)}', which meta.mat gives to no class");
            string image = FileTree.Join(folder, string.Create(CultureInfo.InvariantCulture, $"ILSVRC2012_val_{line:00000000}.JPEG"));
            // Line i is image i whether or not all images are there.
            if (place.HasFile(image)) list.Add(image, label);
        }
    }

    private static string? Parent(string? path) => path?[..Math.Max(0, path.LastIndexOf('/'))];

    private static string[] ReadSynsets()
    {
        using StreamReader reader = new(typeof(ImageNet).Assembly.GetManifestResourceStream("ImageNetSynsets.txt")!);
        return reader.ReadToEnd().Split((char[])[' ', '\n'], StringSplitOptions.RemoveEmptyEntries);
    }
}
