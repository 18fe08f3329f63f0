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
    public static RowRegisters Load(NumberMatrix x, int row) => x.IsBFloat
        ? new(RowPiece.LoadBFloats(x, row, 0), RowPiece.LoadBFloats(x, row, 1), RowPiece.LoadBFloats(x, row, 2), RowPiece.LoadBFloats(x, row, 3),
            RowPiece.LoadBFloats(x, row, 4))
        : LoadFloats(x, row);

    /// <summary>Reads a row of a single-precision matrix.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowRegisters LoadFloats(NumberMatrix x, int row) =>
        new(RowPiece.LoadFloats(x, row, 0), RowPiece.LoadFloats(x, row, 1), RowPiece.LoadFloats(x, row, 2), RowPiece.LoadFloats(x, row, 3),
            RowPiece.LoadFloats(x, row, 4));

    /// <summary>Writes a row, rounded to the matrix's type.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(NumberMatrix y, int row)
    {
        A.Store(y, row, 0);
        B.Store(y, row, 1);
        C.Store(y, row, 2);
        D.Store(y, row, 3);
        E.Store(y, row, 4);
    }

    /// <summary>The row with a number taken off every column; zero stays beyond the end.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public RowRegisters Minus(float offset, int columns) =>
        new(A.Minus(offset, 0, columns), B.Minus(offset, 1, columns), C.Minus(offset, 2, columns), D.Minus(offset, 3, columns), E.Minus(offset, 4, columns));

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

    /// <inheritdoc cref="RowRegisters.LoadFloats"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowPiece LoadFloats(NumberMatrix x, int row, int piece) => new(x.LoadFloats(row, Column(piece)), x.LoadFloats(row, Column(piece) + Columns / 2));

    /// <summary>Reads from a bfloat16 matrix.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static RowPiece LoadBFloats(NumberMatrix x, int row, int piece) => new(x.LoadBFloats(row, Column(piece)), x.LoadBFloats(row, Column(piece) + Columns / 2));

    /// <inheritdoc cref="RowRegisters.Store"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(NumberMatrix y, int row, int piece)
    {
        y.StoreFour(row, Column(piece), Low);
        y.StoreFour(row, Column(piece) + Columns / 2, High);
    }

    /// <inheritdoc cref="RowRegisters.Minus"/>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public RowPiece Minus(float offset, int piece, int columns) =>
        new(Minus(Low, offset, Column(piece), columns), Minus(High, offset, Column(piece) + Columns / 2, columns));

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
    private static int Column(int piece) => Columns * piece + 4 * Warp.LaneIdx;
}
