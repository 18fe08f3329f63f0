using System.Collections.Immutable;

namespace Patching.Model.Data.Sets;

/// <summary>A way in which a data set lies on disk.</summary>
/// <param name="Origin">Who lays it out so: <c>original</c>, <c>torchvision</c>, <c>publisher</c>, <c>Kaggle</c>.</param>
/// <param name="Shape">Paths below the data location, with capitals for what varies.</param>
public sealed record DatasetLayout(string Origin, string Shape);

/// <summary>A file of a data set that its publisher serves under a fixed address.</summary>
/// <param name="Address">The address.</param>
/// <param name="Target">Where it goes, below the data location.</param>
public sealed record DatasetFile(string Address, string Target)
{
    /// <summary>MD5 of the file, where the publisher or torchvision vouches for one.</summary>
    public string? Md5 { get; init; }
}

/// <summary>Numbers of images in the splits of a complete data set; 0 where there is none of its own.</summary>
/// <param name="Train">Training images.</param>
/// <param name="Test">Evaluation images.</param>
/// <param name="Validation">Images of the official validation split, which <c>NameVal</c> is evaluated on.</param>
public sealed record DatasetCounts(int Train, int Test, int Validation = 0);

/// <summary>A data set that the program knows by name: what it holds, how it may lie on disk, where it comes from.</summary>
public sealed class NamedDataset
{
    /// <summary>The original's name.</summary>
    public required string Name { get; init; }

    /// <summary>What it shows, in a few words.</summary>
    public required string Subject { get; init; }

    /// <summary>Number of classes.</summary>
    public required int Classes { get; init; }

    /// <summary>Images of the complete data set.</summary>
    public required DatasetCounts Counts { get; init; }

    /// <summary>Where to get it.</summary>
    public required string Source { get; init; }

    /// <summary>Every way it may lie on disk; the first is the one to aim for.</summary>
    public required ImmutableArray<DatasetLayout> Layouts { get; init; }

    /// <summary>What can be fetched without asking anybody; empty where that needs an account or a form.</summary>
    public ImmutableArray<DatasetFile> Downloads { get; init; } = [];

    /// <summary>Names of its folders in the data location, best first; case does not matter.</summary>
    public required ImmutableArray<string> Folders { get; init; }

    /// <summary>Beginnings of the names of its archives, in lower case.</summary>
    internal string[] Archives { get; init; } = [];

    /// <summary>Reads and checks one split.</summary>
    internal Func<DataPlace, DatasetSplit, ImageDataset> Open { get; init; } = null!;

    /// <summary>Whether <c>NameVal</c> has images of its own instead of a part of the training images.</summary>
    public bool HasOfficialValidation => Counts.Validation > 0;

    /// <summary>Whether a file in one of its folders, or in the data location, is one of its archives.</summary>
    internal bool IsArchive(string file) =>
        Files.ArchiveFile.IsArchive(file) && Archives.Any(name => file.StartsWith(name, StringComparison.OrdinalIgnoreCase));
}
