namespace Patching.Model.Data;

/// <summary>Which images a pass visits, in which order: a function of the data set and, for training, of seed and epoch only, so that a pass
/// can begin anywhere.</summary>
internal static class EpochOrder
{
    /// <summary>All images in the data set's own order.</summary>
    public static int[] OfEvaluation(ImageDataset dataset)
    {
        int[] order = new int[dataset.Count];
        for (int i = 0; i < order.Length; i++) order[i] = i;
        return order;
    }

    /// <summary>All images once, in the order of <see cref="TorchPermutation.ForEpoch"/>.</summary>
    public static int[] OfTraining(ImageDataset dataset, long seed, int epoch) => TorchPermutation.ForEpoch(dataset.Count, seed, epoch);
}
