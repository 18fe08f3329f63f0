using System.Globalization;
using System.Runtime.CompilerServices;
using System.Text;
using ILGPU.IR.Intrinsics;

namespace Patching.Kernels;

/// <summary>
/// The sums that a warp keeps in registers: 64 rows of 64 columns, 128 registers of each lane. A tile this large is what makes a tensor core fast: per step of
/// 16 along the sum a warp reads 128 rows of 32 bytes from shared memory for 32 instructions of 4096 operations each. (Half as wide, it would read three
/// quarters
/// as much for half the work, and shared memory would set the pace.)
/// </summary>
internal struct WarpTile
{
    /// <summary>Rows of a <see cref="WarpRow"/>.</summary>
    public const int RowBlock = 16;

    /// <summary>Columns of a tile.</summary>
    public const int Columns = 64;

    /// <summary>Bytes that <see cref="Stage"/> takes per <see cref="RowBlock"/> rows.</summary>
    public const int StagedBytes = RowBlock * Columns * sizeof(float);

    /// <summary>Rows 0 to 15.</summary>
    public WarpRow R0;

    /// <summary>Rows 16 to 31.</summary>
    public WarpRow R1;

    /// <summary>Rows 32 to 47.</summary>
    public WarpRow R2;

    /// <summary>Rows 48 to 63.</summary>
    public WarpRow R3;

    /// <summary>Adds the product of one step of 16 along the sum to the first <paramref name="rowBlocks"/> (1 or 4, a constant) blocks of 16 rows.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static WarpTile Multiply(WarpTile c, Fragments f, int rowBlocks)
    {
        c.R0 = WarpRow.Multiply(c.R0, f.A0, f.B0, f.B1, f.B2, f.B3);
        if (rowBlocks == 1) return c;
        c.R1 = WarpRow.Multiply(c.R1, f.A1, f.B0, f.B1, f.B2, f.B3);
        c.R2 = WarpRow.Multiply(c.R2, f.A2, f.B0, f.B1, f.B2, f.B3);
        c.R3 = WarpRow.Multiply(c.R3, f.A3, f.B0, f.B1, f.B2, f.B3);
        return c;
    }

    /// <summary>
    /// Writes the first two blocks of rows (or the only one) to shared memory, row-major, 256 bytes per row, to be read with <see cref="RowAccess.LoadStaged"/>. The
    /// instruction set
    /// spreads a row over the four lanes of a quad, two numbers each; global memory wants long rows. Columns are exchanged in groups of eight,
    /// <c>group ^ row % 4</c>, so that the 16 lanes whose words travel together (four rows) meet in no bank.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static void Stage(WarpTile c, uint memory, int lane, int rowBlocks)
    {
        uint place = StagePlace(lane);
        WarpRow.Stage(c.R0, memory, place);
        if (rowBlocks > 1) WarpRow.Stage(c.R1, memory + StagedBytes, place);
    }

    /// <summary>Where a lane's first two numbers of a block go.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint StagePlace(int lane)
    {
        uint row = (uint)lane >> 2, quad = (uint)lane & 3;
        return (row << 8) + ((row & 3) << 5) + (quad << 3);
    }

    /// <summary>The tile with its last two blocks of rows in the place of the first.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static WarpTile LowerHalf(WarpTile c)
    {
        c.R0 = c.R2;
        c.R1 = c.R3;
        return c;
    }

    /// <summary>Where in a row that <see cref="Stage"/> wrote four consecutive columns are, number <paramref name="four"/> (0 to 15).</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static uint StagedPlace(int row, int four) => (uint)((four << 4) ^ ((row & 3) << 5));
}

/// <summary>16 rows of 64 columns: eight accumulators of 16 x 8, in the order of the columns.</summary>
internal struct WarpRow
{
    /// <summary>Columns 0 to 7; the others follow.</summary>
    public Float4 C0, C1, C2, C3, C4, C5, C6, C7;

    /// <summary>Adds the product of 16 x 16 numbers of A and 16 x 64 of B.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static WarpRow Multiply(WarpRow c, Word4 a, Word4 b0, Word4 b1, Word4 b2, Word4 b3) => new()
    {
        C0 = TensorCore.Multiply(c.C0, a, b0.X, b0.Y),
        C1 = TensorCore.Multiply(c.C1, a, b0.Z, b0.W),
        C2 = TensorCore.Multiply(c.C2, a, b1.X, b1.Y),
        C3 = TensorCore.Multiply(c.C3, a, b1.Z, b1.W),
        C4 = TensorCore.Multiply(c.C4, a, b2.X, b2.Y),
        C5 = TensorCore.Multiply(c.C5, a, b2.Z, b2.W),
        C6 = TensorCore.Multiply(c.C6, a, b3.X, b3.Y),
        C7 = TensorCore.Multiply(c.C7, a, b3.Z, b3.W),
    };

    /// <summary>See <see cref="WarpTile.Stage"/>; <paramref name="place"/> is <see cref="WarpTile.StagePlace"/>.</summary>
    [IntrinsicImplementation, PtxWriter(typeof(WarpRow), nameof(StageText))]
    public static void Stage(WarpRow c, uint memory, uint place) => throw new NotSupportedException("a matrix in a warp's registers has no emulation on the simulator");

    private static string StageText(PtxCall call) => StoreText(i => $"$0[{i}]", "$1", "$2");

    /// <summary>
    /// Text that stores 32 numbers, named by <paramref name="register"/>. The addresses of the eight groups of columns are computed where they are used: as
    /// arguments each would be a register for the whole kernel.
    /// </summary>
    internal static string StoreText(Func<int, string> register, string memory, string place)
    {
        const int eightRows = 8 * WarpTile.Columns * sizeof(float);
        StringBuilder text = new("{ .reg .b32 %group;\n");
        for (int i = 0; i < 8; i++)
        {
            text.Append(CultureInfo.InvariantCulture, $"xor.b32 %group, {place}, {32 * i}; add.s32 %group, %group, {memory}; ");
            text.Append(CultureInfo.InvariantCulture, $"st.shared.v2.f32 [%group], {{{register(4 * i)}, {register(4 * i + 1)}}}; ");
            text.AppendLine(CultureInfo.InvariantCulture, $"st.shared.v2.f32 [%group+{eightRows}], {{{register(4 * i + 2)}, {register(4 * i + 3)}}};");
        }
        return text.Append('}').ToString();
    }
}

/// <summary>What a warp multiplies in one step of 16 along the sum: up to 64 rows of A, 16 each, and 64 columns of B, 16 each.</summary>
internal struct Fragments
{
    /// <summary>16 x 16 numbers of A each, as <see cref="TensorCore.Multiply"/> takes them.</summary>
    public Word4 A0, A1, A2, A3;

    /// <summary>16 x 16 numbers of B each: X and Y are the first eight columns, Z and W the other eight.</summary>
    public Word4 B0, B1, B2, B3;
}
