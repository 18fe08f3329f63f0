namespace Patching.Kernels;

/// <summary>
/// How a product of M x N sums of length K is cut up. Tiles of registers make up panels, panels make up blocks:
/// <list type="bullet">
/// <item>K is cut into equal parts of at most <see cref="MaxDepth"/>: a panel of B and a block of A of that length share a second-level
/// cache of 1 MiB.</item>
/// <item>Rows are cut into tiles whose heights differ by at most one, so that no tile is mostly empty, and up to
/// <see cref="PanelsPerBlock"/> tiles make the block of A that one thread packs for itself and keeps while all of B streams past.</item>
/// <item>B is packed by all threads together into a strip of several parts of K, bounded by <see cref="StripBytes"/>. Where there is a
/// single block of rows, no panel of B is used twice and every thread packs its own.</item>
/// <item>Columns are divided among threads only when there are too few row blocks.</item>
/// </list>
/// What is summed in which order depends on the shapes and the tile alone; the number of threads decides only into how many units the work
/// is divided.
/// </summary>
internal readonly record struct GemmPlan
{
    private const int MaxDepth = 1024;
    private const int PanelsPerBlock = 8;
    private const int FewestPanelsPerBlock = 4;
    private const long StripBytes = 16 << 20;
    private const int RowBlocksPerThread = 8;
    private const int UnitsPerThread = 4;

    /// <summary>Plans a product.</summary>
    /// <param name="m">Rows of the output.</param>
    /// <param name="n">Columns of the output.</param>
    /// <param name="k">Length of the sums.</param>
    /// <param name="tile">The register tile.</param>
    /// <param name="threads">Threads that will share the work.</param>
    public GemmPlan(long m, long n, long k, GemmTile tile, int threads)
    {
        (M, N, K) = (m, n, k);
        Depth = (int)Ceiling(k, Ceiling(k, MaxDepth));
        Parts = (int)Ceiling(k, Depth);
        ColumnPanels = Ceiling(n, tile.Columns);
        PartsPerStrip = (int)Math.Clamp(StripBytes / (ColumnPanels * tile.Columns * Depth * sizeof(float)), 1, Parts);
        RowPanels = Ceiling(m, tile.MaxRows);
        RowBlocks = Ceiling(RowPanels, PanelsPerBlock);
        if (RowBlocks > 1 && threads > 1)
        {
            // More, smaller blocks let threads that finish early take over work; a whole number per thread lets them finish together.
            RowBlocks = Math.Max(RowBlocks, Math.Min(Ceiling(RowPanels, FewestPanelsPerBlock), (long)threads * RowBlocksPerThread));
            RowBlocks = Math.Min(Ceiling(RowBlocks, threads) * threads, RowPanels);
        }
        ColumnGroups = threads == 1 ? 1 : Math.Clamp((long)threads * UnitsPerThread / RowBlocks, 1, ColumnPanels);
    }

    /// <summary>Rows of the output.</summary>
    public long M { get; }

    /// <summary>Columns of the output.</summary>
    public long N { get; }

    /// <summary>Length of the sums.</summary>
    public long K { get; }

    /// <summary>Parts K is cut into.</summary>
    public int Parts { get; }

    /// <summary>Length of every part but perhaps the last.</summary>
    public int Depth { get; }

    /// <summary>Parts of B packed at a time.</summary>
    public int PartsPerStrip { get; }

    /// <summary>Tiles along the rows.</summary>
    public long RowPanels { get; }

    /// <summary>Blocks of row tiles.</summary>
    public long RowBlocks { get; }

    /// <summary>Rows of the highest block.</summary>
    public long LargestBlock
    {
        get
        {
            long largest = 0;
            for (long block = 0; block < RowBlocks; block++)
                largest = Math.Max(largest, RowStart(BlockStart(block + 1)) - RowStart(BlockStart(block)));
            return largest;
        }
    }

    /// <summary>Tiles along the columns.</summary>
    public long ColumnPanels { get; }

    /// <summary>Groups of column tiles.</summary>
    public long ColumnGroups { get; }

    /// <summary>Pieces of work that threads take: every pair of a row block and a column group.</summary>
    public long Units => RowBlocks * ColumnGroups;

    /// <summary>First index of part <paramref name="part"/>.</summary>
    public long PartStart(int part) => (long)part * Depth;

    /// <summary>Length of part <paramref name="part"/>.</summary>
    public int PartLength(int part) => (int)Math.Min(Depth, K - PartStart(part));

    /// <summary>First row of row tile <paramref name="panel"/>.</summary>
    public long RowStart(long panel) => M * panel / RowPanels;

    /// <summary>First row tile of block <paramref name="block"/>.</summary>
    public long BlockStart(long block) => RowPanels * block / RowBlocks;

    /// <summary>First column tile of group <paramref name="group"/>.</summary>
    public long GroupStart(long group) => ColumnPanels * group / ColumnGroups;

    private static long Ceiling(long a, long b) => (a + b - 1) / b;
}
