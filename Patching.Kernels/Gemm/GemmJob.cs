namespace Patching.Kernels;

/// <summary>One product on the host: packs, hands out blocks of work, runs the tiles. Made per launch, used once.</summary>
internal sealed unsafe class GemmJob(HostThreads threads, GemmTile tile, GemmPlan plan, GemmPanels a, GemmPanels b, GemmOutput output)
{
    // A tile of 14 x 32 or 9 x 48 sums in the first half, the addresses asked for ahead in the second.
    private const int TileBufferBytes = 4096;

    // Floats of B that stay in a core's own cache while the tiles of a row block pass over them.
    private const long CachedFloats = 192 << 10;

    private readonly GemmPanels kept = plan.KeepsColumns ? b : a, shared = plan.KeepsColumns ? a : b;
    // Of every divided block: how many of its units (a group of one part) are handed out, and how many parts of each group are computed.
    private readonly long[] nextUnit = new long[plan.DividedBlocks];
    private readonly int[] partsDone = new int[plan.DividedBlocks * plan.Groups];
    private float* strip;
    private long firstStripK;
    private long nextBlock;

    /// <summary>Receives the sums of A's rows over k (accumulates), or null.</summary>
    public float* RowSums { get; init; }

    /// <summary>Multiplies strip by strip: all threads pack the strip of the shared operand, then each takes blocks of the other.</summary>
    public void Run()
    {
        long longest = Math.Min(plan.K, (long)plan.PartsPerStrip * plan.Depth);
        strip = (float*)threads.ScratchOf(threads.Count, plan.SharedLanes * longest * sizeof(float));
        for (int part = 0; part < plan.Parts; part += plan.PartsPerStrip)
        {
            int end = Math.Min(part + plan.PartsPerStrip, plan.Parts);
            firstStripK = plan.PartStart(part);
            PackStrip(part, end);
            Multiply(part, end);
        }
    }

    /// <summary>Multiplies with a shared operand that <see cref="Pack"/> prepared.</summary>
    public void Run(float* packed)
    {
        strip = packed;
        Multiply(0, plan.Parts);
    }

    /// <summary>Packs all of the shared operand.</summary>
    public void Pack(float* packed)
    {
        strip = packed;
        PackStrip(0, plan.Parts);
    }

    private void PackStrip(int firstPart, int endPart)
    {
        long groups = (plan.SharedPanels + shared.PanelsTogether - 1) / shared.PanelsTogether;
        threads.For((endPart - firstPart) * groups, (first, end) =>
        {
            Span<long> edges = stackalloc long[shared.PanelsTogether + 1];
            for (long i = first; i < end; i++)
            {
                int part = firstPart + (int)(i / groups);
                long panel = i % groups * shared.PanelsTogether;
                int panels = (int)Math.Min(shared.PanelsTogether, plan.SharedPanels - panel);
                for (int p = 0; p <= panels; p++) edges[p] = plan.SharedStart(panel + p);
                shared.Pack(SharedPanel(part, panel), edges[..(panels + 1)], plan.PartStart(part), plan.PartLength(part));
            }
        });
    }

    private void Multiply(int firstPart, int endPart)
    {
        nextBlock = 0;
        Array.Clear(nextUnit);
        Array.Clear(partsDone);
        threads.Run(member =>
        {
            Workspace workspace = new(threads, member, plan);
            // Which thread computes a block or a group is left to chance, what it computes is not.
            for (long block; (block = Interlocked.Increment(ref nextBlock) - 1) < plan.WholeBlocks;)
            {
                for (int part = firstPart; part < endPart; part++) MultiplyBlock(block, 0, plan.SharedPanels, part, ref workspace);
            }
            // A thread begins with a divided block of its own and then helps with the others'.
            for (int i = 0; i < plan.DividedBlocks; i++)
                MultiplyDivided((member + i) % plan.DividedBlocks, firstPart, endPart, ref workspace);
        });
    }

    /// <summary>
    /// Units are handed out part by part, so that a thread packs its block once a part and not once a group. The sums of a group over
    /// one part are added to those over the part before, which another thread may still be computing: then this one waits.
    /// </summary>
    private void MultiplyDivided(int divided, int firstPart, int endPart, ref Workspace workspace)
    {
        long units = (endPart - firstPart) * plan.Groups;
        for (long unit; (unit = Interlocked.Increment(ref nextUnit[divided]) - 1) < units;)
        {
            int earlier = (int)(unit / plan.Groups);
            long group = unit % plan.Groups;
            ref int done = ref partsDone[divided * plan.Groups + group];
            for (SpinWait wait = default; Volatile.Read(ref done) < earlier;) wait.SpinOnce();
            long block = plan.WholeBlocks + divided;
            MultiplyBlock(block, plan.GroupStart(group), plan.GroupStart(group + 1), firstPart + earlier, ref workspace);
            Volatile.Write(ref done, earlier + 1);
        }
    }

    private void MultiplyBlock(long block, long firstShared, long endShared, int part, ref Workspace workspace)
    {
        long firstKept = plan.BlockStart(block), endKept = plan.BlockStart(block + 1);
        if (workspace.MustPack(block, part)) PackBlock(firstKept, endKept, part, workspace.Block);
        float* panels = SharedPanel(part, firstShared);
        TileRange range = plan.KeepsColumns
            ? new TileRange(firstShared, endShared, firstKept, endKept, panels, workspace.Block)
            : new TileRange(firstKept, endKept, firstShared, endShared, workspace.Block, panels);
        if (RowSums != null && range.FirstColumn == 0) AddRowSums(range, plan.PartLength(part));
        MultiplyRange(range, part, workspace);
    }

    private void PackBlock(long first, long end, int part, float* block)
    {
        Span<long> edges = stackalloc long[(int)(end - first) + 1];
        for (int i = 0; i < edges.Length; i++) edges[i] = plan.KeptStart(first + i);
        kept.Pack(block, edges, plan.PartStart(part), plan.PartLength(part));
    }

    private void AddRowSums(in TileRange range, int k)
    {
        for (long i = range.FirstRow; i < range.EndRow; i++)
        {
            long row = plan.RowStart(i), width = plan.RowStart(i + 1) - row;
            GemmPanels.AddSums(RowSums + row, range.A + (row - plan.RowStart(range.FirstRow)) * k, (int)width, k);
        }
    }

    private void MultiplyRange(in TileRange range, int part, in Workspace workspace)
    {
        int k = plan.PartLength(part), rows = (int)(range.EndRow - range.FirstRow), columns = (int)(range.EndColumn - range.FirstColumn);
        // Walking along the rows of the output suits memory best; it is possible where all these panels of B are still near for the next
        // rows.
        bool alongRows = (long)columns * tile.Columns * k <= CachedFloats;
        (int outers, int inners) = alongRows ? (rows, columns) : (columns, rows);
        TileRequests requests = new() { Lines = workspace.Lines };
        TilePlace place = Place(range, 0, 0, k);
        for (int outer = 0; outer < outers; outer++)
        {
            for (int inner = 0; inner < inners; inner++)
            {
                TilePlace next = place;
                requests.Count = 0;
                (int nextOuter, int nextInner) = inner + 1 < inners ? (outer, inner + 1) : (outer + 1, 0);
                if (nextOuter < outers)
                {
                    next = alongRows ? Place(range, nextOuter, nextInner, k) : Place(range, nextInner, nextOuter, k);
                    // What the next tile will write to is asked for now: a multiplication is long enough for it to arrive.
                    requests.Count = output.Lines(requests.Lines, next.Row, next.EndRow, next.Column, tile.Columns, part == plan.Parts - 1);
                }
                AskForPanel(ref requests, range, alongRows, outer + 1, outers, inner, inners, k);
                tile.Multiply((int)(place.EndRow - place.Row), Columns(place), k, place.A, place.B, workspace.Tile, &requests);
                Write(place, part, workspace.Tile);
                place = next;
            }
        }
    }

    /// <summary>
    /// The panel after the one that the inner loop stays with comes from afar, and all at once: its share of it is asked for by every tile.
    /// </summary>
    private void AskForPanel(ref TileRequests requests, in TileRange range, bool ofA, int panel, int panels, int share, int shares, int k)
    {
        requests.Stream = (byte*)range.B;
        requests.StreamStep = 0;
        if (panel == panels) return;
        TilePlace place = ofA ? Place(range, panel, 0, k) : Place(range, 0, panel, k);
        long bytes = sizeof(float) * (ofA ? place.EndRow - place.Row : tile.Columns);
        requests.Stream = (byte*)(ofA ? place.A : place.B) + bytes * k * share / shares;
        requests.StreamStep = 2 * (bytes + shares - 1) / shares;
    }

    private TilePlace Place(in TileRange range, int rowPanel, int columnPanel, int k)
    {
        long row = plan.RowStart(range.FirstRow + rowPanel);
        return new TilePlace(
            row,
            plan.RowStart(range.FirstRow + rowPanel + 1),
            plan.ColumnStart(range.FirstColumn + columnPanel),
            range.A + (row - plan.RowStart(range.FirstRow)) * k,
            range.B + (long)columnPanel * tile.Columns * k);
    }

    private int Columns(in TilePlace place) => (int)Math.Min(tile.Columns, plan.N - place.Column);

    private void Write(in TilePlace place, int part, float* sums)
    {
        bool add = output.Accumulate || part > 0, last = part == plan.Parts - 1;
        output.Write(sums, tile.Columns, place.Row, (int)(place.EndRow - place.Row), place.Column, Columns(place), add, last);
    }

    private float* SharedPanel(int part, long panel) =>
        strip + (plan.PartStart(part) - firstStripK) * plan.SharedLanes + plan.SharedStart(panel) * plan.PartLength(part);

    /// <summary>Panels of rows and of columns whose products a thread computes, and where they lie packed.</summary>
    private readonly struct TileRange(long firstRow, long endRow, long firstColumn, long endColumn, float* a, float* b)
    {
        public long FirstRow { get; } = firstRow;

        public long EndRow { get; } = endRow;

        public long FirstColumn { get; } = firstColumn;

        public long EndColumn { get; } = endColumn;

        public float* A { get; } = a;

        public float* B { get; } = b;
    }

    /// <summary>One tile: its rows, its first column, its two panels.</summary>
    private readonly struct TilePlace(long row, long endRow, long column, float* a, float* b)
    {
        public long Row { get; } = row;

        public long EndRow { get; } = endRow;

        public long Column { get; } = column;

        public float* A { get; } = a;

        public float* B { get; } = b;
    }

    /// <summary>What one thread works in: a tile of sums and its packed block of the kept operand.</summary>
    private struct Workspace
    {
        private (long Block, int Part) packed = (-1, -1);

        public Workspace(HostThreads threads, int member, in GemmPlan plan)
        {
            byte* memory = (byte*)threads.ScratchOf(member, TileBufferBytes + plan.LargestBlock * plan.Depth * sizeof(float));
            Tile = (float*)memory;
            Lines = (float**)(memory + TileBufferBytes / 2);
            Block = (float*)(memory + TileBufferBytes);
        }

        public float* Tile { get; }

        public float** Lines { get; }

        public float* Block { get; }

        /// <summary>Whether the block is another than last time.</summary>
        public bool MustPack(long block, int part)
        {
            bool changed = packed != (block, part);
            packed = (block, part);
            return changed;
        }
    }
}
