namespace Patching.Model.Data;

/// <summary>What <c>patching data typographic</c> was asked to draw.</summary>
/// <param name="From">Name of the data set whose images are written on.</param>
/// <param name="DataLocation">Folder that holds the data sets.</param>
/// <param name="Out">Folder that gets the pictures; it must not exist or be empty.</param>
public sealed record TypographicSettings(string From, string DataLocation, string Out)
{
    /// <summary>Side of a picture unless asked otherwise: that of the attacks of the paper.</summary>
    public const int DefaultSide = 256;

    private const int SmallestSide = 32, LargestSide = 4096;

    /// <summary>Splits to draw; each gets a folder of its name.</summary>
    public IReadOnlyList<DatasetSplit> Splits { get; init; } = [DatasetSplit.Test];

    /// <summary>Pictures per split; 0 is one of every image.</summary>
    public int Count { get; init; }

    /// <summary>Side of the square pictures in pixels.</summary>
    public int Side { get; init; } = DefaultSide;

    /// <summary>Decides which images, which words and how they look.</summary>
    public int Seed { get; init; }

    /// <summary>Threads that draw.</summary>
    public int Workers { get; init; } = Environment.ProcessorCount;

    /// <summary>Refuses impossible values before anything is opened.</summary>
    /// <exception cref="InputException">The message names the flag.</exception>
    public void Check()
    {
        if (Count < 0) throw new InputException($"--count {Count}: must be 0 (all images) or more");
        if (Side is < SmallestSide or > LargestSide)
            throw new InputException($"--side {Side}: must be between {SmallestSide} and {LargestSide}");
        if (Workers < 1) throw new InputException($"--workers {Workers}: must be 1 or more");
        if (Out.Length == 0) throw new InputException("--out: the name is empty");
        if (File.Exists(Out)) throw new InputException($"--out {Out}: is a file; name a folder that does not exist yet");
        if (Directory.Exists(Out) && Directory.EnumerateFileSystemEntries(Out).Any())
            throw new InputException($"--out {Out}: is not empty; name a folder that does not exist yet");
    }
}
