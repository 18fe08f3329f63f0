using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Kernels;

/// <summary>
/// Every register tile of the host, whatever this processor would choose: values, edges of the output, independence of the number of
/// threads.
/// </summary>
internal sealed class GemmTileTests
{
    private static readonly string[] Tiles =
    [
        nameof(GemmTile.Bits512), nameof(GemmTile.Bits512Wide), nameof(GemmTile.Bits256), nameof(GemmTile.Bits128),
        nameof(GemmTile.Bits128Tall),
    ];

    private readonly List<Arena> arenas = [];
    private Device device = null!;

    [OneTimeSetUp]
    public void OpenDevice() => device = Device.Open(DeviceKind.Host, 2);

    [OneTimeTearDown]
    public void CloseDevice() => device.Dispose();

    [TearDown]
    public void FreeTensors()
    {
        foreach (Arena arena in arenas) arena.Dispose();
        arenas.Clear();
    }

    [Test]
    public void EveryHeightOfATileIsRight([ValueSource(nameof(Tiles))] string name, [Values(1, 2, 77)] int k, [Values(0, 5)] int ahead)
    {
        GemmTile tile = Find(name);
        float[] elsewhere = new float[1024];
        for (int rows = 1; rows <= tile.MaxRows; rows++)
        {
            float[] a = Numbers(k * rows, rows), b = Numbers(k * tile.Columns, 99), c = new float[rows * tile.Columns + 1];
            Array.Fill(c, float.NaN);
            unsafe
            {
                fixed (float* pa = a, pb = b, pc = c, line = elsewhere)
                {
                    float** lines = (float**)line;
                    for (int i = 0; i < ahead; i++) lines[i] = line + 16 * i;
                    TileRequests requests = new() { Lines = lines, Count = ahead, Stream = (byte*)line, StreamStep = ahead };
                    tile.Multiply(rows, tile.Columns, k, pa, pb, pc, &requests);
                }
            }
            (double[] exact, float[] plain) =
                GemmReference.Product(rows, tile.Columns, k, (i, l) => a[l * rows + i], (l, j) => b[l * tile.Columns + j]);
            KernelTest.AssertClose(c[..^1], exact, [.. plain.Select(v => (double)v)], $"{rows} rows");
            Assert.That(c[^1], Is.NaN, "behind the tile");
        }
    }

    [Test]
    public void DotProductsAreRight(
        [ValueSource(nameof(Tiles))] string name, [Values(1, 3, 4, 8)] int columns, [Values(1, 15, 16, 67)] int k)
    {
        GemmTile tile = Find(name);
        for (int rows = 1; rows <= 8; rows++)
        {
            float[] x = Numbers(k * rows, rows), w = Numbers(k * columns, 98), c = new float[rows * tile.Columns];
            unsafe
            {
                fixed (float* px = x, pw = w, pc = c) tile.Dot(rows, columns, k, px, pw, pc);
            }
            (double[] exact, float[] plain) = GemmReference.Forward(x, w, rows, k, columns);
            float[] used = [.. Enumerable.Range(0, rows * columns).Select(i => c[i / columns * tile.Columns + i % columns])];
            KernelTest.AssertClose(used, exact, [.. plain.Select(v => (double)v)], $"{rows} rows");
        }
    }

    [Test]
    public void AllFormsAreRightAndStayInsideTheOutput(
        [ValueSource(nameof(Tiles))] string name, [Values("1 3 2", "50 61 67", "33 1700 45", "15 40 70", "150 33 90")] string shape)
    {
        GemmTile tile = Find(name);
        int[] extents = [.. shape.Split(' ').Select(int.Parse)];
        (int rows, int inputs, int outputs) = (extents[0], extents[1], extents[2]);
        float[] x = Numbers(rows * inputs, 1), w = Numbers(outputs * inputs, 2), dy = Numbers(rows * outputs, 3);
        Tensor tx = Tensor(x, rows, inputs), tw = Tensor(w, outputs, inputs), tdy = Tensor(dy, rows, outputs);

        Tensor y = Guarded(rows, outputs, float.NaN, out Tensor whole);
        Gemm.ForwardHost(device.Threads, tile, y, tx, tw, default);
        AssertInside(whole, y, GemmReference.Forward(x, w, rows, inputs, outputs), "y");

        y = Guarded(rows, outputs, float.NaN, out whole);
        int packedCount = (int)(Gemm.PackedBytes(outputs, inputs) / sizeof(float));
        PackedWeight packed = new(Tensor(new float[packedCount], packedCount), outputs, inputs);
        Gemm.PackHost(device.Threads, tile, packed, tw);
        Gemm.ForwardHost(device.Threads, tile, y, tx, packed, default);
        AssertInside(whole, y, GemmReference.Forward(x, w, rows, inputs, outputs), "y from packed weights");

        Tensor dx = Guarded(rows, inputs, float.NaN, out whole);
        Gemm.BackwardInputHost(device.Threads, tile, dx, tdy, tw, false, default, default);
        AssertInside(whole, dx, GemmReference.BackwardInput(dy, w, rows, inputs, outputs), "dx");

        Tensor dw = Guarded(outputs, inputs, 0, out whole);
        Gemm.BackwardWeightHost(device.Threads, tile, dw, default, tdy, tx);
        AssertInside(whole, dw, GemmReference.BackwardWeight(dy, x, rows, inputs, outputs), "dw");
    }

    [TestCase(140, 64)]
    [TestCase(64, 140)]
    public void ManyRowsAreSummedInStrips(int outputs, int inputs)
    {
        // A strip of the shared operand, the one with 64 lanes, holds 16 MiB.
        const int rows = 70_000;
        GemmPlan plan = new(outputs, inputs, rows, GemmTile.Bits256, 2);
        Assert.That(plan.PartsPerStrip, Is.LessThan(plan.Parts));
        Assert.That(plan.KeepsColumns, Is.EqualTo(inputs > outputs));
        Assert.That(plan.Blocks, Is.GreaterThan(1));
        float[] dy = Numbers(rows * outputs, 3), x = Numbers(rows * inputs, 1);
        Tensor dw = Guarded(outputs, inputs, 0, out Tensor whole), dbias = Tensor(new float[outputs], outputs);
        Gemm.BackwardWeightHost(device.Threads, GemmTile.Bits256, dw, dbias, Tensor(dy, rows, outputs), Tensor(x, rows, inputs));
        AssertInside(whole, dw, GemmReference.BackwardWeight(dy, x, rows, inputs, outputs), "dw");
        (double[] exact, float[] plain) = GemmReference.ColumnSums(dy, rows, outputs);
        KernelTest.AssertClose(dbias.ToArray(), exact, [.. plain.Select(v => (double)v)], "dbias");
    }

    [Test]
    public void TheNumberOfThreadsDoesNotChangeABit([Values(1, 5, 60, 400)] int rows)
    {
        // Sums in three parts and, from 400 rows on, blocks divided into groups that several threads compute in turn.
        const int inputs = 2100, outputs = 600;
        Tensor x = Tensor(Numbers(rows * inputs, 1), rows, inputs), w = Tensor(Numbers(outputs * inputs, 2), outputs, inputs);
        Tensor dy = Tensor(Numbers(rows * outputs, 3), rows, outputs);
        List<float[]> results = [];
        foreach (int threads in new[] { 1, 2, 3, 7 })
        {
            using HostThreads team = new(threads);
            Tensor y = Tensor(new float[rows * outputs], rows, outputs), dx = Tensor(new float[rows * inputs], rows, inputs);
            Tensor dw = Tensor(new float[outputs * inputs], outputs, inputs), dbias = Tensor(new float[outputs], outputs);
            Gemm.ForwardHost(team, GemmTile.Best, y, x, w, default);
            Gemm.BackwardInputHost(team, GemmTile.Best, dx, dy, w, false, default, default);
            Gemm.BackwardWeightHost(team, GemmTile.Best, dw, dbias, dy, x);
            results.Add([.. y.ToArray(), .. dx.ToArray(), .. dw.ToArray(), .. dbias.ToArray()]);
        }
        foreach (float[] other in results) Assert.That(other.AsSpan().SequenceEqual(results[0]));
    }

    [Test]
    public void PlansCoverEveryRowColumnAndPartOnce(
        [Values(1, 13, 14, 15, 800, 3200)] long m, [Values(1, 32, 33, 3072)] long n,
        [Values(1, 1024, 1025, 12850)] long k, [Values(1, 2, 16)] int threads, [Values] bool columnsPacked)
    {
        GemmPlan plan = new(m, n, k, GemmTile.Bits512, threads, columnsPacked);
        Assert.That(plan.KeepsColumns && columnsPacked, Is.False);
        Assert.That(Enumerable.Range(0, plan.Parts).Sum(part => (long)plan.PartLength(part)), Is.EqualTo(k));
        Assert.That(Enumerable.Range(0, plan.Parts).Select(plan.PartLength), Is.All.Positive);
        Assert.That(plan.BlockStart(plan.Blocks), Is.EqualTo(plan.KeptPanels));
        Assert.That(plan.GroupStart(plan.Groups), Is.EqualTo(plan.SharedPanels));
        Assert.That(plan.WholeBlocks + plan.DividedBlocks, Is.EqualTo(plan.Blocks));
        Assert.That(plan.DividedBlocks, Is.EqualTo(threads == 1 ? 0 : Math.Min(plan.Blocks, threads)));
        for (long group = 0; group < plan.Groups; group++) Assert.That(plan.GroupStart(group + 1), Is.GreaterThan(plan.GroupStart(group)));
        Assert.That(plan.RowStart(plan.RowPanels), Is.EqualTo(m));
        Assert.That(plan.ColumnStart(plan.ColumnPanels), Is.InRange(n, n + GemmTile.Bits512.Columns - 1));
        for (long block = 0; block < plan.Blocks; block++)
            Assert.That(plan.KeptStart(plan.BlockStart(block + 1)) - plan.KeptStart(plan.BlockStart(block)), Is.InRange(1, plan.LargestBlock));
        Assert.That(plan.LargestBlock, Is.LessThanOrEqualTo(GemmPlan.MostLanesPerBlock));
        for (long p = 0; p < plan.RowPanels; p++)
            Assert.That(plan.RowStart(p + 1) - plan.RowStart(p), Is.InRange(1, GemmTile.Bits512.MaxRows));
    }

    private static GemmTile Find(string name) => (GemmTile)typeof(GemmTile).GetField(name)!.GetValue(null)!;

    private static float[] Numbers(int count, int seed)
    {
        Random random = new(seed);
        return [.. Enumerable.Range(0, count).Select(_ => (float)(random.NextDouble() * 2 - 1))];
    }

    private Tensor Tensor(float[] values, params int[] extents)
    {
        Tensor tensor = default;
        arenas.Add(Arena.Allocate(device, "test", arena => tensor = arena.Take("tensor", extents)));
        tensor.CopyFrom(values);
        return tensor;
    }

    /// <summary>A matrix with one more row on either side, all filled with <paramref name="fill"/> inside and NaN outside.</summary>
    private Tensor Guarded(int rows, int columns, float fill, out Tensor whole)
    {
        float[] values = new float[(rows + 2) * columns];
        Array.Fill(values, float.NaN);
        values.AsSpan(columns, rows * columns).Fill(fill);
        whole = Tensor(values, rows + 2, columns);
        return whole.SliceRows(1, rows);
    }

    private static void AssertInside(Tensor whole, Tensor inside, (double[] Exact, float[] Plain) expected, string what)
    {
        KernelTest.AssertClose(inside.ToArray(), expected.Exact, [.. expected.Plain.Select(v => (double)v)], what);
        float[] all = whole.ToArray();
        Assert.That(all[..whole.Columns], Is.All.NaN, $"before {what}");
        Assert.That(all[^whole.Columns..], Is.All.NaN, $"behind {what}");
    }
}
