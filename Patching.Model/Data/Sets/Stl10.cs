namespace Patching.Model.Data.Sets;

/// <summary>
/// STL-10: 96 x 96 colour images, in one file of pixels (plane by plane, columns first) and one of labels (bytes, from 1).
/// </summary>
internal static class Stl10
{
    private const int Side = 96;

    public static NamedDataset Definition { get; } = new()
    {
        Name = "STL10",
        Subject = "photos of animals and vehicles",
        Classes = 10,
        Counts = new DatasetCounts(5000, 8000),
        Source = "https://cs.stanford.edu/~acoates/stl10/",
        Folders = ["stl10", "stl10_binary", "stl-10"],
        Archives = ["stl10_binary"],
        Layouts =
        [
            new("original, torchvision", "stl10/stl10_binary/train_X.bin, train_y.bin, test_X.bin, test_y.bin"),
            new("publisher", "stl10_binary.tar.gz, in stl10 or beside it; stl10_binary/train_X.bin, ..."),
            new("Kaggle", "stl10/train/CLASS/*.png, stl10/test/CLASS/*.png"),
        ],
        Downloads =
        [
            new("http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz",
                "stl10/stl10_binary.tar.gz") { Md5 = "91f7769df0f17e558f3565bffb0c7dfb" },
        ],
        Open = Open,
    };

    private static ImageDataset Open(DataPlace place, DatasetSplit split)
    {
        string part = split == DatasetSplit.Train ? "train" : "test";
        IReadOnlyList<string> classNames = ZeroShotPrompts.For(place.Set.Name).ClassNames;
        if (place.File(part + "_X.bin") is { } pixels)
        {
            string labelFile = place.File(part + "_y.bin") ?? throw place.Missing(part + "_y.bin");
            int[] labels = [.. place.Read(labelFile).ToArray().Select(label => label - 1)];
            return new PlanarDataset(place, classNames, Side, columnsFirst: true, [new PlanarPart(pixels, place.Read(pixels), labels)]);
        }
        if (place.Folder(part) is not { } folder) throw place.Missing(part + "_X.bin");
        ImageList list = new();
        list.AddClassFolders(place, folder, new ClassIndex(classNames).Find);
        return list.Complete(place, split, classNames, folder);
    }
}
