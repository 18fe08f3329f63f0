using ILGPU;
using ILGPU.Runtime;
using Patching.Kernels;
using Device = Patching.Kernels.Device;

namespace Patching.Benchmarks.Kernels.GemmSteps;

/// <summary>
/// Step 4 of docs/tensor-cores.md: <c>y = x wT</c> for bfloat16 matrices with <c>mma.sync</c> and nothing else. Four warps compute 64 x 64 outputs, 16 x 64 each.
/// Every stage of 32 is loaded, waited for, multiplied and waited for again; rows of a tile lie 64 bytes apart in shared memory, so that the eight rows of an
/// <c>ldmatrix</c> fall on only two of the eight groups of banks. Step 5 removes both faults. For sizes that are multiples of 64, inputs of 32.
/// </summary>
public static class PlainTensorCores
{
    private const int Tile = 64, Depth = 32, Threads = 128;
    private const int PiecesPerRow = Depth / 8, PiecesPerTile = Tile * PiecesPerRow, RowBytes = 2 * Depth;

    private static readonly CudaKernel Kernel = new(Multiply, Threads);

    /// <summary>Launches it: y [rows, outputs] single precision, x [rows, inputs] and w [outputs, inputs] bfloat16.</summary>
    public static void Forward(Device device, Tensor y, Tensor x, Tensor w) =>
        device.Load<Action<AcceleratorStream, KernelConfig, ArrayView<Float2>, ArrayView<Word4>, ArrayView<Word4>, int, int>>(Kernel)(
            device.Stream, new KernelConfig(new Index3D(y.Columns / Tile, y.Rows / Tile, 1), new Index3D(Threads, 1, 1)),
            y.Pieces<Float2>(), x.Pieces<Word4>(), w.Pieces<Word4>(), y.Columns, x.Columns);

    private static void Multiply(ArrayView<Float2> y, ArrayView<Word4> x, ArrayView<Word4> w, int outputs, int inputs)
    {
        ArrayView<Word4> tiles = SharedMemory.Allocate<Word4>(2 * PiecesPerTile);
        int lane = Group.IdxX & 31, warp = Group.IdxX >> 5, firstRow = Grid.IdxY * Tile, firstOutput = Grid.IdxX * Tile;
        int row = Group.IdxX / PiecesPerRow, piece = Group.IdxX & (PiecesPerRow - 1), pitch = inputs / 8, half = Threads / PiecesPerRow;

        // Lane l gives the address of row l % 8 of matrix l / 8; the four matrices are the quarters of a 16 x 16 block in the order of the registers.
        uint xTile = SharedMemoryAccess.Address(ref tiles[0]), wTile = xTile + PiecesPerTile * 16;
        uint a = xTile + (uint)((16 * warp + (lane & 15)) * RowBytes + (lane >> 4) * 16);
        uint b = wTile + (uint)(((lane & 7) + 8 * (lane >> 4)) * RowBytes + ((lane >> 3) & 1) * 16);
        WarpRow c = default;
        for (int k = 0; k < pitch; k += PiecesPerRow)
        {
            tiles[Group.IdxX] = x[(firstRow + row) * pitch + k + piece];
            tiles[Group.IdxX + Threads] = x[(firstRow + half + row) * pitch + k + piece];
            tiles[Group.IdxX + PiecesPerTile] = w[(firstOutput + row) * pitch + k + piece];
            tiles[Group.IdxX + PiecesPerTile + Threads] = w[(firstOutput + half + row) * pitch + k + piece];
            Group.Barrier();
            c = MultiplySixteen(c, a, b);
            c = MultiplySixteen(c, a + 32, b + 32);
            Group.Barrier();
        }

        int place = (firstRow + 16 * warp + (lane >> 2)) * (outputs / 2) + firstOutput / 2 + (lane & 3), eightRows = 8 * (outputs / 2);
        Store(y, place, eightRows, c.C0);
        Store(y, place + 4, eightRows, c.C1);
        Store(y, place + 8, eightRows, c.C2);
        Store(y, place + 12, eightRows, c.C3);
        Store(y, place + 16, eightRows, c.C4);
        Store(y, place + 20, eightRows, c.C5);
        Store(y, place + 24, eightRows, c.C6);
        Store(y, place + 28, eightRows, c.C7);
    }

    private static WarpRow MultiplySixteen(WarpRow c, uint a, uint b) => WarpRow.Multiply(
        c, TensorCore.LoadMatrices(a),
        TensorCore.LoadMatrices(b), TensorCore.LoadMatrices(b + 16 * RowBytes),
        TensorCore.LoadMatrices(b + 32 * RowBytes), TensorCore.LoadMatrices(b + 48 * RowBytes));

    private static void Store(ArrayView<Float2> y, int place, int eightRows, Float4 c)
    {
        y[place] = new Float2(c.X, c.Y);
        y[place + eightRows] = new Float2(c.Z, c.W);
    }
}
