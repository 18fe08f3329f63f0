namespace Patching.Kernels;

/// <summary>
/// The tile of a group of the tensor-core kernels. The larger it is, the less it reads per multiplication, from the L2 cache above all; the smaller, the more
/// evenly a matrix spreads over the multiprocessors.
/// </summary>
internal sealed class TileSize
{
    /// <summary>128 x 256, eight warps: 96 KiB of shared memory and all registers of a multiprocessor.</summary>
    public static readonly TileSize Wide = new(128, 256, full: 1, rest: [0], extraStages: 12);

    /// <summary>128 x 128, four warps, two groups to a multiprocessor.</summary>
    public static readonly TileSize Large = new(128, 128, full: 1.2, rest: [0, 0.7], extraStages: 8);

    /// <summary>64 x 64, four warps, three groups to a multiprocessor: a quarter of the work of a large group, at half its rate.</summary>
    public static readonly TileSize Small = new(64, 64, full: 0.75, rest: [0, 0.35, 0.55], extraStages: 8);

    private readonly double full;
    private readonly double[] rest;

    private TileSize(int rows, int columns, double full, double[] rest, int extraStages)
    {
        Rows = rows;
        Columns = columns;
        this.full = full;
        this.rest = rest;
        ExtraStages = extraStages;
    }

    /// <summary>Rows of the product that a group computes.</summary>
    public int Rows { get; }

    /// <summary>Columns of the product that a group computes.</summary>
    public int Columns { get; }

    /// <summary>Stages of the sum that take as long as what a group does before and after them.</summary>
    public int ExtraStages { get; }

    /// <summary>Groups that share a multiprocessor.</summary>
    public int Together => rest.Length;

    /// <summary>Threads of a group and its shared memory.</summary>
    public Gemm.ProductForm Form => new(Rows, Columns, AAlong: true, BAlong: true, Aligned: true);

    /// <summary>Time for a stage of <paramref name="groups"/> groups on one multiprocessor, as many at a time as it takes.</summary>
    public double Turns(int groups) => groups / Together * full + rest[groups % Together];
}
