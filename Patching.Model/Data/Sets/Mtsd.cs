using System.Text.Json;
using Patching.Model.Data.Files;

namespace Patching.Model.Data.Sets;

/// <summary>
/// Mapillary Traffic Signs: signs cut out of street photos. The original cuts them into class folders beforehand; from the published
/// annotations they are cut out when they are loaded, with the same boxes and classes (panoramas and other signs left out), but without the
/// loss of a second JPEG compression. Classes are those that occur in the annotations.
/// </summary>
internal static class Mtsd
{
    private const string OtherSign = "other-sign";

    public static NamedDataset Definition { get; } = new()
    {
        Name = "MTSD",
        Subject = "traffic signs of the world",
        Classes = 0,
        Counts = new DatasetCounts(0, 0),
        Source = "https://www.mapillary.com/dataset/trafficsign (with an account)",
        Folders = ["mtsd", "mtsd_fully_annotated", "mtsd_v2_fully_annotated"],
        Archives = ["mtsd"],
        Layouts =
        [
            new("original", "mtsd/train/CLASS/*.jpg, mtsd/val/CLASS/*.jpg (signs cut out)"),
            new("publisher",
                "mtsd/images/*.jpg, mtsd/annotations/*.json, mtsd/splits/train.txt, val.txt; also mtsd/annotations/annotations, "
                + "annotations/splits"),
        ],
        Open = Open,
    };

    private static ImageDataset Open(DataPlace place, DatasetSplit split)
    {
        string?[] folders = [place.Folder("train"), place.Folder("val")];
        string? folder = split == DatasetSplit.Train ? folders[0] : folders[1];
        if (folder is not null)
        {
            string[] classes = [.. folders.OfType<string>().SelectMany(place.Folders).Distinct().Order(StringComparer.Ordinal)];
            ImageList list = new();
            Dictionary<string, int> labels = Numbered(classes);
            list.AddClassFolders(place, folder, name => labels.TryGetValue(name, out int label) ? label : null);
            return list.Complete(place, split, ClassNames(classes), folder);
        }
        string images = place.Folder("images") ?? throw place.Missing("folder train with class folders, nor folder images");
        List<Sign> train = Signs(place, "train", images), test = Signs(place, "val", images);
        string[] found = [.. train.Concat(test).Select(sign => sign.Class).Distinct().Order(StringComparer.Ordinal)];
        List<Sign> chosen = split == DatasetSplit.Train ? train : test;
        if (chosen.Count == 0) throw new InputException(
            $"{place.Set.Name}: {place.Describe(images)} has no annotated {split.Word()} signs");
        Dictionary<string, int> numbers = Numbered(found);
        CroppedImage[] crops = [.. chosen.OrderBy(sign => sign.Class, StringComparer.Ordinal)
            .ThenBy(sign => sign.Image, StringComparer.Ordinal)
            .ThenBy(sign => sign.Key, StringComparer.Ordinal)
                .Select(sign => new CroppedImage(sign.Image, sign.Key, numbers[sign.Class], sign.Box))];
        return new CroppedDataset(place.Set.Name, ClassNames(found), place, crops, []);
    }

    private static string[] ClassNames(string[] folders) => [.. folders.Select(name => name.Replace('_', ' ').Replace('-', ' '))];

    private static Dictionary<string, int> Numbered(string[] classes) => classes.Select((name, i) => (name, i))
        .ToDictionary(pair => pair.name, pair => pair.i);

    private static List<Sign> Signs(DataPlace place, string part, string images)
    {
        string list = place.File($"splits/{part}.txt") ?? throw place.Missing($"splits/{part}.txt");
        string annotations = place.Folder("annotations/annotations", "annotations") ?? throw place.Missing("folder annotations");
        List<Sign> signs = [];
        foreach ((int number, string image) in place.ReadLines(list))
        {
            string file = place.Listed(list, number, annotations, image + ".json");
            try
            {
                using JsonDocument document = JsonDocument.Parse(place.Read(file));
                if (document.RootElement.GetProperty("ispano").GetBoolean()) continue;
                foreach (JsonElement sign in document.RootElement.GetProperty("objects").EnumerateArray())
                {
                    if (ReadSign(sign, FileTree.Join(images, image + ".jpg")) is { } usable) signs.Add(usable);
                }
            }
            catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
            {
                throw new InputException($"{place.Describe(file)}: is no annotation of MTSD ({OneLine.Of(e)})", e);
            }
        }
        return signs;
    }

    // "regulatory--keep-right--g1" is of the class keep-right.
    private static Sign? ReadSign(JsonElement sign, string image)
    {
        string label = sign.GetProperty("label").GetString()!;
        if (label == OtherSign) return null;
        string[] parts = label.Split("--");
        JsonElement box = sign.GetProperty("bbox");
        CropBox crop = new(Side(box, "xmin"), Side(box, "ymin"), Side(box, "xmax"), Side(box, "ymax"));
        return crop.IsEmpty ? null : new Sign(image, sign.GetProperty("key").GetString()!, parts.Length > 1 ? parts[1] : label, crop);
    }

    // Python rounds halves to even.
    private static int Side(JsonElement box, string side) =>
        checked((int)Math.Clamp(Math.Round(box.GetProperty(side).GetDouble(), MidpointRounding.ToEven), -CropBox.Most, CropBox.Most));

    private sealed record Sign(string Image, string Key, string Class, CropBox Box);
}
