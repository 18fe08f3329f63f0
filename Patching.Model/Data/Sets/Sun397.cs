
namespace Patching.Model.Data.Sets;

/// <summary>
/// SUN397: scenes. The original has class folders (<c>a_abbey</c>) per split; the publisher a tree by initial and name
/// (<c>a/apartment_building/outdoor</c>) and lists of ten splits, of which the first is used.
/// </summary>
internal static class Sun397
{
    public static NamedDataset Definition { get; } = new()
    {
        Name = "SUN397",
        Subject = "scenes",
        Classes = 397,
        Counts = new DatasetCounts(19850, 19850),
        Source = "https://vision.princeton.edu/projects/2010/SUN/",
        Folders = ["sun397", "SUN"],
        Archives = ["sun397", "partitions"],
        Layouts =
        [
            new("original", "sun397/train/a_abbey/*.jpg, sun397/val/a_abbey/*.jpg"),
            new("publisher, torchvision, Kaggle",
                "sun397/SUN397/a/abbey/*.jpg with sun397/Partitions/Training_01.txt, Testing_01.txt (or Partitions.zip); "
                + "SUN397.tar.gz has to be unpacked"),
        ],
        Downloads =
        [
            new("http://vision.princeton.edu/projects/2010/SUN/SUN397.tar.gz",
                "sun397/SUN397.tar.gz") { Md5 = "8ca2778205c41d23104230ba66911c7a" },
            new("http://vision.princeton.edu/projects/2010/SUN/download/Partitions.zip", "sun397/Partitions.zip"),
        ],
        Open = Open,
    };

    private static ImageFileDataset Open(DataPlace place, DatasetSplit split)
    {
        IReadOnlyList<string> classNames = ZeroShotPrompts.For(place.Set.Name).ClassNames;
        // In either layout the path of a class begins with its initial: a/abbey, a_abbey.
        ClassIndex index = new(classNames.Select(name => $"{name[0]}{name}"));
        ImageList list = new();
        string? folder = split == DatasetSplit.Train ? place.Folder("train") : place.Folder("val", "test");
        if (folder is not null)
        {
            list.AddClassFolders(place, folder, index.Find);
            return list.Complete(place, split, classNames, folder);
        }
        string name = split == DatasetSplit.Train ? "Training_01.txt" : "Testing_01.txt";
        string file = place.File("Partitions/" + name, name) ?? throw place.Missing(name);
        string images = place.Folder("SUN397/a", "a") ?? throw place.Missing("folder SUN397/a");
        ListedImages.Add(place, list, [file], images[..^1].TrimEnd('/'), index);
        return list.Complete(place, split, classNames, images);
    }
}
