
namespace Patching.Model.Data.Sets;

/// <summary>
/// Describable Textures. The original has class folders in <c>train</c> and <c>val</c>; the publisher all images in class folders and lists
/// of ten splits, of which the first is used: its training and validation lists together train (the 3760 images of the paper), its test
/// list evaluates.
/// </summary>
internal static class Dtd
{
    private const string Page = "https://www.robots.ox.ac.uk/~vgg/data/dtd/";

    public static NamedDataset Definition { get; } = new()
    {
        Name = "DTD",
        Subject = "textures",
        Classes = 47,
        Counts = new DatasetCounts(3760, 1880),
        Source = Page,
        Folders = ["dtd"],
        Archives = ["dtd"],
        Layouts =
        [
            new("original", "dtd/train/CLASS/*.jpg, dtd/val/CLASS/*.jpg"),
            new("publisher, torchvision, Kaggle",
                "dtd/images/CLASS/*.jpg with dtd/labels/train1.txt, val1.txt, test1.txt; also dtd/dtd/...; dtd-r1.0.1.tar.gz"),
        ],
        Downloads = [new(Page + "download/dtd-r1.0.1.tar.gz", "dtd/dtd-r1.0.1.tar.gz") { Md5 = "fff73e5086ae6bdbea199a49dfb8a4c1" }],
        Open = Open,
    };

    private static ImageFileDataset Open(DataPlace place, DatasetSplit split)
    {
        IReadOnlyList<string> classNames = ZeroShotPrompts.For(place.Set.Name).ClassNames;
        ClassIndex index = new(classNames);
        ImageList list = new();
        string? folder = split == DatasetSplit.Train ? place.Folder("train") : place.Folder("val", "test");
        if (folder is not null)
        {
            list.AddClassFolders(place, folder, index.Find);
            return list.Complete(place, split, classNames, folder);
        }
        string[] names = split == DatasetSplit.Train ? ["train1.txt", "val1.txt"] : ["test1.txt"];
        string[] lists = [.. names.Select(name => place.File("labels/" + name) ?? throw place.Missing("labels/" + name))];
        string images = place.Folder("images") ?? throw place.Missing("folder images");
        ListedImages.Add(place, list, lists, images, index);
        return list.Complete(place, split, classNames, images);
    }
}
