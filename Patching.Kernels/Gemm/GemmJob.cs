namespace Patching.Kernels;

/// <summary>One product on the host: packs, hands out units of work, runs the tiles. Made per launch, used once.</summary>
internal sealed unsafe class GemmJob(HostThreads threads, GemmTile tile, GemmPlan plan, GemmPanels a, GemmPanels b, GemmOutput output)
{
    private const int TileBufferBytes = 4096;

    private float* packedB;
    private long firstPackedK;
    private int nextUnit;

    /// <summary>Receives the sums of A's rows over k, or null.</summary>
    public float* RowSums { get; init; }

    /// <summary>Packs B strip by strip and multiplies.</summary>
    public void Run()
    {
        long rowBytes = plan.ColumnPanels * tile.Columns * sizeof(float);
        packedB = (float*)threads.ScratchOf(threads.Count, rowBytes * Math.Min(plan.K, (long)plan.PartsPerStrip * plan.Depth));
        for (int part = 0; part < plan.Parts; part += plan.PartsPerStrip)
        {
            int end = Math.Min(part + plan.PartsPerStrip, plan.Parts);
            firstPackedK = plan.PartStart(part);
            Pack(packedB, part, end);
            MultiplyParts(part, end);
        }
    }

    /// <summary>Multiplies with a B that <see cref="Pack(float*)"/> prepared.</summary>
    public void Run(float* packed)
    {
        packedB = packed;
        MultiplyParts(0, plan.Parts);
    }

    /// <summary>Packs all of B.</summary>
    public void Pack(float* packed)
    {
        packedB = packed;
        Pack(packed, 0, plan.Parts);
    }

    private void Pack(float* packed, int firstPart, int endPart) =>
        threads.For((endPart - firstPart) * plan.ColumnPanels, (first, end) =>
        {
            for (long i = first; i < end; i++)
            {
                int part = firstPart + (int)(i / plan.ColumnPanels);
                long panel = i % plan.ColumnPanels, lane = panel * tile.Columns;
                b.Pack(PanelOfB(part, panel), tile.Columns, lane, (int)Math.Min(tile.Columns, plan.N - lane), plan.PartStart(part), plan.PartLength(part));
            }
        });

    private void MultiplyParts(int firstPart, int endPart)
    {
        nextUnit = 0;
        threads.Run(member =>
        {
            byte* scratch = (byte*)threads.ScratchOf(member, TileBufferBytes + BlockBytes());
            // Which thread computes a unit is left to chance, what it computes is not.
            for (int unit; (unit = Interlocked.Increment(ref nextUnit) - 1) < plan.Units;)
            {
                for (int part = firstPart; part < endPart; part++)
                    MultiplyUnit(unit / plan.ColumnGroups, unit % plan.ColumnGroups, part, (float*)scratch, (float*)(scratch + TileBufferBytes));
            }
        });
    }

    private void MultiplyUnit(long block, long group, int part, float* buffer, float* packedA)
    {
        long firstPanel = plan.BlockStart(block), endPanel = plan.BlockStart(block + 1), firstRow = plan.RowStart(firstPanel);
        int k = plan.PartLength(part);
        for (long p = firstPanel; p < endPanel; p++)
        {
            int rows = Rows(p);
            a.Pack(packedA + (plan.RowStart(p) - firstRow) * k, rows, plan.RowStart(p), rows, plan.PartStart(part), k);
        }
        if (RowSums != null && group == 0) a.AddSums(RowSums, firstRow, (int)(plan.RowStart(endPanel) - firstRow), plan.PartStart(part), k);
        bool add = output.Accumulate || part > 0, last = part == plan.Parts - 1;
        for (long j = plan.GroupStart(group); j < plan.GroupStart(group + 1); j++)
        {
            float* panelB = PanelOfB(part, j);
            long column = j * tile.Columns;
            int columns = (int)Math.Min(tile.Columns, plan.N - column);
            for (long p = firstPanel; p < endPanel; p++)
            {
                long row = plan.RowStart(p);
                int rows = Rows(p);
                tile.Multiply(rows, k, packedA + (row - firstRow) * k, panelB, buffer);
                output.Write(buffer, tile.Columns, row, rows, column, columns, add, last);
            }
        }
    }

    private int Rows(long panel) => (int)(plan.RowStart(panel + 1) - plan.RowStart(panel));

    private float* PanelOfB(int part, long panel) =>
        packedB + (plan.PartStart(part) - firstPackedK) * plan.ColumnPanels * tile.Columns + panel * tile.Columns * plan.PartLength(part);

    private long BlockBytes()
    {
        long rows = 0;
        for (long block = 0; block < plan.RowBlocks; block++)
            rows = Math.Max(rows, plan.RowStart(plan.BlockStart(block + 1)) - plan.RowStart(plan.BlockStart(block)));
        return rows * plan.Depth * sizeof(float);
    }
}
