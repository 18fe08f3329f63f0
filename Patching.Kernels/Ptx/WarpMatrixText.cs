using System.Text;

namespace Patching.Kernels;

/// <summary>
/// Writes the PTX of <see cref="WarpMatrix"/>. Four registers of an accumulator are 8 columns, four words of a fragment 16; numbers of rows
/// and columns follow from the numbers of registers. Addresses of chunks are the lane's address with bits flipped
/// (<see cref="SwizzledRows"/>); whatever does not flip is an immediate offset.
/// </summary>
internal static class WarpMatrixText
{
    private const string LogToLog2 = "0f3FB8AA3B";
    private const string MinusInfinity = "0fFF800000";

    public static string LoadRows(PtxCall call)
    {
        int width = 4 * call.Results;
        StringBuilder text = Block("").Append(Chunks("x", "$0", width));
        for (int k = 0; k < width / 16; k++) text.AppendLine(Load("", Registers("$r", 4 * k), KeptChunk("x", "$0", width, 0, 2 * k)));
        return End(text);
    }

    public static string LoadColumns(PtxCall call)
    {
        int width = call.Constant(1);
        StringBuilder text = Block("");
        for (int k = 0; k < call.Results / 4; k++) text.AppendLine(Load(".trans", Registers("$r", 4 * k), $"[$0+{16 * k * 2 * width}]"));
        return End(text);
    }

    public static string ProductTransposed(PtxCall call) => RowProducts(call, 4 * call.Arguments[0], fromMemory: false);

    public static string ProductTransposedFromMemory(PtxCall call) => RowProducts(call, call.Constant(2), fromMemory: true);

    public static string AddProduct(PtxCall call)
    {
        int width = 2 * call.Results;
        StringBuilder text = Block(".reg .b32 %b<4>;").Append(Chunks("x", "$2", width));
        for (int k = 0; k < call.Arguments[1] / 4; k++)
            for (int n = 0; n < width / 16; n++)
            {
                text.AppendLine(Load(".trans", "{%b0, %b1, %b2, %b3}", KeptChunk("x", "$2", width, 16 * k, 2 * n)));
                text.AppendLine(Multiply(8 * n, Registers("$1", 4 * k), "{%b0, %b1}"));
                text.AppendLine(Multiply(8 * n + 4, Registers("$1", 4 * k), "{%b2, %b3}"));
            }
        return End(text);
    }

    public static string Round(PtxCall call)
    {
        StringBuilder text = Block("");
        for (int i = 0; i < call.Results; i++) text.AppendLine(Invariant($"cvt.rn.bf16x2.f32 $r[{i}], $0[{2 * i + 1}], $0[{2 * i}];"));
        return End(text);
    }

    public static string StoreRows(PtxCall call)
    {
        int width = call.Constant(2);
        // The whole chunk number may flip, down to its last bit.
        StringBuilder text = Block(".reg .b32 %pair; .reg .b32 %place;");
        for (int n = 0; n < call.Arguments[1] / 4; n++)
        {
            int flipped = n & Flips(width, 7, 1), fixedPart = 16 * (n - flipped);
            text.AppendLine(Invariant($"xor.b32 %place, $0, {16 * flipped};"));
            for (int half = 0; half < 2; half++)
            {
                text.AppendLine(Invariant($"cvt.rn.bf16x2.f32 %pair, $1[{4 * n + 2 * half + 1}], $1[{4 * n + 2 * half}];"));
                text.AppendLine(Invariant($"st.shared.b32 [%place+{fixedPart + half * 8 * 2 * width}], %pair;"));
            }
        }
        return End(text);
    }

    public static string ScaleRows(PtxCall call) => Elementwise(call, "", i => $"mul.rn.f32 $r[{i}], $0[{i}], {Row(i, 1)};");

    public static string KeepBefore(PtxCall call) => Keep(call, "gt");

    public static string KeepFrom(PtxCall call) => Keep(call, "le");

    public static string RowMaximum(PtxCall call)
    {
        StringBuilder text = Block(".reg .f32 %lane<4>; .reg .f32 %other;").Append(ReduceColumns(call.Arguments[0], "max.f32"));
        for (int distance = 1; distance <= 2; distance++)
            for (int row = 0; row < 2; row++)
                text.AppendLine($"shfl.sync.bfly.b32 %other, $r[{row}], {distance}, 31, 0xffffffff; max.f32 $r[{row}], $r[{row}], %other;");
        return End(text);
    }

    public static string RowSums(PtxCall call) => End(Block(".reg .f32 %lane<4>;").Append(ReduceColumns(call.Arguments[0], "add.rn.f32")));

    public static string RowDots(PtxCall call)
    {
        StringBuilder text = Block(".reg .b32 %high; .reg .f32 %x; .reg .f32 %y;");
        text.AppendLine("mov.f32 $r[0], 0f00000000; mov.f32 $r[1], 0f00000000;");
        for (int i = 0; i < call.Arguments[0]; i++)
        {
            string sum = $"$r[{i % 2}]";
            foreach (string half in (string[])["shl.b32 %high, {0}, 16;", "and.b32 %high, {0}, 0xffff0000;"])
            {
                text.Append(half.Replace("{0}", $"$0[{i}]", StringComparison.Ordinal)).AppendLine(" mov.b32 %x, %high;");
                text.Append(half.Replace("{0}", $"$1[{i}]", StringComparison.Ordinal)).AppendLine(" mov.b32 %y, %high;");
                text.AppendLine($"fma.rn.f32 {sum}, %x, %y, {sum};");
            }
        }
        return End(text);
    }

    public static string Exponentials(PtxCall call) => Elementwise(
        call, ".reg .f32 %power;", i => $"fma.rn.f32 %power, $0[{i}], $1, {Row(i, 2)}; ex2.approx.ftz.f32 $r[{i}], %power;");

    public static string ColumnExponentials(PtxCall call)
    {
        const string toExponents = $"mul.rn.f32 %column0, %column0, {LogToLog2}; neg.f32 %column0, %column0; "
            + $"mul.rn.f32 %column1, %column1, {LogToLog2}; neg.f32 %column1, %column1; ";
        return Elementwise(call, ".reg .f32 %column<2>; .reg .f32 %power;", i => ColumnPair(i, 2, toExponents)
            + $"fma.rn.f32 %power, $0[{i}], $1, %column{i % 2}; ex2.approx.ftz.f32 $r[{i}], %power;");
    }

    public static string SoftmaxGradient(PtxCall call) => Elementwise(
        call, ".reg .f32 %part;", i => $"sub.rn.f32 %part, $1[{i}], {Row(i, 2)}; mul.rn.f32 $r[{i}], $0[{i}], %part;");

    public static string ColumnSoftmaxGradient(PtxCall call) => Elementwise(
        call, ".reg .f32 %column<2>; .reg .f32 %part;", i => ColumnPair(i, 2, "")
            + $"sub.rn.f32 %part, $1[{i}], %column{i % 2}; mul.rn.f32 $r[{i}], $0[{i}], %part;");

    /// <summary>
    /// Steps of 16 along the dot products outside, 16 rows of B inside: for 64 rows, eight independent accumulations follow each other.
    /// </summary>
    private static string RowProducts(PtxCall call, int width, bool fromMemory)
    {
        int columns = 2 * call.Results;
        StringBuilder text = Block(".reg .b32 %a<4>; .reg .b32 %b<4>; .reg .b32 %x; .reg .b32 %y;");
        for (int i = 0; i < call.Results; i++) text.Append(Invariant($"mov.f32 $r[{i}], 0f00000000; "));
        text.AppendLine();
        for (int k = 0; k < width / 16; k++)
        {
            string a = fromMemory ? "{%a0, %a1, %a2, %a3}" : Registers("$0", 4 * k);
            // One address at a time: all that the exclusive or can give, kept, are registers that the sums of other products need.
            if (width != 80) text.Append(Invariant($"xor.b32 %x, $1, {32 * (k % 4)}; "));
            if (width != 80 && fromMemory) text.Append(Invariant($"xor.b32 %y, $0, {32 * (k % 4)}; "));
            if (fromMemory) text.AppendLine(Load("", a, Chunk("%y", "$0", width, 0, 2 * k)));
            for (int n = 0; n < columns / 16; n++)
            {
                text.AppendLine(Load("", "{%b0, %b1, %b2, %b3}", Chunk("%x", "$1", width, 16 * n, 2 * k)));
                text.AppendLine(Multiply(8 * n, a, "{%b0, %b1}")).AppendLine(Multiply(8 * n + 4, a, "{%b2, %b3}"));
            }
        }
        return End(text);
    }

    private static string Keep(PtxCall call, string comparison) => Elementwise(
        call, ".reg .pred %keep;", i => Invariant(
            $"setp.{comparison}.s32 %keep, {Row(i, 1)}, {8 * (i / 4) + i % 2}; selp.f32 $r[{i}], $0[{i}], {MinusInfinity}, %keep;"));

    /// <summary>Two chains per row, then one: registers 4n and 4n + 1 belong to row g, 4n + 2 and 4n + 3 to row g + 8.</summary>
    private static string ReduceColumns(int registers, string operation)
    {
        StringBuilder text = new();
        for (int i = 0; i < registers; i++)
            text.AppendLine(i < 4 ? $"mov.f32 %lane{i}, $0[{i}];" : $"{operation} %lane{i % 4}, %lane{i % 4}, $0[{i}];");
        return text.AppendLine($"{operation} $r[0], %lane0, %lane1; {operation} $r[1], %lane2, %lane3;").ToString();
    }

    private static string Elementwise(PtxCall call, string declarations, Func<int, string> element)
    {
        StringBuilder text = Block(declarations);
        for (int i = 0; i < call.Results; i++) text.AppendLine(element(i));
        return End(text);
    }

    /// <summary>Before the first element of eight columns: loads the numbers of the lane's two columns.</summary>
    private static string ColumnPair(int element, int argument, string then) =>
        element % 4 == 0 ? Invariant($"ld.shared.v2.f32 {{%column0, %column1}}, [${argument}+{32 * (element / 4)}]; {then} ") : "";

    /// <summary>Argument <paramref name="argument"/> belongs to row g, the next one to row g + 8.</summary>
    private static string Row(int element, int argument) => $"${argument + element % 4 / 2}";

    // ---- addresses ----

    /// <summary>Bits of a chunk number that the swizzle may flip.</summary>
    private static int Flips(int width, int wide, int narrow) => width == 80 ? narrow : wide;

    /// <summary>
    /// Registers with the lane's address for chunks 0, 2, 4 and 6; none where rows are 80 wide and even chunks lie at fixed distances.
    /// </summary>
    private static string Chunks(string name, string address, int width)
    {
        if (width == 80) return "";
        StringBuilder text = new($".reg .b32 %{name}<4>; mov.b32 %{name}0, {address};");
        for (int i = 1; i < 4; i++) text.Append(Invariant($" xor.b32 %{name}{i}, {address}, {32 * i};"));
        return text.AppendLine().ToString();
    }

    private static string Chunk(string flipped, string address, int width, int row, int chunk) => width == 80
        ? Invariant($"[{address}+{row * 2 * width + 16 * chunk}]")
        : Invariant($"[{flipped}+{row * 2 * width + chunk / 8 * 128}]");

    private static string KeptChunk(string name, string address, int width, int row, int chunk) =>
        Chunk(Invariant($"%{name}{chunk / 2 % 4}"), address, width, row, chunk);

    // ---- instructions ----

    private static string Load(string transposed, string registers, string address) =>
        $"ldmatrix.sync.aligned.m8n8.x4{transposed}.shared.b16 {registers}, {address};";

    private static string Multiply(int accumulator, string a, string b)
    {
        string c = Registers("$r", accumulator);
        return $"mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {c}, {a}, {b}, {c};";
    }

    private static string Registers(string of, int first) =>
        Invariant($"{{{of}[{first}], {of}[{first + 1}], {of}[{first + 2}], {of}[{first + 3}]}}");

    private static StringBuilder Block(string declarations) => new StringBuilder("{ ").AppendLine(declarations);

    private static string End(StringBuilder text) => text.Append('}').ToString();

    private static string Invariant(FormattableString text) => FormattableString.Invariant(text);
}
