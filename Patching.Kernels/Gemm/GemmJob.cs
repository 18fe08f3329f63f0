namespace Patching.Kernels;

/// <summary>One product on the host: packs, hands out units of work, runs the tiles. Made per launch, used once.</summary>
internal sealed unsafe class GemmJob(HostThreads threads, GemmTile tile, GemmPlan plan, GemmPanels a, GemmPanels b, GemmOutput output)
{
    // A tile of 14 x 32 sums in the first half, the addresses asked for ahead in the second.
    private const int TileBufferBytes = 4096;

    // Floats of B that stay in a core's own cache while the tiles of a row block pass over them.
    private const long CachedFloats = 192 << 10;

    private float* packedB;
    private long firstPackedK;
    private long nextUnit;

    /// <summary>Receives the sums of A's rows over k (accumulates), or null.</summary>
    public float* RowSums { get; init; }

    /// <summary>
    /// Packs B and multiplies: each thread the panels it needs when nobody else needs them, otherwise all together strip by strip.
    /// </summary>
    public void Run()
    {
        if (plan.RowBlocks == 1)
        {
            Multiply(0, plan.Parts, packing: true);
            return;
        }
        long rowBytes = plan.ColumnPanels * tile.Columns * sizeof(float);
        packedB = (float*)threads.ScratchOf(threads.Count, rowBytes * Math.Min(plan.K, (long)plan.PartsPerStrip * plan.Depth));
        for (int part = 0; part < plan.Parts; part += plan.PartsPerStrip)
        {
            int end = Math.Min(part + plan.PartsPerStrip, plan.Parts);
            firstPackedK = plan.PartStart(part);
            PackParts(part, end);
            Multiply(part, end, packing: false);
        }
    }

    /// <summary>Multiplies with a B that <see cref="Pack(float*)"/> prepared.</summary>
    public void Run(float* packed)
    {
        packedB = packed;
        Multiply(0, plan.Parts, packing: false);
    }

    /// <summary>Packs all of B.</summary>
    public void Pack(float* packed)
    {
        packedB = packed;
        PackParts(0, plan.Parts);
    }

    private void PackParts(int firstPart, int endPart)
    {
        long groups = (plan.ColumnPanels + b.PanelsTogether - 1) / b.PanelsTogether;
        threads.For((endPart - firstPart) * groups, (first, end) =>
        {
            for (long i = first; i < end; i++)
            {
                int part = firstPart + (int)(i / groups);
                long panel = i % groups * b.PanelsTogether;
                PackPanels(PackedPanel(part, panel), part, panel, Math.Min(panel + b.PanelsTogether, plan.ColumnPanels));
            }
        });
    }

    private void PackPanels(float* target, int part, long panel, long end)
    {
        Span<long> edges = stackalloc long[(int)(end - panel) + 1];
        for (int i = 0; i < edges.Length; i++) edges[i] = (panel + i) * tile.Columns;
        b.Pack(target, edges, plan.PartStart(part), plan.PartLength(part));
    }

    private void Multiply(int firstPart, int endPart, bool packing)
    {
        nextUnit = 0;
        threads.Run(member =>
        {
            Workspace workspace = new(threads, member, plan, packing ? b.PanelsTogether * tile.Columns : 0);
            // Which thread computes a unit is left to chance, what it computes is not.
            for (long unit; (unit = Interlocked.Increment(ref nextUnit) - 1) < plan.Units;)
            {
                for (int part = firstPart; part < endPart; part++)
                    MultiplyUnit(unit / plan.ColumnGroups, unit % plan.ColumnGroups, part, ref workspace);
            }
        });
    }

    private void MultiplyUnit(long block, long group, int part, ref Workspace workspace)
    {
        Span<long> rows = stackalloc long[(int)(plan.BlockStart(block + 1) - plan.BlockStart(block)) + 1];
        for (int i = 0; i < rows.Length; i++) rows[i] = plan.RowStart(plan.BlockStart(block) + i);
        if (workspace.MustPack(block, part)) a.Pack(workspace.BlockOfA, rows, plan.PartStart(part), plan.PartLength(part));
        if (RowSums != null && group == 0) AddRowSums(rows, plan.PartLength(part), workspace.BlockOfA);
        long firstPanel = plan.GroupStart(group), endPanel = plan.GroupStart(group + 1);
        if (workspace.PanelsOfB == null)
        {
            MultiplyPanels(rows, firstPanel, endPanel, part, workspace, PackedPanel(part, firstPanel));
            return;
        }
        for (long panel = firstPanel; panel < endPanel; panel += b.PanelsTogether)
        {
            long end = Math.Min(panel + b.PanelsTogether, endPanel);
            PackPanels(workspace.PanelsOfB, part, panel, end);
            MultiplyPanels(rows, panel, end, part, workspace, workspace.PanelsOfB);
        }
    }

    private void AddRowSums(ReadOnlySpan<long> rows, int k, float* blockOfA)
    {
        for (int i = 0; i + 1 < rows.Length; i++)
            GemmPanels.AddSums(RowSums + rows[i], blockOfA + (rows[i] - rows[0]) * k, (int)(rows[i + 1] - rows[i]), k);
    }

    private void MultiplyPanels(ReadOnlySpan<long> rows, long firstPanel, long endPanel, int part, in Workspace workspace, float* panelsOfB)
    {
        long k = plan.PartLength(part);
        int rowPanels = rows.Length - 1, columnPanels = (int)(endPanel - firstPanel), tiles = rowPanels * columnPanels;
        // Walking along the rows of the output suits memory best; it is possible where all these panels of B are still near for the next
        // rows.
        bool alongRows = columnPanels * tile.Columns * k <= CachedFloats;
        for (int t = 0; t < tiles; t++)
        {
            (int i, int j) = Position(t, rowPanels, columnPanels, alongRows);
            (int nextI, int nextJ) = Position(t + 1, rowPanels, columnPanels, alongRows);
            // What the next tile will write to is asked for now: a multiplication is long enough for it to arrive.
            int ahead = t + 1 == tiles ? 0 : output.Lines(
                workspace.Ahead, rows[nextI], rows[nextI + 1], (firstPanel + nextJ) * tile.Columns, tile.Columns, part == plan.Parts - 1);
            float* panelOfA = workspace.BlockOfA + (rows[i] - rows[0]) * k, panelOfB = panelsOfB + j * tile.Columns * k;
            tile.Multiply((int)(rows[i + 1] - rows[i]), k, panelOfA, panelOfB, workspace.Tile, workspace.Ahead, ahead);
            Write(rows[i], rows[i + 1], firstPanel + j, part, workspace.Tile);
        }
    }

    private void Write(long row, long endRow, long panel, int part, float* sums)
    {
        long column = panel * tile.Columns;
        int columns = (int)Math.Min(tile.Columns, plan.N - column);
        bool add = output.Accumulate || part > 0, last = part == plan.Parts - 1;
        output.Write(sums, tile.Columns, row, (int)(endRow - row), column, columns, add, last);
    }

    private static (int Row, int Column) Position(int index, int rows, int columns, bool alongRows) =>
        alongRows ? (index / columns, index % columns) : (index % rows, index / rows);

    private float* PackedPanel(int part, long panel) =>
        packedB + (plan.PartStart(part) - firstPackedK) * plan.ColumnPanels * tile.Columns + panel * tile.Columns * plan.PartLength(part);

    /// <summary>
    /// What one thread works in: a tile of sums, its packed block of A and, where it packs them itself, some panels of B.
    /// </summary>
    private struct Workspace
    {
        private (long Block, int Part) packed = (-1, -1);

        public Workspace(HostThreads threads, int member, in GemmPlan plan, int columnsOfB)
        {
            long floatsOfA = plan.LargestBlock * plan.Depth, floatsOfB = (long)columnsOfB * plan.Depth;
            byte* memory = (byte*)threads.ScratchOf(member, TileBufferBytes + (floatsOfA + floatsOfB) * sizeof(float));
            Tile = (float*)memory;
            Ahead = (float**)(memory + TileBufferBytes / 2);
            BlockOfA = (float*)(memory + TileBufferBytes);
            PanelsOfB = columnsOfB > 0 ? BlockOfA + floatsOfA : null;
        }

        public float* Tile { get; }

        public float** Ahead { get; }

        public float* BlockOfA { get; }

        public float* PanelsOfB { get; }

        /// <summary>Whether the block of A is another than last time.</summary>
        public bool MustPack(long block, int part)
        {
            bool changed = packed != (block, part);
            packed = (block, part);
            return changed;
        }
    }
}
