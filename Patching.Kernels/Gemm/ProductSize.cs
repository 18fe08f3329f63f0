namespace Patching.Kernels;

/// <summary>
/// A product <c>C[M, N] = sum over K</c> on a GPU, and how it is cut into tiles so that all multiprocessors have work. The figures are an H100's, on any GPU:
/// the order of a sum, and with it the last bits of a result, should not depend on where it runs more than on which instructions it has.
/// <para>
/// The unit of time is what the tensor cores need with <c>mma.sync</c> for a stage (32 steps of the sum) of 128 x 256 sums. A wide group, alone on its
/// multiprocessor, keeps them busy; two large groups of 128 x 128 do too, but read a third more from the L2 cache and take an estimated 1.2; one alone takes 0.7,
/// because nobody works while it waits. L groups per multiprocessor take that time for the stages of the sum and about eight more for filling the ring and
/// writing the tile (a wide group twelve: nobody works meanwhile). <c>wgmma</c> multiplies half as fast again. All of it is in <see cref="TileSize"/>. An example,
/// dw of ViT-B/32's attention output at batch 128, 768 x 768 with a sum over 6400 rows (200 stages): 36 large tiles occupy 36 of 132 multiprocessors and take
/// 0.7 (200 + 8) = 146. Divided in three, 108 groups take 0.7 (67 + 8) = 53, and adding up the parts 16 more. None of these times has been measured yet: no GPU
/// was at hand.
/// </para>
/// </summary>
/// <param name="M">Rows of the product.</param>
/// <param name="N">Columns of the product.</param>
/// <param name="K">Length of the sums.</param>
internal readonly record struct ProductSize(int M, int N, int K)
{
    private const int Multiprocessors = 132;
    private const int MostParts = 16;

    // A part should not be shorter than this: filling the ring and writing the tile cost half as much.
    private const int LeastStages = 16;

    // In the time of one stage (138 million multiply-adds, half a microsecond) memory moves so many bytes.
    private const double BytesPerStage = 1.6e6;

    // Launching the reduction.
    private const double ReductionStages = 4;

    /// <summary>Stages of 32 steps in the sum.</summary>
    public int Stages => CountOf(K, OperandTile.Depth);

    /// <summary>The tile with the least estimated time, the sum undivided, among those that <paramref name="tensorCores"/> can be.</summary>
    public TileSize BestTile(TensorCores tensorCores)
    {
        ProductSize size = this;
        return Tiles(tensorCores).MinBy(tile => size.Time(tile, 1))!;
    }

    /// <summary>The same where the sum is divided as suits each tile best; small tiles are not looked at.</summary>
    public TileSize BestDividedTile(TensorCores tensorCores)
    {
        ProductSize size = this;
        return Tiles(tensorCores).Where(tile => tile != TileSize.Small).MinBy(tile => size.Time(tile, size.Parts(tile)))!;
    }

    /// <summary>
    /// In how many parts the sum is divided, each with tiles of its own, when there is a workspace for their results: the number with the least estimated time.
    /// More parts must be worth it by a twentieth.
    /// </summary>
    public int Parts(TileSize tile)
    {
        int best = 1;
        double bestTime = Time(tile, 1);
        for (int parts = 2; parts <= MostParts && Stages / parts >= LeastStages; parts++)
        {
            double time = Time(tile, parts);
            if (time < 0.95 * bestTime) (best, bestTime) = (parts, time);
        }
        int stages = CountOf(K, tile.Depth);
        return CountOf(stages, CountOf(stages, best));
    }

    /// <summary>Estimated time of the product when its sum is divided in so many parts.</summary>
    public double Time(TileSize tile, int parts)
    {
        int tiles = CountOf(M, tile.Rows) * CountOf(N, tile.Columns) * parts;
        double product = tile.Time(CountOf(tiles, Multiprocessors), CountOf(Stages, parts));
        // Every part is written and read once, and the result read and written.
        return parts == 1 ? product : product + ReductionStages + (8.0 * parts + 8) * M * N / BytesPerStage;
    }

    /// <summary>Whole pieces of <paramref name="size"/> that cover <paramref name="count"/>.</summary>
    public static int CountOf(int count, int size) => (count + size - 1) / size;

    private static IEnumerable<TileSize> Tiles(TensorCores tensorCores) =>
        TileSize.All.Where(tile => tensorCores == TensorCores.Best || tile.UsesWgmma == (tensorCores == TensorCores.Wgmma));
}
