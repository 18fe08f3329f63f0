namespace Patching.Kernels;

/// <summary>
/// The tile of a group of the tensor-core kernels, and how long groups of it take. The larger it is, the less it reads per multiplication, from the L2 cache
/// above all; the smaller, the more evenly a matrix spreads over the multiprocessors. Times are in the unit of <see cref="ProductSize"/>.
/// </summary>
internal sealed class TileSize
{
    /// <summary>128 x 256, eight warps: 96 KiB of shared memory and all registers of a multiprocessor.</summary>
    public static readonly TileSize Wide = new(128, 256, MmaSync(full: 1, rest: [0], extraStages: 12), together: 1);

    /// <summary>128 x 128, four warps, two groups to a multiprocessor.</summary>
    public static readonly TileSize Large = new(128, 128, MmaSync(full: 1.2, rest: [0, 0.7], extraStages: 8), together: 2);

    /// <summary>64 x 64, four warps, three groups to a multiprocessor: a quarter of the work of a large group, at half its rate.</summary>
    public static readonly TileSize Small = new(64, 64, MmaSync(full: 0.75, rest: [0, 0.35, 0.55], extraStages: 8), together: 3);

    /// <summary>128 x 256 by two warpgroups together. Nobody multiplies while they write the tile, though copies for the next one go on.</summary>
    public static readonly TileSize WgmmaWide = new(128, 256, (tiles, stages) => tiles * (0.66 * stages + 7), together: 1) { UsesWgmma = true };

    /// <summary>
    /// 128 x 128 by one warpgroup, while the other writes the tile before: a tile takes the longer of multiplying and half of both. It reads a third more for a
    /// multiplication than the wide one.
    /// </summary>
    public static readonly TileSize WgmmaAlternating =
        new(128, 128, (tiles, stages) => tiles * Math.Max(0.36 * stages, (0.36 * stages + 7) / 2) + 5, together: 1) { UsesWgmma = true };

    /// <summary>Every tile there is.</summary>
    public static readonly IReadOnlyList<TileSize> All = [Wide, Large, Small, WgmmaWide, WgmmaAlternating];

    private readonly Func<int, double, double> time;

    private TileSize(int rows, int columns, Func<int, double, double> time, int together)
    {
        Rows = rows;
        Columns = columns;
        this.time = time;
        Together = together;
    }

    /// <summary>Rows of the product that a group computes.</summary>
    public int Rows { get; }

    /// <summary>Columns of the product that a group computes.</summary>
    public int Columns { get; }

    /// <summary>Groups that share a multiprocessor.</summary>
    public int Together { get; }

    /// <summary>Whether the instructions are <see cref="Wgmma"/>'s: a group then stays on its multiprocessor and computes one tile after the other.</summary>
    public bool UsesWgmma { get; private init; }

    /// <summary>Steps of the sum in a stage of the pipeline.</summary>
    public int Depth => UsesWgmma ? Gemm.WgmmaForm.Depth : OperandTile.Depth;

    /// <summary>Threads of a group and its shared memory, for the instructions of a warp.</summary>
    public Gemm.ProductForm Form => new(Rows, Columns, AAlong: true, BAlong: true, Aligned: true);

    /// <summary>The same for those of a warpgroup.</summary>
    public Gemm.WgmmaForm WgmmaForm => new(Rows, Columns, IsAlternating: this == WgmmaAlternating, TransposeA: 0, TransposeB: 0);

    /// <summary>Estimated time of so many tiles on one multiprocessor, each with a sum of so many stages of 32 steps.</summary>
    public double Time(int tiles, double stages) => time(tiles, stages);

    /// <summary>
    /// As many groups at a time as share a multiprocessor, in <paramref name="full"/> a stage; fewer in one of <paramref name="rest"/>. What a group does before
    /// and after its sum takes as long as <paramref name="extraStages"/>.
    /// </summary>
    private static Func<int, double, double> MmaSync(double full, double[] rest, int extraStages) =>
        (tiles, stages) => (tiles / rest.Length * full + rest[tiles % rest.Length]) * (stages + extraStages);
}
