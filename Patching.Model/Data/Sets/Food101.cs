namespace Patching.Model.Data.Sets;

/// <summary>Food-101: photos of dishes in class folders, with lists of the two splits.</summary>
internal static class Food101
{
    public static NamedDataset Definition { get; } = new()
    {
        Name = "Food101",
        Subject = "dishes",
        Classes = 101,
        Counts = new DatasetCounts(75750, 25250),
        Source = "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
        Folders = ["food-101", "food101"],
        Archives = ["food-101", "food101"],
        Layouts =
        [
            new("torchvision, publisher",
                "food-101/images/CLASS/*.jpg with food-101/meta/train.txt, test.txt; food-101.tar.gz has to be unpacked"),
            new("Kaggle", "food-101/food-101/images/CLASS/*.jpg, ...; food101/train/CLASS/*.jpg, food101/test/CLASS/*.jpg"),
        ],
        Downloads = [
            new("http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz", "food-101.tar.gz") { Md5 = "85eeb15f3717b99a5da872d97d918f87" }],
        Open = Open,
    };

    private static ImageFileDataset Open(DataPlace place, DatasetSplit split)
    {
        IReadOnlyList<string> classNames = ZeroShotPrompts.For(place.Set.Name).ClassNames;
        ClassIndex index = new(classNames);
        ImageList list = new();
        string part = split == DatasetSplit.Train ? "train" : "test";
        if (place.File($"meta/{part}.txt") is { } file)
        {
            string images = place.Folder("images") ?? throw place.Missing("folder images");
            ListedImages.Add(place, list, [file], images, index, ".jpg");
            return list.Complete(place, split, classNames, images);
        }
        string folder = (split == DatasetSplit.Train ? place.Folder("train") : place.Folder("test", "val"))
            ?? throw place.Missing($"meta/{part}.txt");
        list.AddClassFolders(place, folder, index.Find);
        return list.Complete(place, split, classNames, folder);
    }
}
