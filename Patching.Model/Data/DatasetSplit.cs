namespace Patching.Model.Data;

/// <summary>Which part of a data set to open.</summary>
public enum DatasetSplit
{
    /// <summary>The images a model is fine-tuned on.</summary>
    Train,

    /// <summary>
    /// The images a model is evaluated on (the original's <c>test_dataset</c>; its <c>val</c> part where that is all there is).
    /// </summary>
    Test,

    /// <summary>
    /// The official validation images of the data sets that have them; <c>NameVal</c> is evaluated on these. All other data sets hold a
    /// part of their training images out instead.
    /// </summary>
    Validation,
}
