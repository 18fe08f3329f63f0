using Patching.Model.Data.Sets;

namespace Patching.Model.Data;

/// <summary>
/// Finds data sets by the names the original uses (<c>MNIST</c>, <c>FashionMNIST</c>, <c>CIFAR10</c>, ...; case does not matter), and by
/// path: any folder of images as <c>folder:PATH</c>, a table as <c>csv:FILE</c>, typographic attacks as <c>typographic:PATH</c>,
/// the images of a manifest as <c>manifest:FILE</c>, images with captions as <c>captions:FILE</c>. Every name can end in <c>Val</c> (with a
/// path <c>folderVal:PATH</c>, and so on; captions cannot): such a data set trains on a part of the training images and is evaluated on the
/// rest (or on the official validation images, where the original uses these), so that choosing alpha never looks at the test images. Behind
/// any name, <c>:A</c> and <c>:B</c> are the two halves of its classes.
/// </summary>
public static class DatasetCatalog
{
    /// <summary>Begins the name of a data set that is any folder of images.</summary>
    public const string FolderPrefix = "folder:";

    /// <summary>Begins the name of a data set that is a list of images with captions.</summary>
    public const string CaptionsPrefix = "captions:";

    /// <summary>Begins the name of a data set that a table of paths and labels describes.</summary>
    public const string CsvPrefix = "csv:";

    /// <summary>Begins the name of a folder of typographic attacks.</summary>
    public const string TypographicPrefix = "typographic:";

    /// <summary>Begins the name of a data set whose images a manifest names.</summary>
    public const string ManifestPrefix = "manifest:";

    private const string ValidationSuffix = "Val";
    private const int MostNameLetters = 48;

    private static readonly string[] Prefixes = [FolderPrefix, CsvPrefix, TypographicPrefix, ManifestPrefix, CaptionsPrefix];

    private static readonly string[] ValidationPrefixes = [.. Prefixes.Where(prefix => prefix != CaptionsPrefix).Select(ValidationPrefix)];

    // registry.py of the original: val_fraction=0.1, max_val_samples=5000, seed=0.
    private const double ValidationFraction = 0.1;
    private const int MostValidationImages = 5000;
    private const long ValidationSeed = 0;

    private static readonly Dictionary<string, NamedDataset> Known = ((NamedDataset[])
    [
        Cars.Definition, Cifar.Ten, Cifar.Hundred, Dtd.Definition, EuroSat.Definition, Mnist.Fashion, Food101.Definition, Gtsrb.Definition,
        ImageNet.Definition, ImageNet.Version2, Kitti.Definition, Mnist.Digits, Mtsd.Definition, Resisc45.Definition, Stl10.Definition,
        Sun397.Definition, Svhn.Definition,
    ]).ToDictionary(set => set.Name, StringComparer.OrdinalIgnoreCase);

    /// <summary>The data sets that are known by name, in alphabetical order.</summary>
    public static IReadOnlyList<NamedDataset> Sets { get; } = [.. Known.Values.OrderBy(set => set.Name, StringComparer.OrdinalIgnoreCase)];

    /// <summary>Their names, without their <c>Val</c> forms.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. Sets.Select(set => set.Name)];

    /// <summary>
    /// A data set's name as the beginning of a file's name; different ones may give the same, so something has to follow that tells them apart. The end of a path says more than
    /// its beginning.
    /// </summary>
    internal static string FileName(string dataset)
    {
        string letters = string.Concat(dataset.Select(c => char.IsAsciiLetterOrDigit(c) ? c : '_'));
        return letters.Length <= MostNameLetters ? letters : letters[^MostNameLetters..];
    }

    /// <summary>Opens one split of a data set.</summary>
    /// <param name="name">A name of <see cref="Names"/>, the same with <c>Val</c> at its end, or a prefix of this class with a
    /// path.</param>
    /// <param name="split">Part to open.</param>
    /// <param name="dataLocation">Folder that holds the data sets; a leading <c>~</c> is the user's home folder. Not used where the name
    /// holds a path.</param>
    /// <exception cref="InputException">The name is unknown (the nearest known one is suggested), or the files are missing or
    /// damaged.</exception>
    public static ImageDataset Open(string name, DatasetSplit split, string dataLocation)
    {
        if (WithoutHalf(name) is { Length: var length } && length < name.Length)
            return ClassHalfDataset.Of(Canonical(name), Open(name[..length], split, dataLocation), name.EndsWith('B'));
        if (PrefixOf(name) is { } prefix)
        {
            string path = WithHome(name[prefix.Length..]), named = prefix + name[prefix.Length..];
            bool isDivided = ValidationPrefixes.Contains(prefix);
            string plain = isDivided ? prefix[..^(ValidationSuffix.Length + 1)] + ":" : prefix;
            if (path.Length == 0)
                throw new InputException($"'{name}' names no {(plain is FolderPrefix or TypographicPrefix ? "folder" : "file")}; write {prefix}PATH");
            if (isDivided) return ValidationPart(named, Open(plain + path, DatasetSplit.Train, dataLocation), split);
            return prefix switch
            {
                FolderPrefix => FolderDataset.Open(named, path, split),
                CsvPrefix => CsvDataset.Open(named, path, split),
                TypographicPrefix => TypographicDataset.Open(named, path, split),
                ManifestPrefix => ManifestDataset.Open(named, path, split, dataLocation),
                CaptionsPrefix when split == DatasetSplit.Train => CaptionDataset.Open(path),
                _ => throw new InputException(
                    $"{name}: captions are for contrastive training; evaluation needs classes, such as folder:PATH"),
            };
        }
        string canonical = Canonical(name);
        bool validation = !Known.TryGetValue(canonical, out NamedDataset? set);
        set ??= Known[WithoutValidationSuffix(canonical)];
        string location = WithHome(dataLocation);
        if (!validation) return DataPlace.Open(set, split, location);
        if (!set.HasOfficialValidation) return ValidationPart(canonical, DataPlace.Open(set, DatasetSplit.Train, location), split);
        DatasetSplit held = split == DatasetSplit.Train ? DatasetSplit.Train : DatasetSplit.Validation;
        ImageDataset part = DataPlace.Open(set, held, location);
        return new SubsetDataset(canonical, part, [.. Enumerable.Range(0, part.Count)]);
    }

    /// <summary>
    /// The name as results record it, whatever its case was (<c>mnistval</c> is <c>MNISTVal</c>); <c>folder:PATH</c> keeps its path. Files
    /// are not looked at.
    /// </summary>
    /// <exception cref="InputException">The name is unknown.</exception>
    public static string Canonical(string name)
    {
        if (WithoutHalf(name) is { Length: var length } && length < name.Length) return Canonical(name[..length]) + name[length..];
        if (PrefixOf(name) is { } prefix) return prefix + name[prefix.Length..];
        string plain = WithoutValidationSuffix(name);
        foreach (string known in Names)
        {
            if (known.Equals(name, StringComparison.OrdinalIgnoreCase)) return known;
            if (known.Equals(plain, StringComparison.OrdinalIgnoreCase)) return known + ValidationSuffix;
        }
        string nearest = Names.Concat(Names.Select(known => known + ValidationSuffix)).MinBy(known => EditDistance(name, known))!;
        string suggestion = EditDistance(name, nearest) <= Math.Max(2, name.Length / 3) ? $" (did you mean {nearest}?)" : "";
        throw new InputException(
            $"unknown data set '{name}'{suggestion}; known are {string.Join(", ", Names)}, each also with Val at its end, and "
            + string.Join(", ", Prefixes.Select(prefix => prefix + "PATH")));
    }

    /// <summary>The prefix that a data set's name begins with; null if it is a name of <see cref="Names"/> or unknown.</summary>
    public static string? PrefixOf(string name) => Prefixes.Concat(ValidationPrefixes).FirstOrDefault(
        prefix => name.StartsWith(prefix, StringComparison.OrdinalIgnoreCase));

    /// <summary>Whether anything of a data set is in a data location, be it usable or not.</summary>
    public static bool IsThere(NamedDataset set, string dataLocation) => DataPlace.Exists(set, WithHome(dataLocation));

    /// <summary>What is known of a data set; its <c>Val</c> form is the same data set. Null for paths and unknown names.</summary>
    public static NamedDataset? Find(string name) => Known.GetValueOrDefault(name)
        ?? Known.GetValueOrDefault(WithoutValidationSuffix(name));

    /// <summary>The name of the same data set with its training images divided; itself where they are already.</summary>
    /// <exception cref="InputException">The name is unknown.</exception>
    public static string ValidationName(string name)
    {
        string half = name[WithoutHalf(name).Length..], canonical = Canonical(WithoutHalf(name));
        if (half.Length > 0) return ValidationName(canonical) + half;
        if (IsValidation(canonical)) return canonical;
        return PrefixOf(canonical) is { } prefix ? ValidationPrefix(prefix) + canonical[prefix.Length..] : canonical + ValidationSuffix;
    }

    /// <summary>Whether a name as <see cref="Canonical"/> gives it is that of a data set with divided training images.</summary>
    public static bool IsValidation(string canonical)
    {
        string whole = WithoutHalf(canonical);
        return PrefixOf(whole) is { } prefix ? ValidationPrefixes.Contains(prefix) : !Names.Contains(whole) && whole.EndsWith(ValidationSuffix, StringComparison.Ordinal);
    }

    private static string ValidationPrefix(string prefix) => $"{prefix[..^1]}{ValidationSuffix}:";

    /// <summary>The name without the mark of a half of its classes; the name itself if it has none.</summary>
    internal static string WithoutHalf(string name) => name.Length > 2 && name[^2..] is ":A" or ":B" ? name[..^2] : name;

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

    /// <summary>The path with the user's home folder for a leading <c>~</c>.</summary>
    public static string WithHome(string path) =>
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
