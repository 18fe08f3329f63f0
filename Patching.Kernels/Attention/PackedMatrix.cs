using System.Numerics;
using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;
using System.Runtime.Intrinsics.Arm;
using System.Runtime.Intrinsics.X86;

namespace Patching.Kernels;

/// <summary>
/// The right-hand operand B[K, N] of a product, copied into panels of at most <see cref="RegisterTile.MaxVectors"/> vectors of columns.
/// Inside a panel the rows follow each other without gaps, so the inner loop reads one stream; columns are padded to whole vectors. The
/// row stride of qkv (a multiple of 1 KiB in most models) would put all rows of a head into a few sets of the first-level cache.
/// </summary>
internal readonly unsafe struct PackedMatrix
{
    private readonly float* data;
    private readonly int depth;
    private readonly int vectors;

    /// <summary>
    /// Lays a matrix of <paramref name="depth"/> x <paramref name="columns"/> over <see cref="Length"/> floats at
    /// <paramref name="data"/>.
    /// </summary>
    public PackedMatrix(float* data, int depth, int columns)
    {
        this.data = data;
        this.depth = depth;
        vectors = PaddedColumns(columns) / RegisterTile.Lanes;
    }

    /// <summary>Columns rounded up to whole vectors.</summary>
    public static int PaddedColumns(int columns) => (columns + RegisterTile.Lanes - 1) / RegisterTile.Lanes * RegisterTile.Lanes;

    /// <summary>Floats that a matrix takes.</summary>
    public static long Length(int depth, int columns) => (long)depth * PaddedColumns(columns);

    /// <summary>B[k, n] = source[k * stride + n].</summary>
    public void PackRows(float* source, long stride, int columns)
    {
        int width;
        for (int first = 0; first < vectors; first += width)
        {
            width = PanelVectors(first);
            int panelColumns = width * RegisterTile.Lanes, from = first * RegisterTile.Lanes;
            float* panel = data + (long)from * depth;
            int present = Math.Min(panelColumns, columns - from);
            for (int k = 0; k < depth; k++) CopyPadded(panel + (long)k * panelColumns, source + k * stride + from, present, panelColumns);
        }
    }

    /// <summary>B[k, n] = source[n * stride + k].</summary>
    public void PackTransposed(float* source, long stride, int columns)
    {
        int width;
        for (int first = 0; first < vectors; first += width)
        {
            width = PanelVectors(first);
            int panelColumns = width * RegisterTile.Lanes, from = first * RegisterTile.Lanes;
            float* panel = data + (long)from * depth;
            int present = Math.Min(panelColumns, columns - from);
            for (int n = 0; n < panelColumns; n += 4)
            {
                // Columns past the end repeat the last one: their products are never read, and this needs no second loop.
                TransposeFour(panel + n, panelColumns, Row(n), Row(n + 1), Row(n + 2), Row(n + 3));
            }

            float* Row(int n) => source + (from + Math.Min(n, present - 1)) * stride;
        }
    }

    /// <summary>
    /// C[i, 0..columns) (+)= A B for one tile of at most <see cref="RegisterTile.MaxRows"/> rows, using rows [firstStep, endStep) of B;
    /// A's column <paramref name="firstStep"/> is at <paramref name="a"/>.
    /// </summary>
    public void MultiplyTile(
        int rows, int firstStep, int endStep, float* a, nint aRow, nint aStep, float* c, nint cRow, int columns, bool accumulate)
    {
        int needed = PaddedColumns(columns) / RegisterTile.Lanes, width;
        for (int first = 0; first < needed; first += width)
        {
            width = PanelVectors(first);
            MultiplyPanelTile(first, width, rows, firstStep, endStep, a, aRow, aStep, c, cRow, needed, accumulate);
        }
    }

    /// <summary>
    /// C[rows, T] = A[rows, K] B, panel by panel so that a panel of B stays in the first-level cache while all rows pass over it.
    /// With <paramref name="causalFirst"/> &gt;= 0, row i of A is token causalFirst + i and columns beyond a tile's last token are left
    /// alone.
    /// </summary>
    public void MultiplyRows(int rows, float* a, nint aRow, float* c, nint cRow, int causalFirst)
    {
        int width;
        for (int first = 0; first < vectors; first += width)
        {
            width = PanelVectors(first);
            for (int row = 0; row < rows; row += RegisterTile.MaxRows)
            {
                int tile = Math.Min(RegisterTile.MaxRows, rows - row);
                int needed = causalFirst < 0 ? vectors : Math.Min(vectors, PaddedColumns(causalFirst + row + tile) / RegisterTile.Lanes);
                if (first >= needed) continue;
                MultiplyPanelTile(first, width, tile, 0, depth, a + row * aRow, aRow, 1, c + row * cRow, cRow, needed, false);
            }
        }
    }

    private void MultiplyPanelTile(
        int first, int width, int rows, int firstStep, int endStep, float* a, nint aRow, nint aStep, float* c, nint cRow, int needed,
        bool accumulate)
    {
        int lanes = RegisterTile.Lanes;
        nint step = width * lanes;
        float* b = data + (long)first * lanes * depth + firstStep * step;
        int present = Math.Min(width, needed - first);
        RegisterTile.Multiply(rows, present, endStep - firstStep, a, aRow, aStep, b, step, c + first * lanes, cRow, accumulate);
    }

    /// <summary>
    /// Width of the panel that starts at a vector: the rest divided evenly, because 3 + 2 vectors keep the multiply-add units busier than
    /// 4 + 1.
    /// </summary>
    private int PanelVectors(int first)
    {
        int rest = vectors - first;
        int panels = (rest + RegisterTile.MaxVectors - 1) / RegisterTile.MaxVectors;
        return (rest + panels - 1) / panels;
    }

    private void TransposeFour(float* panel, int panelColumns, float* row0, float* row1, float* row2, float* row3)
    {
        int k = 0;
        for (; k + 4 <= depth; k += 4)
        {
            Vector128<float> a = Vector128.Load(row0 + k), b = Vector128.Load(row1 + k);
            Vector128<float> c = Vector128.Load(row2 + k), d = Vector128.Load(row3 + k);
            float* to = panel + (long)k * panelColumns;
            // Rows a c and b d interleaved, then those two interleaved: a0 c0 a1 c1 with b0 d0 b1 d1 gives a0 b0 c0 d0 and a1 b1 c1 d1.
            Vector128<float> acLow = ZipLow(a, c), acHigh = ZipHigh(a, c), bdLow = ZipLow(b, d), bdHigh = ZipHigh(b, d);
            ZipLow(acLow, bdLow).Store(to);
            ZipHigh(acLow, bdLow).Store(to + panelColumns);
            ZipLow(acHigh, bdHigh).Store(to + 2 * panelColumns);
            ZipHigh(acHigh, bdHigh).Store(to + 3 * panelColumns);
        }
        for (; k < depth; k++) Vector128.Create(row0[k], row1[k], row2[k], row3[k]).Store(panel + (long)k * panelColumns);
    }

    /// <summary>a0 b0 a1 b1.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> ZipLow(Vector128<float> a, Vector128<float> b) =>
        Sse.IsSupported ? Sse.UnpackLow(a, b)
        : AdvSimd.Arm64.IsSupported ? AdvSimd.Arm64.ZipLow(a, b)
        : Vector128.Create(a[0], b[0], a[1], b[1]);

    /// <summary>a2 b2 a3 b3.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Vector128<float> ZipHigh(Vector128<float> a, Vector128<float> b) =>
        Sse.IsSupported ? Sse.UnpackHigh(a, b)
        : AdvSimd.Arm64.IsSupported ? AdvSimd.Arm64.ZipHigh(a, b)
        : Vector128.Create(a[2], b[2], a[3], b[3]);

    private static void CopyPadded(float* destination, float* source, int count, int padded)
    {
        int j = 0;
        for (; j + Vector<float>.Count <= count; j += Vector<float>.Count) Vector.Load(source + j).Store(destination + j);
        for (; j < count; j++) destination[j] = source[j];
        for (; j < padded; j++) destination[j] = 0;
    }
}
