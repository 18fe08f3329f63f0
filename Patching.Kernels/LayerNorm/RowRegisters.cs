using System.Runtime.CompilerServices;
using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// A row of up to <see cref="Widest"/> columns in the registers of a warp: lane l holds columns 128 i + 4 l to 128 i + 4 l + 3 for i from 0 to 9, so that every access of
/// the warp is one run of memory. What lies beyond the row's end is zero when loaded and is not stored. The compiler does not unroll loops, hence the written-out
/// pieces; their loads follow each other without a branch and are all under way at once.
/// </summary>
internal readonly record struct RowRegisters(RowPiece A, RowPiece B, RowPiece C, RowPiece D, RowPiece E)
{
    /// <summary>Most columns.</summary>
    public const int Widest = 5 * RowPiece.Columns;

    /// <summary>Reads a row of a matrix that is <see cref="NumberMatrix.InFours"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowRegisters Load(NumberMatrix x, int row)
    {
        if (!x.IsBFloat) return LoadFloats(x, row);
        int column = 4 * Warp.LaneIdx, end = x.Columns;
        ref byte at = ref x.Address(row, column, 2);
        return new(RowPiece.LoadBFloats(ref at, column, end, 0), RowPiece.LoadBFloats(ref at, column, end, 1), RowPiece.LoadBFloats(ref at, column, end, 2),
            RowPiece.LoadBFloats(ref at, column, end, 3), RowPiece.LoadBFloats(ref at, column, end, 4));
    }

    /// <summary>Reads a row of a single-precision matrix.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowRegisters LoadFloats(NumberMatrix x, int row)
    {
        int column = 4 * Warp.LaneIdx, end = x.Columns;
        ref byte at = ref x.Address(row, column, 4);
        return new(RowPiece.LoadFloats(ref at, column, end, 0), RowPiece.LoadFloats(ref at, column, end, 1), RowPiece.LoadFloats(ref at, column, end, 2),
            RowPiece.LoadFloats(ref at, column, end, 3), RowPiece.LoadFloats(ref at, column, end, 4));
    }

    /// <summary>Writes a row, rounded to the matrix's type.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(NumberMatrix y, int row)
    {
        int column = 4 * Warp.LaneIdx, end = y.Columns;
        if (y.IsBFloat)
        {
            ref byte at = ref y.Address(row, column, 2);
            A.StoreBFloats(ref at, column, end, 0);
            B.StoreBFloats(ref at, column, end, 1);
            C.StoreBFloats(ref at, column, end, 2);
            D.StoreBFloats(ref at, column, end, 3);
            E.StoreBFloats(ref at, column, end, 4);
        }
        else
        {
            ref byte at = ref y.Address(row, column, 4);
            A.StoreFloats(ref at, column, end, 0);
            B.StoreFloats(ref at, column, end, 1);
            C.StoreFloats(ref at, column, end, 2);
            D.StoreFloats(ref at, column, end, 3);
            E.StoreFloats(ref at, column, end, 4);
        }
    }

    /// <summary>The row with a number taken off every column, also of those beyond the end.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public RowRegisters Minus(float offset) => new(A.Minus(offset), B.Minus(offset), C.Minus(offset), D.Minus(offset), E.Minus(offset));

    /// <summary>The row with zeros beyond the end.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public RowRegisters Within(int columns)
    {
        int column = 4 * Warp.LaneIdx;
        return new(A.Within(column, columns, 0), B.Within(column, columns, 1), C.Within(column, columns, 2), D.Within(column, columns, 3),
            E.Within(column, columns, 4));
    }

    /// <summary>The row times a number.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public RowRegisters Times(float factor) => new(A.Times(factor), B.Times(factor), C.Times(factor), D.Times(factor), E.Times(factor));

    /// <summary>Column by column, this row times another.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public RowRegisters Times(RowRegisters x) => new(A.Times(x.A), B.Times(x.B), C.Times(x.C), D.Times(x.D), E.Times(x.E));

    /// <summary>Column by column, this row plus another.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public RowRegisters Plus(RowRegisters x) => new(A.Plus(x.A), B.Plus(x.B), C.Plus(x.C), D.Plus(x.D), E.Plus(x.E));

    /// <summary>Column by column, this row plus the product of two others, rounded once.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public RowRegisters PlusProduct(RowRegisters x, RowRegisters y) =>
        new(A.PlusProduct(x.A, y.A), B.PlusProduct(x.B, y.B), C.PlusProduct(x.C, y.C), D.PlusProduct(x.D, y.D), E.PlusProduct(x.E, y.E));

    /// <summary>This row plus a number times another, rounded once.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public RowRegisters PlusProduct(float factor, RowRegisters x) =>
        new(A.PlusProduct(factor, x.A), B.PlusProduct(factor, x.B), C.PlusProduct(factor, x.C), D.PlusProduct(factor, x.D), E.PlusProduct(factor, x.E));

    /// <summary>The sum of this lane's columns.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public float Sum() => Quad.Sum(Quad.Add(Quad.Add(Quad.Add(A.Sum(), B.Sum()), Quad.Add(C.Sum(), D.Sum())), E.Sum()));

    /// <summary>The sum over this lane's columns of this row times another.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public float Dot(RowRegisters x) =>
        Quad.Sum(A.PlusDot(x.A, B.PlusDot(x.B, C.PlusDot(x.C, D.PlusDot(x.D, E.PlusDot(x.E, default))))));

    /// <summary>Adds to <paramref name="sums"/>, or writes it where <paramref name="isFirst"/>; four columns to an element.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void AddTo(ArrayView<Float4> sums, int first, bool isFirst)
    {
        A.AddTo(sums, first, isFirst);
        B.AddTo(sums, first + RowPiece.Columns / 4, isFirst);
        C.AddTo(sums, first + 2 * RowPiece.Columns / 4, isFirst);
        D.AddTo(sums, first + 3 * RowPiece.Columns / 4, isFirst);
        E.AddTo(sums, first + 4 * RowPiece.Columns / 4, isFirst);
    }
}

/// <summary>A lane's part of 256 columns of a row: four from each half.</summary>
internal readonly record struct RowPiece(Float4 Low, Float4 High)
{
    /// <summary>Columns that a warp's pieces cover.</summary>
    public const int Columns = 256;

    // Bytes from one piece to the next in both types.
    private const int FloatBytes = 4 * Columns;
    private const int BFloatBytes = 2 * Columns;

    /// <inheritdoc cref="RowRegisters.LoadFloats"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowPiece LoadFloats(ref byte at, int column, int end, int piece) => new(
        GlobalMemoryAccess.LoadFloat4(ref at, default, column, end, piece * Columns, piece * FloatBytes),
        GlobalMemoryAccess.LoadFloat4(ref at, default, column, end, piece * Columns + Columns / 2, piece * FloatBytes + FloatBytes / 2));

    /// <summary>Reads from a bfloat16 matrix.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowPiece LoadBFloats(ref byte at, int column, int end, int piece) => new(
        BFloatPacking.Unpack(GlobalMemoryAccess.LoadWord2(ref at, default, column, end, piece * Columns, piece * BFloatBytes)),
        BFloatPacking.Unpack(
            GlobalMemoryAccess.LoadWord2(ref at, default, column, end, piece * Columns + Columns / 2, piece * BFloatBytes + BFloatBytes / 2)));

    /// <summary>Writes to a single-precision matrix.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void StoreFloats(ref byte at, int column, int end, int piece)
    {
        GlobalMemoryAccess.StoreFloat4(ref at, Low, column, end, piece * Columns, piece * FloatBytes);
        GlobalMemoryAccess.StoreFloat4(ref at, High, column, end, piece * Columns + Columns / 2, piece * FloatBytes + FloatBytes / 2);
    }

    /// <summary>Writes to a bfloat16 matrix.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void StoreBFloats(ref byte at, int column, int end, int piece)
    {
        GlobalMemoryAccess.StoreWord2(ref at, BFloatPacking.Pack(Low), column, end, piece * Columns, piece * BFloatBytes);
        GlobalMemoryAccess.StoreWord2(ref at, BFloatPacking.Pack(High), column, end, piece * Columns + Columns / 2, piece * BFloatBytes + BFloatBytes / 2);
    }

    /// <inheritdoc cref="RowRegisters.Minus"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public RowPiece Minus(float offset) => new(Quad.Add(Low, -offset), Quad.Add(High, -offset));

    /// <inheritdoc cref="RowRegisters.Within"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public RowPiece Within(int column, int end, int piece) =>
        new(Within(Low, column, end, piece * Columns), Within(High, column, end, piece * Columns + Columns / 2));

    /// <inheritdoc cref="RowRegisters.Times(float)"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public RowPiece Times(float factor) => new(Quad.Multiply(Low, factor), Quad.Multiply(High, factor));

    /// <inheritdoc cref="RowRegisters.Times(RowRegisters)"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public RowPiece Times(RowPiece x) => new(Quad.Multiply(Low, x.Low), Quad.Multiply(High, x.High));

    /// <inheritdoc cref="RowRegisters.Plus"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public RowPiece Plus(RowPiece x) => new(Quad.Add(Low, x.Low), Quad.Add(High, x.High));

    /// <inheritdoc cref="RowRegisters.PlusProduct(RowRegisters, RowRegisters)"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public RowPiece PlusProduct(RowPiece x, RowPiece y) => new(Quad.Fma(x.Low, y.Low, Low), Quad.Fma(x.High, y.High, High));

    /// <inheritdoc cref="RowRegisters.PlusProduct(float, RowRegisters)"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public RowPiece PlusProduct(float factor, RowPiece x) => new(Quad.Fma(factor, x.Low, Low), Quad.Fma(factor, x.High, High));

    /// <summary>Both halves added up.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Float4 Sum() => Quad.Add(Low, High);

    /// <summary>Products with another piece added to <paramref name="sums"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Float4 PlusDot(RowPiece x, Float4 sums) => Quad.Fma(Low, x.Low, Quad.Fma(High, x.High, sums));

    /// <inheritdoc cref="RowRegisters.AddTo"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void AddTo(ArrayView<Float4> sums, int first, bool isFirst)
    {
        int low = first + Warp.LaneIdx, high = low + Columns / 8;
        sums[low] = isFirst ? Low : Quad.Add(sums[low], Low);
        sums[high] = isFirst ? High : Quad.Add(sums[high], High);
    }

    /// <summary>Four numbers less <paramref name="offset"/>; zero for columns beyond the end.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static Float4 Minus(Float4 x, float offset, int column, int columns) => new(
        column < columns ? x.X - offset : 0, column + 1 < columns ? x.Y - offset : 0, column + 2 < columns ? x.Z - offset : 0,
        column + 3 < columns ? x.W - offset : 0);

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Float4 Within(Float4 x, int column, int end, int skip) => new(
        GlobalMemoryAccess.ValueBefore(x.X, column, end, skip), GlobalMemoryAccess.ValueBefore(x.Y, column, end, skip),
        GlobalMemoryAccess.ValueBefore(x.Z, column, end, skip), GlobalMemoryAccess.ValueBefore(x.W, column, end, skip));
}
