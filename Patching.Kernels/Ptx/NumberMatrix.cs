using System.Runtime.CompilerServices;
using ILGPU;

namespace Patching.Kernels;

/// <summary>
/// A matrix of single-precision or bfloat16 numbers as an argument of a CUDA kernel, read and written in single precision, four neighbouring columns at a time. The
/// type and whether four neighbours are one aligned access are the same for all threads, so one kernel serves every type and every width without diverging.
/// </summary>
internal readonly struct NumberMatrix
{
    // Not private: ILGPU's generated launchers take the structure apart.
    internal readonly ArrayView<byte> memory;
    internal readonly int columns;
    internal readonly int isBFloat;
    internal readonly int inFours;

    /// <summary>Sees a tensor as a matrix.</summary>
    public NumberMatrix(Tensor tensor)
    {
        if (tensor.Type is not (ElementType.Float32 or ElementType.BFloat16))
            throw new ArgumentException($"expected single-precision or bfloat16 numbers, got {tensor}");
        memory = tensor.Pieces<byte>();
        columns = tensor.Columns;
        isBFloat = tensor.Type == ElementType.BFloat16 ? 1 : 0;
        inFours = columns % 4 == 0 && tensor.IsAligned(4 * tensor.Type.Bytes()) ? 1 : 0;
    }

    /// <summary>Columns of a row.</summary>
    public int Columns => columns;

    /// <summary>Whether four neighbouring columns, from one that is a multiple of four, are one access.</summary>
    public bool InFours => inFours != 0;

    /// <summary>Whether the numbers are bfloat16.</summary>
    public bool IsBFloat => isBFloat != 0;

    /// <summary>The numbers of a row from <paramref name="column"/>, a multiple of four, on; zeros beyond the row's end.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Float4 Load(int row, int column)
    {
        if (inFours == 0)
            return new Float4(LoadOne(row, column), LoadOne(row, column + 1), LoadOne(row, column + 2), LoadOne(row, column + 3));
        return LoadFour(row, column);
    }

    /// <summary>The same for a matrix that is <see cref="InFours"/>, in straight code where the type is known.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Float4 LoadFour(int row, int column)
    {
        if (isBFloat != 0) return LoadBFloats(row, column);
        return LoadFloats(row, column);
    }

    /// <summary><see cref="LoadFour"/> of single-precision numbers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Float4 LoadFloats(int row, int column) =>
        GlobalMemoryAccess.LoadFloat4(ref memory[Index(row, column) * 4], default, column, columns);

    /// <summary><see cref="LoadFour"/> of bfloat16 numbers.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public Float4 LoadBFloats(int row, int column) =>
        BFloatPacking.Unpack(GlobalMemoryAccess.LoadWord2(ref memory[Index(row, column) * 2], default, column, columns));

    /// <summary>Writes the numbers of a row from <paramref name="column"/>, a multiple of four, on, rounded to the matrix's type; nothing beyond the row's end.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void Store(int row, int column, Float4 values)
    {
        if (inFours != 0)
        {
            StoreFour(row, column, values);
            return;
        }
        StoreOne(row, column, values.X);
        StoreOne(row, column + 1, values.Y);
        StoreOne(row, column + 2, values.Z);
        StoreOne(row, column + 3, values.W);
    }

    /// <summary>The same for a matrix that is <see cref="InFours"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public void StoreFour(int row, int column, Float4 values)
    {
        if (isBFloat != 0)
            GlobalMemoryAccess.StoreWord2(ref memory[Index(row, column) * 2], BFloatPacking.Pack(values), column, columns);
        else
            GlobalMemoryAccess.StoreFloat4(ref memory[Index(row, column) * 4], values, column, columns);
    }

    /// <summary>One number; zero beyond the row's end.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public float LoadOne(int row, int column)
    {
        if (column >= columns) return 0;
        if (isBFloat != 0) return GlobalMemoryAccess.LoadBFloat(ref memory[Index(row, column) * 2]);
        return GlobalMemoryAccess.LoadFloat(ref memory[Index(row, column) * 4]);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private void StoreOne(int row, int column, float value)
    {
        if (column >= columns) return;
        if (isBFloat != 0)
            GlobalMemoryAccess.StoreBFloat(ref memory[Index(row, column) * 2], value);
        else
            GlobalMemoryAccess.StoreFloat(ref memory[Index(row, column) * 4], value);
    }

    /// <summary>Address of a number, for accesses at literal distances from it.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public ref byte Address(int row, int column, int bytes) => ref memory[Index(row, column) * bytes];

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private long Index(int row, int column) => GlobalMemoryAccess.Index(row, columns, column);
}
