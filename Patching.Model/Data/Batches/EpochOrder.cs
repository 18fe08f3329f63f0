using Patching.Model.Images;

namespace Patching.Model.Data;

/// <summary>
/// Which images a pass visits, in which order: a function of the data set and, for training, of seed and epoch only, so that a pass can
/// begin anywhere.
/// </summary>
internal sealed class EpochOrder
{
    private readonly int[]? repeats;

    private EpochOrder(int[] indices, int[]? repeats) => (Indices, this.repeats) = (indices, repeats);

    /// <summary>Index of the image at every place of the pass.</summary>
    public int[] Indices { get; }

    /// <summary>How often the image at one place has come in this pass before, at most once per round through its class.</summary>
    public int Repeat(int place) => repeats is null ? 0 : repeats[place];

    /// <summary>All images in the data set's own order.</summary>
    public static EpochOrder OfEvaluation(ImageDataset dataset)
    {
        int[] order = new int[dataset.Count];
        for (int i = 0; i < order.Length; i++) order[i] = i;
        return new EpochOrder(order, null);
    }

    /// <summary>All images once, in the order of <see cref="TorchPermutation.ForEpoch"/>.</summary>
    public static EpochOrder OfTraining(ImageDataset dataset, long seed, int epoch) =>
        new(TorchPermutation.ForEpoch(dataset.Count, seed, epoch), null);

    /// <summary>
    /// As many images as there are, of every class that has any equally many (one more or less where that does not come out even). A class
    /// with fewer goes round several times, each time in another order; of a larger one another part comes in every epoch.
    /// </summary>
    public static EpochOrder OfBalancedTraining(ImageDataset dataset, long seed, int epoch)
    {
        int[][] classes = ByClass(dataset);
        int[] withOneMore = TorchPermutation.ForEpoch(classes.Length, seed, epoch);
        (int each, int left) = (dataset.Count / classes.Length, dataset.Count % classes.Length);
        List<(int Index, int Repeat)> draws = new(dataset.Count);
        for (int i = 0; i < classes.Length; i++)
        {
            int number = withOneMore[i];
            Draw(classes[number], number, each + (i < left ? 1 : 0), seed, epoch, draws);
        }
        int[] order = TorchPermutation.ForEpoch(draws.Count, seed, epoch);
        return new EpochOrder([.. order.Select(place => draws[place].Index)], [.. order.Select(place => draws[place].Repeat)]);
    }

    // Every class has its own random numbers: the shuffle of the whole pass must not show through in them.
    private static void Draw(int[] images, int number, int count, long seed, int epoch, List<(int Index, int Repeat)> draws)
    {
        for (int repeat = 0; count > 0; repeat++)
        {
            SampleRandom random = SampleRandom.ForSample(seed, number, repeat);
            int[] order = TorchPermutation.ForEpoch(images.Length, (long)random.NextBits(), epoch);
            foreach (int place in order.AsSpan(0, Math.Min(count, images.Length))) draws.Add((images[place], repeat));
            count -= images.Length;
        }
    }

    private static int[][] ByClass(ImageDataset dataset) =>
        [.. Enumerable.Range(0, dataset.Count).GroupBy(dataset.Label).OrderBy(images => images.Key).Select(images => images.ToArray())];
}
