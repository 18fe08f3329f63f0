namespace Patching.Kernels;

/// <summary>
/// A product <c>C[M, N] = sum over K</c> on a GPU, and how it is cut into groups so that all multiprocessors have work. The figures are an H100's, on any GPU:
/// the order of a sum, and with it the last bits of a result, should not depend on where it runs.
/// <para>
/// Two large groups share a multiprocessor. Together they take one unit of time per stage of the sum, which is what the tensor cores need for both; a group
/// alone takes about 0.65, because nobody works while it waits. L groups per multiprocessor therefore take <c>T(L) = L / 2</c>, plus 0.15 when L is odd, times
/// the stages of the sum and about eight more for filling the ring and writing the tile. An example, dw of ViT-B/32's attention output at batch 128, 768 x 768
/// with a sum over 6400 rows (200 stages): 36 tiles occupy 36 of 132 multiprocessors and take 0.65 (200 + 8) = 135. Divided in three, 108 groups take
/// 0.65 (67 + 8) = 49, and adding up the parts 16 more. Nothing of this has been measured yet: no GPU was at hand.
/// </para>
/// </summary>
/// <param name="M">Rows of the product.</param>
/// <param name="N">Columns of the product.</param>
/// <param name="K">Length of the sums.</param>
internal readonly record struct ProductSize(int M, int N, int K)
{
    private const int Multiprocessors = 132;
    private const int MostParts = 16;

    // A part should not be shorter than this: filling the ring and writing the tile cost as much as eight stages.
    private const int LeastStages = 16;
    private const double ExtraStages = 8;

    // In the time of one stage (138 million multiply-adds, half a microsecond) memory moves so many bytes.
    private const double BytesPerStage = 1.6e6;

    // Launching the reduction.
    private const double ReductionStages = 4;

    /// <summary>
    /// Whether large tiles keep the GPU busier than small ones. A small group alone needs a third of the time of a large one for a quarter of its work, so small
    /// tiles win only while they are at most two to a multiprocessor: where half of the multiprocessors would not get a large tile.
    /// </summary>
    public bool PrefersLargeTiles => Tiles(128) > Multiprocessors / 2;

    /// <summary>Tiles of so many rows and columns.</summary>
    public int Tiles(int lines) => CountOf(M, lines) * CountOf(N, lines);

    /// <summary>
    /// In how many parts the sum is divided, each by groups of its own, when there is a workspace for their results: the number with the least estimated time. More
    /// parts must be worth it by a twentieth.
    /// </summary>
    public int Parts(int lines)
    {
        int stages = CountOf(K, OperandTile.Depth), best = 1;
        double bestTime = Time(1, stages, lines);
        for (int parts = 2; parts <= MostParts && stages / parts >= LeastStages; parts++)
        {
            double time = Time(parts, stages, lines);
            if (time < 0.95 * bestTime) (best, bestTime) = (parts, time);
        }
        return CountOf(stages, CountOf(stages, best));
    }

    /// <summary>Whole pieces of <paramref name="size"/> that cover <paramref name="count"/>.</summary>
    public static int CountOf(int count, int size) => (count + size - 1) / size;

    private double Time(int parts, int stages, int lines)
    {
        int load = CountOf(Tiles(lines) * parts, Multiprocessors);
        double turns = load / 2.0 + (load % 2 == 0 ? 0 : 0.15), product = turns * (CountOf(stages, parts) + ExtraStages);
        // A small tile is a quarter of a large one and runs at half the rate.
        if (lines < 128) product /= 2;
        // Every part is written and read once, and the result read and written.
        return parts == 1 ? product : product + ReductionStages + (8.0 * parts + 8) * M * N / BytesPerStage;
    }
}
