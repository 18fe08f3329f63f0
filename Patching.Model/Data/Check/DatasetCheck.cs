using System.Collections.Concurrent;

namespace Patching.Model.Data.Check;

/// <summary>What was found of one split.</summary>
/// <param name="Split">Which.</param>
/// <param name="Problem">Why it cannot be used, in a line; null if it can.</param>
public sealed record SplitFinding(DatasetSplit Split, string? Problem)
{
    /// <summary>Images that are there.</summary>
    public int Images { get; init; }

    /// <summary>Images of the complete data set; 0 where that is not known.</summary>
    public int Expected { get; init; }

    /// <summary>Classes that have images.</summary>
    public int Classes { get; init; }

    /// <summary>Classes of the data set.</summary>
    public int AllClasses { get; init; }

    /// <summary>What was tolerated.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];

    /// <summary>A line for every image that cannot be read, in the order of the images; empty if none was decoded.</summary>
    public IReadOnlyList<string> Unreadable { get; init; } = [];

    /// <summary>Whether something is wrong if the split is not there.</summary>
    public bool IsNeeded { get; init; } = true;

    /// <summary>Whether nothing is wrong with the split but its size.</summary>
    public bool Usable => (Problem is null || !IsNeeded) && Unreadable.Count == 0;
}

/// <summary>What was found of a data set.</summary>
/// <param name="Name">The data set.</param>
/// <param name="Splits">Its splits.</param>
public sealed record DatasetFinding(string Name, IReadOnlyList<SplitFinding> Splits);

/// <summary>Looks whether data sets are there, complete and readable.</summary>
public sealed class DatasetCheck
{
    private readonly string dataLocation;
    private readonly int workers;

    /// <summary>Creates a check.</summary>
    /// <param name="dataLocation">Folder that holds the data sets.</param>
    /// <param name="workers">Threads that decode.</param>
    public DatasetCheck(string dataLocation, int workers)
    {
        this.dataLocation = dataLocation;
        this.workers = workers;
    }

    /// <summary>Whether images are decoded; without it only files, labels and numbers are looked at.</summary>
    public bool Decode { get; init; } = true;

    /// <summary>Gets every decoded image, to find those that occur in more than one place; null to look for none.</summary>
    public DuplicateSearch? Duplicates { get; init; }

    /// <summary>Called with what is done, images done and images in all.</summary>
    public Action<string, long, long>? Progress { get; init; }

    /// <summary>Checks every split of a data set.</summary>
    /// <param name="name">A name or path as <see cref="DatasetCatalog.Open"/> takes it.</param>
    /// <param name="cancellation">Stops.</param>
    /// <exception cref="InputException">The name is unknown.</exception>
    public DatasetFinding Check(string name, CancellationToken cancellation = default)
    {
        string canonical = DatasetCatalog.Canonical(name);
        Sets.NamedDataset? set = DatasetCatalog.Find(canonical);
        List<(DatasetSplit Split, string Name, int Expected)> splits = [];
        if (set is null || set.Counts.Train > 0 || set.Counts.Test == 0) splits.Add(
            (DatasetSplit.Train, canonical, set?.Counts.Train ?? 0));
        splits.Add((DatasetSplit.Test, canonical, set?.Counts.Test ?? 0));
        // The official validation images are what NameVal is evaluated on.
        if (set is { HasOfficialValidation: true } && canonical == set.Name) splits.Add(
            (DatasetSplit.Validation, set.Name + "Val", set.Counts.Validation));
        bool held = set is not null && canonical != set.Name;
        SplitFinding[] findings =
            [.. splits.Select(split => CheckSplit(split.Split, split.Name, held ? 0 : split.Expected, cancellation))];
        // Images of the user's own need not come in two splits.
        bool oneIsEnough = set is null && findings.Any(finding => finding.Problem is null);
        return new DatasetFinding(canonical, [.. findings.Select(finding => finding with { IsNeeded = !oneIsEnough })]);
    }

    private SplitFinding CheckSplit(DatasetSplit split, string name, int expected, CancellationToken cancellation)
    {
        ImageDataset images;
        try
        {
            images = DatasetCatalog.Open(name, split == DatasetSplit.Train ? split : DatasetSplit.Test, dataLocation);
        }
        catch (InputException e)
        {
            return new SplitFinding(split, e.Message) { Expected = expected };
        }
        bool[] present = new bool[images.ClassNames.Count];
        for (int i = 0; i < images.Count; i++) present[images.Label(i)] = true;
        return new SplitFinding(split, null)
        {
            Images = images.Count,
            Expected = expected,
            Classes = present.Count(there => there),
            AllClasses = present.Length,
            Notes = images.Notes,
            Unreadable = Decode ? DecodeAll(split, images, cancellation) : [],
        };
    }

    private string[] DecodeAll(DatasetSplit split, ImageDataset images, CancellationToken cancellation)
    {
        ConcurrentDictionary<int, string> bad = [];
        UInt128[]? hashes = Duplicates is null ? null : new UInt128[images.Count];
        int done = 0;
        Parallel.For(0, images.Count, new ParallelOptions { MaxDegreeOfParallelism = workers, CancellationToken = cancellation }, i =>
        {
            try
            {
                Images.RgbImage image = images.Load(i);
                if (hashes is not null) hashes[i] = DuplicateSearch.Hash(image);
            }
            catch (InputException e)
            {
                bad[i] = e.Message;
            }
            int count = Interlocked.Increment(ref done);
            lock (bad) Progress?.Invoke($"check {images.Name} {split.Word()}", count, images.Count);
        });
        if (hashes is not null) Duplicates!.Add(split, images, hashes, bad.Keys);
        return [.. bad.OrderBy(one => one.Key).Select(one => one.Value)];
    }
}
