using Patching.Model.Data.Files;
using Patching.Model.Data.Matlab;

namespace Patching.Model.Data.Sets;

/// <summary>
/// Stanford Cars. Labels are in MATLAB files: an array of structures with <c>fname</c> and <c>class</c> (from 1) per split, class names
/// in a cell array; or one file for all images (<c>relative_im_path</c>, <c>test</c>). Kaggle also has class folders.
/// </summary>
internal static class Cars
{
    public static NamedDataset Definition { get; } = new()
    {
        Name = "Cars",
        Subject = "makes, models and years of cars",
        Classes = 196,
        Counts = new DatasetCounts(8144, 8041),
        Source = "https://www.kaggle.com/datasets/jessicali9530/stanford-cars-dataset (the publisher's addresses are gone); devkit: "
            + "https://github.com/pytorch/vision/issues/7545",
        Folders = ["stanford_cars", "cars", "stanford-cars-dataset", "car_data"],
        Archives = ["cars_", "car_", "stanford_cars", "stanford-car"],
        Layouts =
        [
            new("original, torchvision",
                "stanford_cars/cars_train/*.jpg, cars_test/*.jpg, devkit/cars_train_annos.mat, cars_test_annos_withlabels.mat, "
                + "devkit/cars_meta.mat"),
            new("publisher",
                "stanford_cars/car_ims/*.jpg with stanford_cars/cars_annos.mat; cars_train.tgz, cars_test.tgz, car_devkit.tgz"),
            new("Kaggle",
                "stanford_cars/cars_train/cars_train/*.jpg, ...; stanford_cars/car_data/car_data/train/CLASS/*.jpg, test/CLASS/*.jpg"),
        ],
        Open = Open,
    };

    private static ImageFileDataset Open(DataPlace place, DatasetSplit split)
    {
        bool train = split == DatasetSplit.Train;
        string part = train ? "train" : "test";
        ImageList list = new();
        string? annotations = train
            ? place.File("devkit/cars_train_annos.mat", "cars_train_annos.mat")
            : place.File("cars_test_annos_withlabels.mat", "devkit/cars_test_annos_withlabels.mat", "cars_test_annos_withlabels (1).mat");
        if (annotations is not null && place.Folder($"cars_{part}/cars_{part}", $"cars_{part}") is { } images)
        {
            IReadOnlyList<string> names = ClassNames(place, place.File("devkit/cars_meta.mat", "cars_meta.mat"));
            AddAnnotated(place, list, annotations, names.Count, images);
            return list.Complete(place, split, names, images);
        }
        if (place.File("cars_annos.mat") is { } all)
        {
            IReadOnlyList<string> names = ClassNames(place, all);
            AddFromOneFile(place, list, all, names.Count, train);
            return list.Complete(place, split, names, all);
        }
        string folder = place.Folder($"car_data/{part}", part)
            ?? throw place.Missing(train ? "devkit/cars_train_annos.mat with cars_train" : "cars_test_annos_withlabels.mat with cars_test");
        IReadOnlyList<string> classNames = ClassNames(place, null);
        list.AddClassFolders(place, folder, new ClassIndex(classNames).Find);
        return list.Complete(place, split, classNames, folder);
    }

    // The data set's own names, where they are there, are those that its labels mean.
    private static IReadOnlyList<string> ClassNames(DataPlace place, string? file)
    {
        IReadOnlyList<string> known = ZeroShotPrompts.For(place.Set.Name).ClassNames;
        if (file is null) return known;
        MatFile meta = MatFile.Read(place.Read(file), place.Describe(file));
        string[] names = meta.Texts(meta.Cells("class_names").Cells, "class_names");
        return names.Length == known.Count
            ? [.. names.Select(name => name.Replace('_', ' '))]
            : throw new InputException($"{place.Describe(file)}: names {names.Length} classes, Cars has {known.Count}; download it again");
    }

    private static void AddAnnotated(DataPlace place, ImageList list, string file, int classes, string folder)
    {
        MatFile mat = MatFile.Read(place.Read(file), place.Describe(file));
        MatStructs rows = mat.Structs("annotations");
        if (!rows.Fields.ContainsKey("class"))
            throw new InputException($"{place.Describe(file)}: has no labels; Cars needs cars_test_annos_withlabels.mat");
        string[] names = mat.Texts(mat.Field(rows, "fname"), "fname");
        int[] labels = mat.Integers(rows, "class");
        for (int i = 0; i < labels.Length; i++) list.Add(place.Listed(file, i + 1, folder, names[i]),
            Label(place, file, i, labels[i], classes));
    }

    private static void AddFromOneFile(DataPlace place, ImageList list, string file, int classes, bool train)
    {
        MatFile mat = MatFile.Read(place.Read(file), place.Describe(file));
        MatStructs rows = mat.Structs("annotations");
        string[] names = mat.Texts(mat.Field(rows, "relative_im_path"), "relative_im_path");
        int[] labels = mat.Integers(rows, "class"), test = mat.Integers(rows, "test");
        string root = file[..^FileTree.NameOf(file).Length].TrimEnd('/');
        for (int i = 0; i < labels.Length; i++)
        {
            if (test[i] == 0 == train) list.Add(place.Listed(file, i + 1, root, names[i]), Label(place, file, i, labels[i], classes));
        }
    }

    private static int Label(DataPlace place, string file, int row, int value, int classes) => value >= 1 && value <= classes
        ? value - 1
        : throw new InputException($"{place.Describe(file)}: annotation {row} has class {value}, Cars has the classes 1 to {classes}");
}
