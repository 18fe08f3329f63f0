using ILGPU;
using ILGPU.Runtime;
using Patching.Kernels;
using Device = Patching.Kernels.Device;

namespace Patching.Benchmarks.Kernels.GemmSteps;

/// <summary>
/// Step 2 of docs/tensor-cores.md: <c>y = x wT</c> in single precision with a tile of shared memory. 1024 threads compute 32 x 32 outputs, one each. They load a
/// tile of x and one of w together, so that every number that comes from global memory is used 32 times; but each multiply-add still takes two numbers from
/// shared memory. For sizes that are multiples of 32.
/// </summary>
public static class SharedTile
{
    private const int Tile = 32;

    // One more number per row: threads that read a column of the tile then find 32 different banks.
    private const int Pitch = Tile + 1;

    private static readonly CudaKernel Kernel = new(Multiply, Tile * Tile);

    /// <summary>Launches it: y [rows, outputs], x [rows, inputs], w [outputs, inputs].</summary>
    public static void Forward(Device device, Tensor y, Tensor x, Tensor w) =>
        device.Load<Action<AcceleratorStream, KernelConfig, ArrayView<float>, ArrayView<float>, ArrayView<float>, int, int>>(Kernel)(
            device.Stream, new KernelConfig(new Index3D(y.Columns / Tile, y.Rows / Tile, 1), new Index3D(Tile * Tile, 1, 1)),
            y.Floats, x.Floats, w.Floats, y.Columns, x.Columns);

    private static void Multiply(ArrayView<float> y, ArrayView<float> x, ArrayView<float> w, int outputs, int inputs)
    {
        ArrayView<float> xTile = SharedMemory.Allocate<float>(Tile * Pitch), wTile = SharedMemory.Allocate<float>(Tile * Pitch);
        int column = Group.IdxX & (Tile - 1), row = Group.IdxX / Tile, firstRow = Grid.IdxY * Tile, firstOutput = Grid.IdxX * Tile;
        float sum = 0;
        for (int k = 0; k < inputs; k += Tile)
        {
            xTile[row * Pitch + column] = x[(firstRow + row) * inputs + k + column];
            wTile[row * Pitch + column] = w[(firstOutput + row) * inputs + k + column];
            Group.Barrier();
            for (int i = 0; i < Tile; i++) sum = PtxMath.Fma(xTile[row * Pitch + i], wTile[column * Pitch + i], sum);
            Group.Barrier();
        }
        y[(firstRow + row) * outputs + firstOutput + column] = sum;
    }
}
