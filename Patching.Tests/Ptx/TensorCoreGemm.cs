using System.Runtime.CompilerServices;
using ILGPU;
using Patching.Kernels;

namespace Patching.Tests.Ptx;

/// <summary>
/// A small multiplication on the tensor cores, C = A B^T, with what the engine's kernels are made of: copies in flight, a swizzled tile
/// in shared memory, ldmatrix and mma. Four warps compute 64 x 64 elements; rows and columns past the end are filled with zero and not
/// written.
/// </summary>
internal static class TensorCoreGemm
{
    /// <summary>Threads of a block.</summary>
    public const int Threads = 128;

    private const int Tile = 64 * 64;

    /// <summary>
    /// Two stages of 64 x 32 bfloat16 for both operands: chunk c (16 bytes) of row r lies at c ^ (r / 2 % 4), which spreads eight rows
    /// over all banks.
    /// </summary>
    public static void Kernel(ArrayView<Word4> a, ArrayView<Word4> b, ArrayView<float> c, int m, int n, int k)
    {
        ArrayView<Word4> tiles = SharedMemory.Allocate<Word4>(4 * Tile / 16);
        uint start = SharedMemoryAccess.Address(ref tiles[0]);
        int thread = Group.IdxX, lane = thread & 31, warp = thread >> 5;
        int row0 = Grid.IdxY * 64, column0 = Grid.IdxX * 64;
        int steps = k / 32;
        Load(start, a, b, m, n, k, row0, column0, 0);
        SharedMemoryAccess.CommitCopies();

        Float4 c0 = default, c1 = default, c2 = default, c3 = default, c4 = default, c5 = default, c6 = default, c7 = default;
        for (int step = 0; step < steps; step++)
        {
            uint stage = start + (uint)((step & 1) * 2 * Tile);
            if (step + 1 < steps) Load(start + (uint)(((step + 1) & 1) * 2 * Tile), a, b, m, n, k, row0, column0, step + 1);
            SharedMemoryAccess.CommitCopies();
            SharedMemoryAccess.WaitForCopies(1);
            Group.Barrier();
            for (int half = 0; half < 2; half++)
            {
                Word4 left = TensorCore.LoadMatrices(stage + Chunk((16 * warp) + (lane & 15), (2 * half) + (lane >> 4)));
                int brow = (lane & 7) + ((lane >> 4) << 3), bchunk = (2 * half) + ((lane >> 3) & 1);
                Word4 right = TensorCore.LoadMatrices(stage + Tile + Chunk(brow, bchunk));
                c0 = TensorCore.Multiply(c0, left, right.X, right.Y);
                c1 = TensorCore.Multiply(c1, left, right.Z, right.W);
                right = TensorCore.LoadMatrices(stage + Tile + Chunk(brow + 16, bchunk));
                c2 = TensorCore.Multiply(c2, left, right.X, right.Y);
                c3 = TensorCore.Multiply(c3, left, right.Z, right.W);
                right = TensorCore.LoadMatrices(stage + Tile + Chunk(brow + 32, bchunk));
                c4 = TensorCore.Multiply(c4, left, right.X, right.Y);
                c5 = TensorCore.Multiply(c5, left, right.Z, right.W);
                right = TensorCore.LoadMatrices(stage + Tile + Chunk(brow + 48, bchunk));
                c6 = TensorCore.Multiply(c6, left, right.X, right.Y);
                c7 = TensorCore.Multiply(c7, left, right.Z, right.W);
            }
            Group.Barrier();
        }
        int row = row0 + (16 * warp) + (lane >> 2), column = column0 + (2 * (lane & 3));
        Store(c, c0, m, n, row, column);
        Store(c, c1, m, n, row, column + 8);
        Store(c, c2, m, n, row, column + 16);
        Store(c, c3, m, n, row, column + 24);
        Store(c, c4, m, n, row, column + 32);
        Store(c, c5, m, n, row, column + 40);
        Store(c, c6, m, n, row, column + 48);
        Store(c, c7, m, n, row, column + 56);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static uint Chunk(int row, int chunk) => (uint)((row * 64) + ((chunk ^ ((row >> 1) & 3)) << 4));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Load(uint stage, ArrayView<Word4> a, ArrayView<Word4> b, int m, int n, int k, int row0, int column0, int step)
    {
        int row = Group.IdxX >> 2, chunk = Group.IdxX & 3, pitch = k / 8;
        for (int i = 0; i < 2; i++)
        {
            int left = row0 + row, right = column0 + row;
            SharedMemoryAccess.CopyAsync(stage + Chunk(row, chunk), ref a[left < m ? (left * pitch) + (4 * step) + chunk : 0], left < m ? 16 : 0);
            SharedMemoryAccess.CopyAsync(stage + Tile + Chunk(row, chunk), ref b[right < n ? (right * pitch) + (4 * step) + chunk : 0], right < n ? 16 : 0);
            row += 32;
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void Store(ArrayView<float> c, Float4 values, int m, int n, int row, int column)
    {
        if (column >= n) return;
        if (row < m)
        {
            c[(row * n) + column] = values.X;
            c[(row * n) + column + 1] = values.Y;
        }
        if (row + 8 < m)
        {
            c[((row + 8) * n) + column] = values.Z;
            c[((row + 8) * n) + column + 1] = values.W;
        }
    }
}
