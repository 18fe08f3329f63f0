using Patching.Model.Data.Files;

namespace Patching.Model.Data.Sets;

/// <summary>
/// NWPU-RESISC45: aerial scenes in class folders, with lists of file names per split (Neumann et al. 2019). An image is in a split if its
/// name is in the list, as in the original.
/// </summary>
internal static class Resisc45
{
    private const string Lists = "https://storage.googleapis.com/remote_sensing_representations/";

    public static NamedDataset Definition { get; } = new()
    {
        Name = "RESISC45",
        Subject = "scenes seen from the air",
        Classes = 45,
        Counts = new DatasetCounts(18900, 6300),
        Source = "https://gcheng-nwpu.github.io/ (NWPU-RESISC45.rar, to be unpacked)",
        Folders = ["resisc45", "NWPU-RESISC45"],
        Archives = ["nwpu-resisc45", "resisc45"],
        Layouts =
        [
            new("original", "resisc45/NWPU-RESISC45/CLASS/*.jpg, resisc45/resisc45-train.txt, resisc45-test.txt"),
            new("publisher", "the folder of NWPU-RESISC45.rar in resisc45, with the lists that patching data download fetches"),
            new("Kaggle", "resisc45/Dataset/train/train/CLASS/*.jpg, resisc45/Dataset/test/test/CLASS/*.jpg"),
        ],
        Downloads =
        [
            new(Lists + "resisc45-train.txt", "resisc45/resisc45-train.txt") { Md5 = "b5a4c05a37de15e4ca886696a85c403e" },
            new(Lists + "resisc45-val.txt", "resisc45/resisc45-val.txt") { Md5 = "a0770cee4c5ca20b8c32bbd61e114805" },
            new(Lists + "resisc45-test.txt", "resisc45/resisc45-test.txt") { Md5 = "3dda9e4988b47eb1de9f07993653eb08" },
        ],
        Open = Open,
    };

    private static ImageFileDataset Open(DataPlace place, DatasetSplit split)
    {
        IReadOnlyList<string> classNames = ZeroShotPrompts.For(place.Set.Name).ClassNames;
        ClassIndex index = new(classNames);
        ImageList list = new();
        string part = split == DatasetSplit.Train ? "train" : "test";
        if (place.File($"resisc45-{part}.txt") is { } file)
        {
            string images = place.Folder("NWPU-RESISC45", "NWPU-RESISC45/NWPU-RESISC45") ?? Parent(place.Folder("airplane"))
                ?? throw place.Missing("folder NWPU-RESISC45");
            HashSet<string> names = [.. place.ReadLines(file).Select(line => FileTree.NameOf(FileTree.Clean(line.Text) ?? ""))];
            ImageList all = new();
            all.AddClassFolders(place, images, index.Find);
            foreach ((string path, int label) in all.Images)
            {
                if (names.Contains(FileTree.NameOf(path))) list.Add(path, label);
            }
            return list.Complete(place, split, classNames, images);
        }
        string folder = place.Folder($"{part}/{part}", part) ?? throw place.Missing($"resisc45-{part}.txt");
        list.AddClassFolders(place, folder, index.Find);
        return list.Complete(place, split, classNames, folder);
    }

    private static string? Parent(string? folder) => folder?[..Math.Max(0, folder.LastIndexOf('/'))];
}
