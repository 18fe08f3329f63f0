namespace Patching.Kernels;

/// <summary>
/// How a product of M x N sums of length K is cut up. Tiles of registers make up panels, panels make up blocks:
/// <list type="bullet">
/// <item>K is cut into equal parts of at most <see cref="MaxDepth"/>: a panel of one operand and a block of the other of that length share
/// a second-level cache.</item>
/// <item>Rows are cut into tiles whose heights differ by at most one, so that no tile is mostly empty.</item>
/// <item>One operand is <em>kept</em>: a thread packs a block of up to <see cref="MostLanesPerBlock"/> of its lanes into its own cache and
/// keeps it while all of the other streams past. The other is <em>shared</em>: packed by all threads together into a strip of several parts
/// of K, bounded by <see cref="StripBytes"/>. A shared operand is written to memory once more and read back by every block, so it is the
/// one with fewer lanes (or the one that was packed before), and blocks are as large as the cache allows.</item>
/// <item>Threads take whole blocks first. The last ones, one per thread, are divided along the shared operand into groups that any thread
/// may take, so that all finish together: threads share their caches, clocks and memory unequally.</item>
/// </list>
/// What is summed in which order depends on the shapes and the tile alone; the number of threads decides only into how many units the work
/// is divided.
/// </summary>
internal readonly record struct GemmPlan
{
    private const int MaxDepth = 1024;
    private const long StripBytes = 16 << 20;

    // Units of work for each thread: enough that the last ones end at nearly the same time.
    private const int GroupsPerThread = 4;

    // Whoever helps with another thread's block packs it again: worth the work of this many lanes of the shared operand or more.
    private const int FewestLanesPerGroup = 128;
    private const int MostGroups = 12;

    /// <summary>Most lanes of a block: at the greatest depth it then takes half of the second-level cache.</summary>
    internal static readonly int MostLanesPerBlock = (int)Math.Clamp(HostProcessor.SecondLevelBytes / (2 * MaxDepth * sizeof(float)), 64, 256);

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
        Blocks = Ceiling(KeptPanels, PanelsPerBlock(KeepsColumns ? tile.Columns : tile.MaxRows, threads));
        WholeBlocks = threads == 1 ? Blocks : Math.Max(Blocks - threads, 0);
        long groups = Blocks > threads
            ? Math.Min(SharedLanes / FewestLanesPerGroup, MostGroups)
            : (long)threads * GroupsPerThread / Blocks;
        Groups = Math.Clamp(groups, 1, SharedPanels);
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

    /// <summary>Blocks that one thread computes alone: the first ones.</summary>
    public long WholeBlocks { get; }

    /// <summary>Blocks whose work is divided.</summary>
    public int DividedBlocks => (int)(Blocks - WholeBlocks);

    /// <summary>Groups of shared panels into which the work of a divided block falls.</summary>
    public long Groups { get; }

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

    /// <summary>
    /// As many as the cache allows; where the shared operand is too narrow to be divided but small enough to be read often, so few that
    /// all threads finish together.
    /// </summary>
    private long PanelsPerBlock(int width, int threads)
    {
        long most = MostLanesPerBlock / width;
        return SharedLanes < 2 * FewestLanesPerGroup ? Math.Clamp(KeptPanels / ((long)threads * GroupsPerThread), 1, most) : most;
    }

    private static long Ceiling(long a, long b) => (a + b - 1) / b;
}
