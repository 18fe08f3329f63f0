using NUnit.Framework;
using Patching.Kernels;
using Patching.Tests.Ptx;

namespace Patching.Tests.Kernels.Cuda;

/// <summary>The bfloat16 products on tensor cores and the single-precision ones, against double precision computed from the rounded inputs.</summary>
internal sealed class GemmCudaTests : CudaKernelTest
{
    private static readonly string[] TileNames = ["wide", "large", "small", "wgmma wide", "wgmma alternating"];

    private static readonly string[] KernelNames = [.. TileNames, "any"];

    private static readonly ActivationKind?[] Activations = [null, ActivationKind.QuickGelu, ActivationKind.Gelu];

    /// <summary>Rows, inputs, outputs: one tile, ragged in each extent, less than a stage, a single row, more stages than the ring has.</summary>
    private static readonly int[][] AlignedShapes =
    [
        [128, 64, 128], [131, 72, 136], [1, 8, 8], [3, 32, 264], [200, 200, 64], [129, 16, 8],
    ];

    /// <summary>Rows of 8 bytes (the patches of ViT-L/14 have 588 columns), of 4, of 2, odd outputs.</summary>
    private static readonly int[][] AnyShapes = [[65, 588, 64], [67, 44, 10], [5, 10, 67], [33, 7, 5], [1, 1, 1], [70, 96, 131]];

    private static IEnumerable<TestCaseData> Forms()
    {
        foreach (int[] shape in AlignedShapes)
        {
            foreach (string tile in TileNames) yield return Case(shape, tile);
        }
        foreach (int[] shape in AnyShapes) yield return Case(shape, "any");

        static TestCaseData Case(int[] shape, string tile) => new TestCaseData(shape, tile).SetArgDisplayNames(string.Join("x", shape), tile);
    }

    [TestCaseSource(nameof(Forms))]
    public void ForwardMatchesDoublePrecision(int[] shape, string tile)
    {
        Forward(shape, tile, new Parts(Rounded: false));
        Forward(shape, tile, new Parts(Bias: true, ActivationKind.QuickGelu, Save: true, Residual: true, Rounded: true));
    }

    [Test]
    public void EveryEpilogueMatchesDoublePrecision([ValueSource(nameof(KernelNames))] string tile)
    {
        foreach (bool bias in (bool[])[false, true])
        {
            foreach (ActivationKind? kind in Activations)
            {
                for (int i = 0; i < 8; i++)
                    Forward(tile != "any" ? [37, 40, 76] : [9, 40, 13], tile, new Parts(bias, kind, (i & 1) != 0, (i & 2) != 0, (i & 4) != 0));
            }
        }
    }

    [Test]
    public void AResidualCanBeTheOutput([ValueSource(nameof(TileNames))] string tile)
    {
        const int rows = 131, inputs = 40, outputs = 68;
        float[] x = Rounded(Normal(rows * inputs)), w = Rounded(Normal(outputs * inputs)), old = Normal(rows * outputs);
        Tensor y = Tensor(old, rows, outputs);
        Gemm.ForwardCuda(Device, y, BFloats(x, rows, inputs), BFloats(w, outputs, inputs), new GemmEpilogue { Residual = y }, Tile(tile));
        (double[] exact, float[] plain) = GemmReference.Forward(x, w, rows, inputs, outputs);
        AssertSum(y, exact, plain, old, "y");
    }

    [TestCaseSource(nameof(Forms))]
    public void BackwardInputMatchesDoublePrecision(int[] shape, string tile)
    {
        BackwardInput(shape, tile, rounded: false, accumulate: false, null);
        BackwardInput(shape, tile, rounded: true, accumulate: true, null);
        BackwardInput(shape, tile, rounded: true, accumulate: false, ActivationKind.QuickGelu);
    }

    [Test]
    public void EveryGradientEpilogueMatchesDoublePrecision([ValueSource(nameof(KernelNames))] string tile, [Values] bool rounded)
    {
        int[] shape = tile != "any" ? [37, 72, 40] : [9, 13, 37];
        foreach (bool accumulate in (bool[])[false, true]) BackwardInput(shape, tile, rounded, accumulate, null);
        foreach (ActivationKind kind in Enum.GetValues<ActivationKind>()) BackwardInput(shape, tile, rounded, accumulate: false, kind);
    }

    [TestCaseSource(nameof(Forms))]
    public void BackwardWeightMatchesDoublePrecision(int[] shape, string tile)
    {
        // The sum runs over the rows here: exchange the roles so that the shapes are as varied.
        (int inputs, int rows, int outputs) = (shape[2], shape[1], shape[0]);
        if (tile != "any") (inputs, outputs) = ((inputs + 7) / 8 * 8, (outputs + 7) / 8 * 8);
        BackwardWeight(rows, inputs, outputs, tile, hasBias: true, hasWorkspace: false);
        BackwardWeight(rows, inputs, outputs, tile, hasBias: false, hasWorkspace: false);
    }

    [TestCase(1024, 128, 128)]
    [TestCase(1055, 136, 144)]
    [TestCase(1500, 24, 8)]
    [TestCase(1061, 13, 67)]
    public void DividedSumsMatchDoublePrecision(int rows, int inputs, int outputs)
    {
        Assert.That(Gemm.WorkspaceLength(rows, outputs, inputs), Is.Positive);
        float[] once = BackwardWeight(rows, inputs, outputs, tile: null, hasBias: true, hasWorkspace: true);
        Seed();
        Assert.That(BackwardWeight(rows, inputs, outputs, tile: null, hasBias: true, hasWorkspace: true), Is.EqualTo(once), "the same bits again");
        BackwardWeight(rows, inputs, outputs, tile: null, hasBias: false, hasWorkspace: true);
    }

    [Test]
    public void LargeTilesAreTakenForLargeMatrices()
    {
        const int rows = 11 * 128 - 5, inputs = 32, outputs = 12 * 128;
        Device.TensorCores = TensorCores.MmaSync;
        Forward([rows, inputs, outputs], tile: null, new Parts(Bias: true));
        if (Driver is null) return;
        Assert.That(Launches[^1].Entry.Name, Does.Contain("LargeForward"));
        Assert.That((Launches[^1].Grid.X, Launches[^1].Grid.Y), Is.EqualTo((12, 11)));
    }

    [TearDown]
    public void LetTheDeviceChooseAgain() => (Device.TensorCores, Device.ResidentGroups) = (TensorCores.Best, Device.Accelerator.NumMultiprocessors);

    [Test]
    public void AGroupComputesOneTileAfterTheOther([Values("wgmma wide", "wgmma alternating")] string tile, [Values(1, 2)] int groups)
    {
        // Four or six tiles, sums of two stages and a bit: the ring is taken over from tile to tile in the middle of a round.
        Device.ResidentGroups = groups;
        Forward([200, 136, 264], tile, new Parts(Bias: true, ActivationKind.Gelu, Save: true, Residual: true, Rounded: true));
        BackwardInput([140, 264, 72], tile, rounded: false, accumulate: true, null);
        BackwardWeight(72, 264, 136, tile, hasBias: true, hasWorkspace: false);
        if (Driver is not null) Assert.That(Launches.Select(launch => launch.Grid.X), Has.All.EqualTo(groups));
    }

    [Test]
    public void WgmmaDividesSumsToo()
    {
        if (Device.ComputeCapability != new Version(9, 0)) Assert.Ignore("needs compute capability 9.0");
        Device.TensorCores = TensorCores.Wgmma;
        float[] once = BackwardWeight(1055, 136, 144, tile: null, hasBias: true, hasWorkspace: true);
        if (Driver is not null) Assert.That(Launches[0].Entry.Name, Does.Contain("_Wgmma"));
        Seed();
        // The same bits from a single group.
        Device.ResidentGroups = 1;
        Assert.That(BackwardWeight(1055, 136, 144, tile: null, hasBias: true, hasWorkspace: true), Is.EqualTo(once));
    }

    [Test]
    public void TheDeviceSaysWhichTensorCores()
    {
        if (Driver is null) Assert.Ignore("seen by the stand-in driver");
        float[] x = Rounded(Normal(8 * 8)), w = Rounded(Normal(8 * 8));
        foreach (TensorCores kind in Enum.GetValues<TensorCores>())
        {
            Device.TensorCores = kind;
            Gemm.Forward(Device, PoisonedBFloats(8, 8), BFloats(x, 8, 8), BFloats(w, 8, 8));
            Assert.That(Launches[^1].Entry.Name.Contains("_Wgmma", StringComparison.Ordinal), Is.EqualTo(kind == TensorCores.Wgmma), $"{kind}");
        }
        // Rows of 14 bytes are nothing for the copy engine.
        Gemm.Forward(Device, PoisonedBFloats(8, 7), BFloats(x.AsSpan(0, 56).ToArray(), 8, 7), BFloats(w.AsSpan(0, 49).ToArray(), 7, 7));
        Assert.That(Launches[^1].Entry.Name, Does.Contain("_AnyForward"));
    }

    [Test]
    public void LargeOffsetsLoseNoMoreThanPlainArithmetic([ValueSource(nameof(TileNames))] string tile)
    {
        const int rows = 9, inputs = 336, outputs = 36;
        float[] x = Rounded(Normal(rows * inputs, 1, 1000)), w = Rounded(Normal(outputs * inputs, 1, -50));
        Tensor y = Poisoned(rows, outputs);
        Gemm.ForwardCuda(Device, y, BFloats(x, rows, inputs), BFloats(w, outputs, inputs), default, Tile(tile));
        (double[] exact, float[] plain) = GemmReference.Forward(x, w, rows, inputs, outputs);
        AssertClose(y, exact, Precision.Wide(plain), "y");
    }

    [Test]
    public void NaNAndInfinityArriveWhereTheyBelong([ValueSource(nameof(TileNames))] string tile)
    {
        const int rows = 9, inputs = 24, outputs = 36;
        float[] x = Normal(rows * inputs), w = Normal(outputs * inputs);
        x[2 * inputs + 18] = float.NaN;
        w[33 * inputs + 3] = float.PositiveInfinity;
        Tensor y = PoisonedBFloats(rows, outputs);
        Gemm.ForwardCuda(Device, y, BFloats(x, rows, inputs), BFloats(w, outputs, inputs), default, Tile(tile));
        float[] values = Contents(y);
        for (int i = 0; i < values.Length; i++)
            Assert.That(float.IsFinite(values[i]), Is.EqualTo(i / outputs != 2 && i % outputs != 33), $"element {i}");
    }

    [TestCase(131, 37, 132)]
    [TestCase(5, 130, 4)]
    public void SinglePrecisionTilesMatchDoublePrecision(int rows, int inputs, int outputs)
    {
        float[] x = Normal(rows * inputs), w = Normal(outputs * inputs), dy = Normal(rows * outputs), old = Normal(outputs * rows);
        Tensor y = Poisoned(rows, outputs), tx = Tensor(x, rows, inputs), tw = Tensor(w, outputs, inputs);
        Gemm.Forward(Device, y, tx, tw);
        (double[] exact, float[] plain) = GemmReference.Forward(x, w, rows, inputs, outputs);
        AssertClose(y, exact, Precision.Wide(plain), "y");

        // dx [rows, outputs] = a [rows, inputs] b [inputs, outputs]; dw [inputs, outputs] += a [rows, inputs]T dy [rows, outputs].
        float[] b = Normal(inputs * outputs), oldWeight = Normal(inputs * outputs), oldBias = Normal(inputs);
        Tensor dx = Tensor(old, rows, outputs), dw = Tensor(oldWeight, inputs, outputs), dbias = Tensor(oldBias, inputs);
        Gemm.BackwardInput(Device, dx, tx, Tensor(b, inputs, outputs), accumulate: true);
        Gemm.BackwardWeight(Device, dw, dbias, tx, Tensor(dy, rows, outputs));
        (exact, plain) = GemmReference.BackwardInput(x, b, rows, outputs, inputs);
        AssertSum(dx, exact, plain, old, "dx");
        (exact, plain) = GemmReference.BackwardWeight(x, dy, rows, outputs, inputs);
        AssertSum(dw, exact, plain, oldWeight, "dw");
        (exact, plain) = GemmReference.ColumnSums(x, rows, inputs);
        AssertSum(dbias, exact, plain, oldBias, "dbias");
        if (Driver is not null) Assert.That(Launches.Count(launch => launch.Entry.Name.Contains("Float", StringComparison.Ordinal)), Is.EqualTo(3));
    }

    [Test]
    public void SharedAndGlobalMemoryAreUsedAsDesigned([ValueSource(nameof(TileNames))] string tile)
    {
        if (Driver is null) Assert.Ignore("counted by the interpreter");
        TileSize size = Tile(tile)!;
        int rows = size.Rows, columns = size.Columns, steps = 128;
        Tensor x = BFloats(Normal(rows * steps), rows, steps), w = BFloats(Normal(columns * steps), columns, steps);
        Tensor sum = Tensor(Normal(rows * columns), rows, columns), bias = Tensor(Normal(columns), columns);
        Tensor y = PoisonedBFloats(rows, columns), saved = PoisonedBFloats(rows, columns);
        GemmEpilogue epilogue = new() { Bias = bias, Activation = ActivationKind.QuickGelu, PreActivation = saved, Residual = sum };
        Gemm.ForwardCuda(Device, y, x, w, epilogue, size);
        Gemm.BackwardInputCuda(Device, y, x, w.Reshape(steps, columns), false, saved, ActivationKind.Gelu, size);
        Gemm.BackwardWeightCuda(Device, sum, default, x.Reshape(steps, rows), w.Reshape(steps, columns), default, size);
        Device.Synchronize();
        Assert.That(Launches, Has.Count.EqualTo(3));
        foreach (StandInLaunch launch in Launches)
        {
            LaunchStatistics statistics = launch.Statistics;
            Assert.That(statistics.BankConflicts, Is.Zero, statistics.Report);
            Assert.That(statistics.ExtraSectors, Is.Zero, statistics.Report);
            // Instructions of a warp: 16 rows of 8 columns, or its quarter of 64 rows of a whole tile.
            InstructionClass products = size.UsesWgmma ? InstructionClass.Wgmma : InstructionClass.Mma;
            Assert.That(statistics.Count(products), Is.EqualTo(rows / 16 * (size.UsesWgmma ? 1 : columns / 8) * (steps / 16)), statistics.Report);
        }
    }

    [Test]
    public void SizesAreCutToKeepAnH100Busy()
    {
        // Batch 128, ViT-B/32: 6400 rows.
        Assert.That(new ProductSize(6400, 768, 768).BestTile(TensorCores.MmaSync), Is.SameAs(TileSize.Large));
        Assert.That(new ProductSize(6400, 768, 3072).BestTile(TensorCores.MmaSync), Is.SameAs(TileSize.Large));
        Assert.That(new ProductSize(32896, 4096, 1024).BestTile(TensorCores.MmaSync), Is.SameAs(TileSize.Wide));
        Assert.That(new ProductSize(128, 512, 768).BestTile(TensorCores.MmaSync), Is.SameAs(TileSize.Small));
        Assert.That(new ProductSize(6400, 3072, 768).BestTile(TensorCores.Best), Is.SameAs(TileSize.WgmmaWide).Or.SameAs(TileSize.WgmmaAlternating));
        Assert.That(new ProductSize(128, 512, 768).BestTile(TensorCores.Best), Is.SameAs(TileSize.Small));
        Assert.That(new ProductSize(768, 768, 6400).Parts(TileSize.Large), Is.EqualTo(3));
        Assert.That(Gemm.WorkspaceLength(6400, 768, 768), Is.EqualTo(3L * 768 * 769));
        Assert.That(Gemm.WorkspaceLength(8, 768, 768), Is.Zero);
        Assert.That(new ProductSize(4096, 1024, 32896).Parts(TileSize.Large), Is.LessThanOrEqualTo(2));
        for (int k = 1; k < 3000; k += 7)
        {
            foreach (TileSize tile in TileSize.All)
            {
                int parts = new ProductSize(100, 100, k).Parts(tile), stages = (k + tile.Depth - 1) / tile.Depth, each = (stages + parts - 1) / parts;
                Assert.That(each * (parts - 1), Is.LessThan(stages), $"no part is empty: {k}");
            }
        }
    }

    [Test]
    public void WrongTypesAreRefused()
    {
        Tensor y = Poisoned(8, 8), x = PoisonedBFloats(8, 8), bytes = PoisonedBFloats(8), floats = Poisoned(8);
        Assert.That(() => Gemm.Forward(Device, y, x, y), Throws.ArgumentException);
        Assert.That(() => Gemm.Forward(Device, y, y, x), Throws.ArgumentException);
        Assert.That(() => Gemm.Forward(Device, x, x, x, new GemmEpilogue { Bias = bytes }), Throws.ArgumentException);
        Assert.That(() => Gemm.Forward(Device, x, x, x, new GemmEpilogue { Residual = x }), Throws.ArgumentException);
        Assert.That(() => Gemm.Forward(Device, x, x, x, new GemmEpilogue { PreActivation = y }), Throws.ArgumentException);
        Assert.That(() => Gemm.BackwardInput(Device, x, x, y), Throws.ArgumentException);
        Assert.That(() => Gemm.BackwardWeight(Device, x, floats, x, x), Throws.ArgumentException);
        Assert.That(() => Gemm.BackwardWeight(Device, y, bytes, x, x), Throws.ArgumentException);
        Tensor tall = PoisonedBFloats(1024, 8);
        Assert.That(() => Gemm.BackwardWeight(Device, y, default, tall, tall, floats), Throws.ArgumentException.With.Message.Contains("workspace"));
    }

    private void Forward(int[] shape, string? tile, Parts parts)
    {
        (int rows, int inputs, int outputs) = (shape[0], shape[1], shape[2]);
        float[] x = Rounded(Normal(rows * inputs)), w = Rounded(Normal(outputs * inputs)), b = Normal(outputs), r = Normal(rows * outputs);
        Tensor y = Output(parts.Rounded, rows, outputs);
        GemmEpilogue epilogue = new()
        {
            Bias = parts.Bias ? Tensor(b, outputs) : default,
            Activation = parts.Activation,
            PreActivation = parts.Save ? PoisonedBFloats(rows, outputs) : default,
            Residual = parts.Residual ? Tensor(r, rows, outputs) : default,
        };
        Gemm.ForwardCuda(Device, y, BFloats(x, rows, inputs), BFloats(w, outputs, inputs), epilogue, Tile(tile));
        (double[] exact, float[] plain) = GemmReference.Forward(x, w, rows, inputs, outputs);
        float[]? bias = parts.Bias ? b : null, residual = parts.Residual ? r : null;
        (double[] exactBefore, double[] exactY) = GemmReference.Finish(exact, outputs, bias, parts.Activation, residual, v => v);
        (double[] plainBefore, double[] plainY) = GemmReference.Finish(Precision.Wide(plain), outputs, bias, parts.Activation, residual, v => (float)v);
        AssertClose(y, exactY, plainY, $"y {parts}");
        if (parts.Save) AssertClose(epilogue.PreActivation, exactBefore, plainBefore, $"pre-activation {parts}");
    }

    private void BackwardInput(int[] shape, string tile, bool rounded, bool accumulate, ActivationKind? kind)
    {
        (int rows, int inputs, int outputs) = (shape[0], shape[1], shape[2]);
        if (tile != "any") inputs = (inputs + 7) / 8 * 8;
        float[] dy = Rounded(Normal(rows * outputs)), w = Rounded(Normal(outputs * inputs)), saved = Rounded(Normal(rows * inputs, 2));
        float[] old = Normal(rows * inputs);
        if (rounded) old = Rounded(old);
        Tensor dx = !accumulate ? Output(rounded, rows, inputs) : rounded ? BFloats(old, rows, inputs) : Tensor(old, rows, inputs);
        Tensor preActivation = kind is null ? default : BFloats(saved, rows, inputs);
        Gemm.BackwardInputCuda(
            Device, dx, BFloats(dy, rows, outputs), BFloats(w, outputs, inputs), accumulate, preActivation, kind ?? ActivationKind.Gelu, Tile(tile));
        (double[] exact, float[] plain) = GemmReference.BackwardInput(dy, w, rows, inputs, outputs);
        if (kind is { } function)
        {
            exact = [.. exact.Zip(saved, (s, v) => s * ActivationReference.Derivative(v, function))];
            plain = [.. plain.Zip(saved, (s, v) => s * ActivationReference.PlainDerivative(v, function))];
        }
        AssertSum(dx, exact, plain, accumulate ? old : new float[old.Length], $"dx {(kind is null ? accumulate ? "accumulated" : "" : kind)}");
    }

    private float[] BackwardWeight(int rows, int inputs, int outputs, string? tile, bool hasBias, bool hasWorkspace)
    {
        float[] dy = Rounded(Normal(rows * outputs)), x = Rounded(Normal(rows * inputs)), oldWeight = Normal(outputs * inputs), oldBias = Normal(outputs);
        Tensor dw = Tensor(oldWeight, outputs, inputs), dbias = hasBias ? Tensor(oldBias, outputs) : default;
        Tensor workspace = hasWorkspace ? Poisoned(checked((int)Gemm.WorkspaceLength(rows, outputs, inputs))) : default;
        Gemm.BackwardWeightCuda(Device, dw, dbias, BFloats(dy, rows, outputs), BFloats(x, rows, inputs), workspace, Tile(tile));
        (double[] exact, float[] plain) = GemmReference.BackwardWeight(dy, x, rows, inputs, outputs);
        AssertSum(dw, exact, plain, oldWeight, "dw");
        if (!hasBias) return Contents(dw);
        (exact, plain) = GemmReference.ColumnSums(dy, rows, outputs);
        AssertSum(dbias, exact, plain, oldBias, "dbias");
        return [.. Contents(dw), .. Contents(dbias)];
    }

    private void AssertSum(Tensor actual, double[] exact, float[] plain, float[] old, string what) =>
        AssertClose(actual, [.. exact.Zip(old, (s, o) => s + o)], [.. plain.Zip(old, (s, o) => (double)(s + o))], what);

    private TileSize? Tile(string? name)
    {
        if (name is null or "any") return null;
        TileSize tile = TileSize.All[Array.IndexOf(TileNames, name)];
        if (tile.UsesWgmma && Device.ComputeCapability != new Version(9, 0)) Assert.Ignore("needs compute capability 9.0");
        return tile;
    }

    private Tensor Output(bool rounded, int rows, int columns) => rounded ? PoisonedBFloats(rows, columns) : Poisoned(rows, columns);

    /// <summary>Which parts an epilogue has, and whether the output is bfloat16.</summary>
    private readonly record struct Parts(
        bool Bias = false, ActivationKind? Activation = null, bool Save = false, bool Residual = false, bool Rounded = false);
}
