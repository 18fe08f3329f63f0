using System.Globalization;
using System.Text;
using ILGPU.IR.Intrinsics;

namespace Patching.Kernels;

/// <summary>Four rows of four columns in single precision, two rows apart: what a lane works on at a time, to have four loads in flight.</summary>
internal struct Rows4
{
    /// <summary>The first row; the others follow.</summary>
    public Float4 R0, R1, R2, R3;
}

/// <summary>The same in bfloat16, two numbers to a word.</summary>
internal struct RoundedRows4
{
    /// <summary>The first row; the others follow.</summary>
    public Word2 R0, R1, R2, R3;
}

/// <summary>Where in a row-major matrix a lane's four rows are.</summary>
/// <param name="Row">The first of them, not negative; it exists always.</param>
/// <param name="Piece">Columns 4 Piece to 4 Piece + 3.</param>
/// <param name="Pieces">Such pieces in a row of the matrix.</param>
/// <param name="Left">Rows of the matrix from the first one on, at least one.</param>
internal readonly record struct RowPlace(int Row, int Piece, int Pieces, int Left);

/// <summary>
/// Moves <see cref="Rows4"/> between registers and memory. Written as text because addresses must not outlive the access: the compiler would compute them, and the
/// distances between rows, 64 bits each, once for the whole kernel, and keep them in registers that the sums of a product need.
/// <para>
/// Rows beyond the matrix are not written. In place of one that does not exist the one before it is loaded once more: that takes no branch, so that four loads leave
/// one after the other.
/// </para>
/// </summary>
internal static class RowAccess
{
    private const int Rows = 4, Apart = 2, Columns = 4;

    /// <summary>Loads from a matrix in single precision; <paramref name="matrix"/> is its first byte, aligned to 16.</summary>
    [IntrinsicImplementation, PtxWriter(typeof(RowAccess), nameof(LoadFloatsText))]
    public static Rows4 LoadFloats(ref ushort matrix, RowPlace at) => throw NoAddresses();

    /// <summary>Loads from a matrix in bfloat16; <paramref name="matrix"/> is its first byte, aligned to 8.</summary>
    [IntrinsicImplementation, PtxWriter(typeof(RowAccess), nameof(LoadRoundedText))]
    public static RoundedRows4 LoadRounded(ref ushort matrix, RowPlace at) => throw NoAddresses();

    /// <summary>Stores to a matrix in single precision.</summary>
    [IntrinsicImplementation, PtxWriter(typeof(RowAccess), nameof(StoreFloatsText))]
    public static void StoreFloats(ref ushort matrix, RowPlace at, Rows4 values) => throw NoAddresses();

    /// <summary>Stores to a matrix in bfloat16, rounding to the nearest.</summary>
    [IntrinsicImplementation, PtxWriter(typeof(RowAccess), nameof(StoreRoundedText))]
    public static void StoreRounded(ref ushort matrix, RowPlace at, Rows4 values) => throw NoAddresses();

    /// <summary>
    /// Reads what <see cref="WarpRow.Stage"/> wrote to shared memory: rows of 256 bytes, where four columns lie at <see cref="WarpTile.StagedPlace"/>. Two rows further
    /// bit 6 of the place is flipped, and four rows further it is the same again.
    /// </summary>
    /// <param name="row">Address of the first of the four rows.</param>
    /// <param name="place">Where in it the lane's columns are.</param>
    [IntrinsicImplementation, Ptx("""
        { .reg .b32 %even, %odd; add.s32 %even, $0, $1; xor.b32 %odd, $1, 64; add.s32 %odd, %odd, $0;
        ld.shared.v4.f32 {$r[0], $r[1], $r[2], $r[3]}, [%even];
        ld.shared.v4.f32 {$r[4], $r[5], $r[6], $r[7]}, [%odd+512];
        ld.shared.v4.f32 {$r[8], $r[9], $r[10], $r[11]}, [%even+1024];
        ld.shared.v4.f32 {$r[12], $r[13], $r[14], $r[15]}, [%odd+1536]; }
        """)]
    public static Rows4 LoadStaged(uint row, uint place) => throw NoAddresses();

    private static string LoadFloatsText(PtxCall call) =>
        Walk(sizeof(float), row => ("", $"ld.global.v4.f32 {Numbers("$r", 4 * row, 4)}, [%at];"), isStore: false);

    private static string LoadRoundedText(PtxCall call) =>
        Walk(sizeof(ushort), row => ("", $"ld.global.v2.b32 {Numbers("$r", 2 * row, 2)}, [%at];"), isStore: false);

    private static string StoreFloatsText(PtxCall call) =>
        Walk(sizeof(float), row => ("", $"st.global.v4.f32 [%at], {Numbers("$2", 4 * row, 4)};"), isStore: true);

    private static string StoreRoundedText(PtxCall call) => Walk(sizeof(ushort), row => (
        string.Create(CultureInfo.InvariantCulture,
            $"cvt.rn.bf16x2.f32 %pair0, $2[{4 * row + 1}], $2[{4 * row}]; cvt.rn.bf16x2.f32 %pair1, $2[{4 * row + 3}], $2[{4 * row + 2}]; "),
        "st.global.v2.b32 [%at], {%pair0, %pair1};"), isStore: true);

    /// <summary>Computes the address of the first row and goes on from one to the next: a store only where there is one, a load from the last there is.</summary>
    private static string Walk(int bytes, Func<int, (string Before, string Access)> access, bool isStore)
    {
        StringBuilder text = new("{ .reg .pred %is; .reg .b64 %at, %step; .reg .b32 %pair0, %pair1;\n");
        text.AppendLine("cvt.u64.u32 %at, $1[1]; mad.wide.u32 %at, $1[0], $1[2], %at;");
        text.AppendLine(CultureInfo.InvariantCulture, $"shl.b64 %at, %at, {(bytes == sizeof(float) ? 4 : 3)}; add.s64 %at, %at, $g0;");
        text.AppendLine(CultureInfo.InvariantCulture, $"mul.wide.u32 %step, $1[2], {Apart * Columns * bytes};");
        for (int row = 0; row < Rows; row++)
        {
            (string before, string instruction) = access(row);
            string guard = row > 0 ? "@%is " : "";
            if (row > 0) text.Append(CultureInfo.InvariantCulture, $"setp.gt.s32 %is, $1[3], {Apart * row}; {guard}add.s64 %at, %at, %step; ");
            text.Append(before).AppendLine((isStore ? guard : "") + instruction);
        }
        return text.Append('}').ToString();
    }

    private static string Numbers(string of, int first, int count) =>
        "{" + string.Join(", ", Enumerable.Range(first, count).Select(i => string.Create(CultureInfo.InvariantCulture, $"{of}[{i}]"))) + "}";

    private static NotSupportedException NoAddresses() => new("memory has no addresses on the simulator");
}
