namespace Patching.Model.Data;

/// <summary>
/// Finds data sets by the names the original uses (<c>MNIST</c>, <c>FashionMNIST</c>, <c>CIFAR10</c>, ...; case does not matter), and any
/// folder of images as <c>folder:PATH</c>, images with captions as <c>captions:FILE</c>. Every name but the last can end in <c>Val</c> (of a folder <c>folderVal:PATH</c>): such a data
/// set trains on a part of the training images and is evaluated on the rest, so that choosing alpha never looks at the test images.
/// </summary>
public static class DatasetCatalog
{
    /// <summary>Begins the name of a data set that is any folder of images.</summary>
    public const string FolderPrefix = "folder:";

    /// <summary>Begins the name of a folder of images whose training images are divided.</summary>
    public const string FolderValidationPrefix = "folderVal:";

    /// <summary>Begins the name of a data set that is a list of images with captions.</summary>
    public const string CaptionsPrefix = "captions:";

    private const string ValidationSuffix = "Val";

    // registry.py of the original: val_fraction=0.1, max_val_samples=5000, seed=0.
    private const double ValidationFraction = 0.1;
    private const int MostValidationImages = 5000;
    private const long ValidationSeed = 0;

    private static readonly Dictionary<string, Func<DatasetSplit, string, ImageDataset>> Openers = new(StringComparer.OrdinalIgnoreCase)
    {
        ["MNIST"] = (split, data) => MnistDataset.Open("MNIST", split, data),
        ["FashionMNIST"] = (split, data) => MnistDataset.Open("FashionMNIST", split, data),
        ["CIFAR10"] = Cifar10Dataset.Open,
        ["GTSRB"] = GtsrbDataset.Open,
        ["DTD"] = (split, data) => ImageFolderDataset.OpenSplit("DTD", Path.Combine(data, "dtd"), split, ["val"], null),
        ["ImageNet"] = (split, data) =>
            ImageFolderDataset.OpenSplit("ImageNet", Path.Combine(data, "imagenet"), split, ["val_in_folder", "val"],
                ZeroShotPrompts.For("ImageNet").ClassNames),
    };

    /// <summary>The names this catalog knows, without their <c>Val</c> forms and folders, in alphabetical order.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. Openers.Keys.Order(StringComparer.OrdinalIgnoreCase)];

    /// <summary>Opens one split of a data set.</summary>
    /// <param name="name">A name of <see cref="Names"/>, the same with <c>Val</c> at its end, or <c>folder:PATH</c>.</param>
    /// <param name="split">Part to open.</param>
    /// <param name="dataLocation">Folder that holds the data sets; a leading <c>~</c> is the user's home folder. Not used for
    /// <c>folder:PATH</c>.</param>
    /// <exception cref="InputException">The name is unknown (the nearest known one is suggested), or the files are missing or
    /// damaged.</exception>
    public static ImageDataset Open(string name, DatasetSplit split, string dataLocation)
    {
        if (name.StartsWith(FolderPrefix, StringComparison.OrdinalIgnoreCase))
        {
            string path = name[FolderPrefix.Length..];
            if (path.Length == 0) throw new InputException($"'{name}' names no folder; write folder:PATH");
            return ImageFolderDataset.OpenAny(FolderPrefix + path, WithHome(path), split);
        }

        if (name.StartsWith(FolderValidationPrefix, StringComparison.OrdinalIgnoreCase))
        {
            string folder = name[FolderValidationPrefix.Length..];
            return ValidationPart(FolderValidationPrefix + folder, Open(FolderPrefix + folder, DatasetSplit.Train, dataLocation), split);
        }

        if (name.StartsWith(CaptionsPrefix, StringComparison.OrdinalIgnoreCase))
        {
            if (split != DatasetSplit.Train) throw new InputException($"{name}: captions are for contrastive training; evaluation needs classes, such as folder:PATH");
            return CaptionDataset.Open(WithHome(name[CaptionsPrefix.Length..]));
        }

        string canonical = Canonical(name);
        if (Openers.TryGetValue(canonical, out Func<DatasetSplit, string, ImageDataset>? open)) return open(split, WithHome(dataLocation));
        ImageDataset whole = Openers[WithoutValidationSuffix(canonical)](DatasetSplit.Train, WithHome(dataLocation));
        return ValidationPart(canonical, whole, split);
    }

    /// <summary>
    /// The name as results record it, whatever its case was (<c>mnistval</c> is <c>MNISTVal</c>); <c>folder:PATH</c> keeps its path. Files
    /// are not looked at.
    /// </summary>
    /// <exception cref="InputException">The name is unknown.</exception>
    public static string Canonical(string name)
    {
        if (name.StartsWith(FolderPrefix, StringComparison.OrdinalIgnoreCase)) return FolderPrefix + name[FolderPrefix.Length..];
        if (name.StartsWith(FolderValidationPrefix, StringComparison.OrdinalIgnoreCase)) return FolderValidationPrefix + name[FolderValidationPrefix.Length..];
        string plain = WithoutValidationSuffix(name);
        foreach (string known in Names)
        {
            if (known.Equals(name, StringComparison.OrdinalIgnoreCase)) return known;
            if (known.Equals(plain, StringComparison.OrdinalIgnoreCase)) return known + ValidationSuffix;
        }
        string nearest = Names.Concat(Names.Select(known => known + ValidationSuffix)).MinBy(known => EditDistance(name, known))!;
        string suggestion = EditDistance(name, nearest) <= Math.Max(2, name.Length / 3) ? $" (did you mean {nearest}?)" : "";
        throw new InputException(
            $"unknown data set '{name}'{suggestion}; known are {string.Join(", ", Names)}, each also with Val at its end, and folder:PATH");
    }

    /// <summary>The name of the same data set with its training images divided; itself where they are already.</summary>
    /// <exception cref="InputException">The name is unknown.</exception>
    public static string ValidationName(string name)
    {
        string canonical = Canonical(name);
        if (IsValidation(canonical)) return canonical;
        return canonical.StartsWith(FolderPrefix, StringComparison.Ordinal) ? FolderValidationPrefix + canonical[FolderPrefix.Length..] : canonical + ValidationSuffix;
    }

    /// <summary>Whether a name as <see cref="Canonical"/> gives it is that of a data set with divided training images.</summary>
    public static bool IsValidation(string canonical) =>
        canonical.StartsWith(FolderValidationPrefix, StringComparison.Ordinal)
        || (!canonical.StartsWith(FolderPrefix, StringComparison.Ordinal) && !Names.Contains(canonical) && canonical.EndsWith(ValidationSuffix, StringComparison.Ordinal));

    /// <summary>The name without <c>Val</c> at its end; the name itself if it does not end so.</summary>
    internal static string WithoutValidationSuffix(string name) =>
        name.Length > ValidationSuffix.Length && name.EndsWith(ValidationSuffix, StringComparison.OrdinalIgnoreCase)
            ? name[..^ValidationSuffix.Length]
            : name;

    // torch's random_split: one permutation, its first part trains and the rest is held out.
    private static SubsetDataset ValidationPart(string name, ImageDataset whole, DatasetSplit split)
    {
        int held = Math.Min((int)(whole.Count * ValidationFraction), MostValidationImages);
        if (held == 0)
            throw new InputException($"{name}: {whole.Count} training images are too few to hold a tenth of them out for validation");
        int[] order = TorchPermutation.Create(whole.Count, ValidationSeed);
        return new SubsetDataset(name, whole, split == DatasetSplit.Train ? order[..^held] : order[^held..]);
    }

    private static string WithHome(string path) =>
        path == "~" || path.StartsWith("~/", StringComparison.Ordinal)
            ? Environment.GetFolderPath(Environment.SpecialFolder.UserProfile) + path[1..]
            : path;

    // Levenshtein's distance without regard to case.
    private static int EditDistance(string a, string b)
    {
        int[] row = [.. Enumerable.Range(0, b.Length + 1)];
        for (int i = 1; i <= a.Length; i++)
        {
            int diagonal = row[0];
            row[0] = i;
            for (int j = 1; j <= b.Length; j++)
            {
                int substituted = diagonal + (char.ToUpperInvariant(a[i - 1]) == char.ToUpperInvariant(b[j - 1]) ? 0 : 1);
                diagonal = row[j];
                row[j] = Math.Min(substituted, Math.Min(row[j], row[j - 1]) + 1);
            }
        }
        return row[^1];
    }
}
