namespace Patching.Model.Data;

/// <summary>Words for the parts of a data set.</summary>
internal static class DatasetSplits
{
    /// <summary>The word for a split in messages.</summary>
    public static string Word(this DatasetSplit split) => split switch
    {
        DatasetSplit.Train => "training",
        DatasetSplit.Validation => "validation",
        _ => "evaluation",
    };
}
