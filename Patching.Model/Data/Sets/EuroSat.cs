using Patching.Model.Data.Files;

namespace Patching.Model.Data.Sets;

/// <summary>
/// EuroSAT (RGB): satellite pictures of land. The publisher has class folders without splits; the original's split has been published as
/// folders only, Kaggle's as tables. Without either, four fifths of a fixed permutation train, a tenth validates and a tenth evaluates,
/// which a note says.
/// </summary>
internal static class EuroSat
{
    private const long SplitSeed = 0;
    private const string EuroSatArchive =
        "https://huggingface.co/datasets/torchgeo/eurosat/resolve/c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip";

    // In the order of the prompts' class names.
    private static readonly string[] ClassFolders =
    [
        "AnnualCrop", "Forest", "HerbaceousVegetation", "Highway", "Industrial", "Pasture", "PermanentCrop", "Residential", "River",
            "SeaLake",
    ];

    public static NamedDataset Definition { get; } = new()
    {
        Name = "EuroSAT",
        Subject = "land seen by satellites",
        Classes = 10,
        Counts = new DatasetCounts(21600, 2700, 2700),
        Source = "https://github.com/phelber/EuroSAT",
        Folders = ["EuroSAT_splits", "eurosat", "2750"],
        Archives = ["eurosat"],
        Layouts =
        [
            new("original", "EuroSAT_splits/train/CLASS/*.jpg, val/CLASS/*.jpg, test/CLASS/*.jpg"),
            new("publisher, torchvision", "EuroSAT.zip or eurosat/2750/CLASS/*.jpg (without splits)"),
            new("Kaggle", "eurosat/EuroSAT/CLASS/*.jpg with train.csv, validation.csv, test.csv beside the class folders"),
        ],
        Downloads =
        [
            new(EuroSatArchive, "eurosat/EuroSAT.zip") { Md5 = "c8fa014336c82ac7804f0398fcb19387" },
        ],
        Open = Open,
    };

    private static ImageFileDataset Open(DataPlace place, DatasetSplit split)
    {
        IReadOnlyList<string> classNames = ZeroShotPrompts.For(place.Set.Name).ClassNames;
        ClassIndex index = new(ClassFolders);
        ImageList list = new();
        string part = split switch { DatasetSplit.Train => "train", DatasetSplit.Validation => "val", _ => "test" };
        if (place.Folder(part) is { } folder)
        {
            list.AddClassFolders(place, folder, index.Find);
            return list.Complete(place, split, classNames, folder);
        }
        string table = split == DatasetSplit.Validation ? "validation.csv" : part + ".csv";
        if (place.File(table) is { } file)
        {
            string root = file[..^table.Length].TrimEnd('/');
            foreach (CsvRow row in CsvTable.Read(place, file, ',', "Filename", "ClassName"))
            {
                string path = place.Listed(file, row.Line, root, row.Cells[0]!);
                int label = index.Find(row.Cells[1]!)
                    ?? throw new InputException(
                        $"{place.Describe(file)}: line {row.Line} has the class '{row.Cells[1]}', which EuroSAT does not have");
                list.Add(path, label);
            }
            return list.Complete(place, split, classNames, file);
        }
        // A missing split is no data set without splits.
        if (place.Folder("train", "val", "test") is not null) throw place.Missing($"folder {part}");
        if (ClassFolders.Select(name => place.Folder(name))
            .FirstOrDefault(found => found is not null) is not { } first) throw place.Missing($"folder {part}");
        return OpenWithoutSplits(place, split, first[..Math.Max(0, first.LastIndexOf('/'))], index, classNames);
    }

    private static ImageFileDataset OpenWithoutSplits(DataPlace place, DatasetSplit split, string folder, ClassIndex index,
        IReadOnlyList<string> classNames)
    {
        ImageList all = new(), list = new();
        all.AddClassFolders(place, folder, index.Find);
        int count = all.Images.Count, tenth = count / 10;
        int[] order = TorchPermutation.Create(count, SplitSeed);
        Range range = split switch
        {
            DatasetSplit.Train => ..(count - (2 * tenth)),
            DatasetSplit.Validation => (count - (2 * tenth))..(count - tenth),
            _ => (count - tenth)..,
        };
        foreach (int i in order[range].Order()) list.Add(all.Images[i].File, all.Images[i].Label);
        return list.Complete(place, split, classNames, folder,
            $"{place.Set.Name}: {place.Describe(folder)} has no splits; a fixed permutation gives them, which are not those of the paper");
    }
}
