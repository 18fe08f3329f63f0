namespace Patching.Kernels;

/// <summary>
/// How a product of M x N sums of length K is cut up. Tiles of registers make up panels, panels make up blocks:
/// <list type="bullet">
/// <item>K is cut into equal parts of at most <see cref="MaxDepth"/>: a panel of one operand and a block of the other of that length share
/// a second-level cache of 1 MiB.</item>
/// <item>Rows are cut into tiles whose heights differ by at most one, so that no tile is mostly empty.</item>
/// <item>One operand is <em>kept</em>: a thread packs a block of up to <see cref="MostLanesPerBlock"/> of its lanes into its own cache and
/// keeps it while all of the other streams past. The other is <em>shared</em>: packed by all threads together into a strip of several parts
/// of K, bounded by <see cref="StripBytes"/>. A shared operand is written to memory once more and read back by every block, so it is the
/// one with fewer lanes (or the one that was packed before).</item>
/// <item>The shared operand is divided among threads only when there are too few blocks of the kept one.</item>
/// </list>
/// What is summed in which order depends on the shapes and the tile alone; the number of threads decides only into how many units the work
/// is divided.
/// </summary>
internal readonly record struct GemmPlan
{
    private const int MaxDepth = 1024;
    private const int MostLanesPerBlock = 128;
    private const int FewestLanesPerBlock = 56;
    private const long StripBytes = 16 << 20;
    private const int BlocksPerThread = 8;
    private const int UnitsPerThread = 4;

    private readonly int tileColumns;

    /// <summary>Plans a product.</summary>
    /// <param name="m">Rows of the output.</param>
    /// <param name="n">Columns of the output.</param>
    /// <param name="k">Length of the sums.</param>
    /// <param name="tile">The register tile.</param>
    /// <param name="threads">Threads that will share the work.</param>
    /// <param name="columnsPacked">Whether B lies packed in memory already, so that A is the one to keep.</param>
    public GemmPlan(long m, long n, long k, GemmTile tile, int threads, bool columnsPacked = false)
    {
        (M, N, K, tileColumns) = (m, n, k, tile.Columns);
        Depth = (int)Ceiling(k, Ceiling(k, MaxDepth));
        Parts = (int)Ceiling(k, Depth);
        RowPanels = Ceiling(m, tile.MaxRows);
        ColumnPanels = Ceiling(n, tile.Columns);
        KeepsColumns = n > m && !columnsPacked;
        PartsPerStrip = (int)Math.Clamp(StripBytes / (SharedLanes * Depth * sizeof(float)), 1, Parts);
        int panelWidth = KeepsColumns ? tile.Columns : tile.MaxRows;
        Blocks = Ceiling(KeptPanels, MostLanesPerBlock / panelWidth);
        if (Blocks > 1 && threads > 1)
        {
            // More, smaller blocks let threads that finish early take over work; a whole number per thread lets them finish together.
            long most = Ceiling(KeptPanels, Math.Max(FewestLanesPerBlock / panelWidth, 1));
            Blocks = Math.Max(Blocks, Math.Min(most, (long)threads * BlocksPerThread));
            Blocks = Math.Min(Ceiling(Blocks, threads) * threads, KeptPanels);
        }
        Groups = threads == 1 ? 1 : Math.Clamp((long)threads * UnitsPerThread / Blocks, 1, SharedPanels);
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

    /// <summary>Parts of the shared operand packed at a time.</summary>
    public int PartsPerStrip { get; }

    /// <summary>Tiles along the rows: panels of A.</summary>
    public long RowPanels { get; }

    /// <summary>Tiles along the columns: panels of B.</summary>
    public long ColumnPanels { get; }

    /// <summary>Whether B is the operand whose blocks are kept, and A the shared one.</summary>
    public bool KeepsColumns { get; }

    /// <summary>Panels of the kept operand.</summary>
    public long KeptPanels => KeepsColumns ? ColumnPanels : RowPanels;

    /// <summary>Panels of the shared operand.</summary>
    public long SharedPanels => KeepsColumns ? RowPanels : ColumnPanels;

    /// <summary>Lanes of the shared operand as packed.</summary>
    public long SharedLanes => KeepsColumns ? M : ColumnPanels * tileColumns;

    /// <summary>Blocks of kept panels.</summary>
    public long Blocks { get; }

    /// <summary>Groups of shared panels.</summary>
    public long Groups { get; }

    /// <summary>Pieces of work that threads take: every pair of a block and a group.</summary>
    public long Units => Blocks * Groups;

    /// <summary>Lanes of the widest block.</summary>
    public long LargestBlock
    {
        get
        {
            long largest = 0;
            for (long block = 0; block < Blocks; block++)
                largest = Math.Max(largest, KeptStart(BlockStart(block + 1)) - KeptStart(BlockStart(block)));
            return largest;
        }
    }

    /// <summary>First index of part <paramref name="part"/>.</summary>
    public long PartStart(int part) => (long)part * Depth;

    /// <summary>Length of part <paramref name="part"/>.</summary>
    public int PartLength(int part) => (int)Math.Min(Depth, K - PartStart(part));

    /// <summary>First row of row tile <paramref name="panel"/>.</summary>
    public long RowStart(long panel) => M * panel / RowPanels;

    /// <summary>First column of column tile <paramref name="panel"/>; past the end that of a whole tile.</summary>
    public long ColumnStart(long panel) => panel * tileColumns;

    /// <summary>First lane of a panel of the kept operand.</summary>
    public long KeptStart(long panel) => KeepsColumns ? ColumnStart(panel) : RowStart(panel);

    /// <summary>First lane of a panel of the shared operand.</summary>
    public long SharedStart(long panel) => KeepsColumns ? RowStart(panel) : ColumnStart(panel);

    /// <summary>First kept panel of block <paramref name="block"/>.</summary>
    public long BlockStart(long block) => KeptPanels * block / Blocks;

    /// <summary>First shared panel of group <paramref name="group"/>.</summary>
    public long GroupStart(long group) => SharedPanels * group / Groups;

    private static long Ceiling(long a, long b) => (a + b - 1) / b;
}
