using Patching.Model.Data.Matlab;

namespace Patching.Model.Data.Sets;

/// <summary>
/// Street View House Numbers, format 2: one MATLAB file per split with the 32 x 32 colour images <c>X</c> (uint8 [32, 32, 3, n]) and the
/// digits <c>y</c> ([n, 1], 10 for zero).
/// </summary>
internal static class Svhn
{
    private const int Side = 32;
    private const string Address = "http://ufldl.stanford.edu/housenumbers/";

    public static NamedDataset Definition { get; } = new()
    {
        Name = "SVHN",
        Subject = "digits of house numbers",
        Classes = 10,
        Counts = new DatasetCounts(73257, 26032),
        Source = Address,
        Folders = ["svhn"],
        Archives = ["svhn"],
        Layouts =
        [
            new("original, torchvision, publisher", "svhn/train_32x32.mat, test_32x32.mat"),
            new("Kaggle", "svhn.zip or a folder in svhn with the same two files; svhn/train/CLASS/*.png, svhn/test/CLASS/*.png"),
        ],
        Downloads =
        [
            new(Address + "train_32x32.mat", "svhn/train_32x32.mat") { Md5 = "e26dedcc434d2e4c54c9b2d4a06d8373" },
            new(Address + "test_32x32.mat", "svhn/test_32x32.mat") { Md5 = "eb5a983be6a315427106f1b164d9cef3" },
        ],
        Open = Open,
    };

    private static ImageDataset Open(DataPlace place, DatasetSplit split)
    {
        string part = split == DatasetSplit.Train ? "train" : "test";
        IReadOnlyList<string> classNames = ZeroShotPrompts.For(place.Set.Name).ClassNames;
        if (place.File(part + "_32x32.mat") is { } file) return Read(place, file, classNames);
        if (place.Folder(part) is not { } folder) throw place.Missing(part + "_32x32.mat");
        ImageList list = new();
        list.AddClassFolders(place, folder, new ClassIndex(classNames).Find);
        return list.Complete(place, split, classNames, folder);
    }

    private static PlanarDataset Read(DataPlace place, string file, IReadOnlyList<string> classNames)
    {
        string name = place.Describe(file);
        MatFile variables = MatFile.Read(place.Read(file), name);
        MatNumbers images = variables.Numbers("X"), digits = variables.Numbers("y");
        // MATLAB drops a last dimension of one image.
        int count = images.Shape.Length == 4 ? images.Shape[3] : 1;
        if (images.Shape is not [Side, Side, 3, ..] || images.Shape.Length > 4 || images.Bytes is not { } pixels)
            throw new InputException($"{name}: X is {images.Describe()}, SVHN has uint8 [32, 32, 3, n]; is it format 2 (cropped digits)?");
        if (digits.Count != count) throw new InputException($"{name}: {digits.Count} labels for {count} images; download it again");
        int[] labels = [.. Enumerable.Range(0, count).Select(i => digits.Integer(i) is var digit && digit == 10 ? 0 : digit)];
        return new PlanarDataset(place, classNames, Side, columnsFirst: true, [new PlanarPart(file, pixels, labels)]);
    }
}
