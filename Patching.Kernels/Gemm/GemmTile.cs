using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;

namespace Patching.Kernels;

/// <summary>
/// The innermost block of a product: <see cref="MaxRows"/> x <see cref="Columns"/> sums that stay in vector registers while the common
/// index runs. Two or three vectors wide and as high as the register file allows: of 32 registers 27 or 28 hold sums, the others a row of B
/// and an element of A, so every number loaded is used about twice. The kernels are written once (<c>GemmTile.Kernels.cs</c>) and compiled
/// per vector width, rows and vectors.
/// </summary>
internal sealed unsafe partial class GemmTile
{
    /// <summary>Columns of the widest tile; a multiple of the columns of all others.</summary>
    public const int WidestColumns = 96;

    /// <summary>Sixteen lanes, 32 registers, 14 x 32: reads the least of B, which comes from afar.</summary>
    public static readonly GemmTile Bits512 = Create<Lanes16, Vector512<float>, Number2>(14);

    /// <summary>
    /// Sixteen lanes, 32 registers, 9 x 48: a tenth fewer instructions per multiplication, where those are scarce. An Intel core starts six
    /// a cycle, three for each of two threads that share it.
    /// </summary>
    public static readonly GemmTile Bits512Wide = Create<Lanes16, Vector512<float>, Number3>(9);

    /// <summary>Eight lanes, 16 registers.</summary>
    public static readonly GemmTile Bits256 = Create<Lanes8, Vector256<float>, Number2>(6);

    /// <summary>Four lanes, 16 registers: x86 without AVX2.</summary>
    public static readonly GemmTile Bits128 = Create<Lanes4, Vector128<float>, Number2>(6);

    /// <summary>Four lanes, 32 registers: Arm.</summary>
    public static readonly GemmTile Bits128Tall = Create<Lanes4, Vector128<float>, Number2>(12);

    /// <summary>The tile for this processor.</summary>
    public static readonly GemmTile Best =
        Vector512.IsHardwareAccelerated ? HostProcessor.IsIntel ? Bits512Wide : Bits512
        : Vector256.IsHardwareAccelerated ? Bits256
        : AdvSimd.IsSupported ? Bits128Tall
        : Bits128;

    private readonly delegate*<long, float*, float*, float*, TileRequests*, void>[][] multiply;
    private readonly delegate*<long, float*, float*, long, float*, long, void>[] dot;

    private GemmTile(
        int lanes,
        int vectors,
        int maxRows,
        delegate*<long, float*, float*, float*, TileRequests*, void>[][] multiply,
        delegate*<long, float*, float*, long, float*, long, void>[] dot)
    {
        Lanes = lanes;
        Columns = vectors * lanes;
        MaxRows = maxRows;
        this.multiply = multiply;
        this.dot = dot;
    }

    /// <summary>Floats per vector.</summary>
    public int Lanes { get; }

    /// <summary>Most rows of a tile.</summary>
    public int MaxRows { get; }

    /// <summary>Columns of a tile: two or three vectors.</summary>
    public int Columns { get; }

    /// <summary>
    /// Writes the product of two panels: <c>tile[r, c] = sum over k of a[k, r] b[k, c]</c>, row length <see cref="Columns"/>. Whole vectors
    /// without a wanted column are left as they are.
    /// </summary>
    /// <param name="rows">1 to <see cref="MaxRows"/>; also the row length of <paramref name="a"/>.</param>
    /// <param name="columns">Columns wanted, 1 to <see cref="Columns"/>.</param>
    /// <param name="k">Length of the sums, at least 1.</param>
    /// <param name="a">[k, rows].</param>
    /// <param name="b">[k, <see cref="Columns"/>].</param>
    /// <param name="tile">[rows, <see cref="Columns"/>].</param>
    /// <param name="requests">What to ask memory for meanwhile.</param>
    public void Multiply(int rows, int columns, long k, float* a, float* b, float* tile, TileRequests* requests) =>
        multiply[(columns - 1) / Lanes][rows](k, a, b, tile, requests);

    /// <summary>
    /// Writes <c>tile[r, c] = sum over k of x[r, k] w[c, k]</c> straight from row-major matrices, vectors running along k. Nothing is
    /// packed, but every multiplication needs more loads than in <see cref="Multiply"/>: the way for a handful of rows.
    /// </summary>
    public void Dot(int rows, int columns, long k, float* x, float* w, float* tile)
    {
        long whole = k / Lanes * Lanes;
        for (int c = 0; c < columns && columns >= DotColumns; c += DotColumns)
        {
            // The last group of columns starts early enough to be whole; sums it shares with its neighbour come out the same.
            int first = Math.Min(c, columns - DotColumns);
            for (int r = 0; r < rows; r += DotRows)
                dot[Math.Min(rows - r, DotRows)](whole, x + r * k, w + first * k, k, tile + r * Columns + first, Columns);
        }
        AddRemainder(rows, columns, columns >= DotColumns ? whole : 0, k, x, w, tile);
    }

    private void AddRemainder(int rows, int columns, long first, long k, float* x, float* w, float* tile)
    {
        for (int r = 0; r < rows && first < k; r++)
        {
            for (int c = 0; c < columns; c++)
            {
                float sum = first == 0 ? 0 : tile[r * Columns + c];
                for (long i = first; i < k; i++) sum += x[r * k + i] * w[c * k + i];
                tile[r * Columns + c] = sum;
            }
        }
    }
}
