namespace Patching.Kernels;

/// <summary>
/// How a product of M x N sums of length K is cut up. Tiles of registers make up panels, panels make up blocks:
/// <list type="bullet">
/// <item>K is cut into equal parts of at most <see cref="MaxDepth"/>: a panel pair of that length stays in the second-level cache.</item>
/// <item>Rows are cut into tiles whose heights differ by at most one, so that no tile is mostly empty, and <see cref="PanelsPerBlock"/> tiles make the block of A that
/// one thread packs for itself and keeps in its second-level cache while all of B streams past.</item>
/// <item>B is packed by all threads together into a strip of several parts of K, bounded by <see cref="StripBytes"/>.</item>
/// <item>Columns are divided among threads only when there are too few row blocks.</item>
/// </list>
/// The cuts depend on the shapes and the tile alone, except that the number of threads decides how many units the work is handed out in, which moves no sum.
/// </summary>
internal readonly record struct GemmPlan
{
    private const int MaxDepth = 768;
    private const int PanelsPerBlock = 8;
    private const long StripBytes = 16 << 20;
    private const int UnitsPerThread = 4;

    public GemmPlan(long m, long n, long k, GemmTile tile, int threads, bool wholeDepth = false)
    {
        (M, N, K) = (m, n, k);
        Parts = wholeDepth ? 1 : (int)Ceiling(k, MaxDepth);
        Depth = (int)Ceiling(k, Parts);
        Parts = (int)Ceiling(k, Depth);
        ColumnPanels = Ceiling(n, tile.Columns);
        PartsPerStrip = (int)Math.Clamp(StripBytes / (ColumnPanels * tile.Columns * Depth * sizeof(float)), 1, Parts);
        RowPanels = Ceiling(m, tile.MaxRows);
        RowBlocks = Ceiling(RowPanels, PanelsPerBlock);
        if (threads > 1) RowBlocks = Math.Min(Ceiling(RowBlocks, threads) * threads, RowPanels);
        ColumnGroups = threads == 1 ? 1 : Math.Clamp(Ceiling((long)threads * UnitsPerThread, RowBlocks), 1, ColumnPanels);
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

    /// <summary>Tiles along the columns.</summary>
    public long ColumnPanels { get; }

    /// <summary>Groups of column tiles.</summary>
    public long ColumnGroups { get; }

    /// <summary>Pieces of work that threads take.</summary>
    public int Units => (int)(RowBlocks * ColumnGroups);

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
