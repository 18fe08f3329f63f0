using ILGPU;
using ILGPU.Runtime;

namespace Patching.Kernels;

/// <content>
/// The CUDA kernel of the gradient, after everything has been set to zero: a group per selected row, which leaves a row that was selected before to the group of the
/// first selection; that one adds all of them in the order of the batch.
/// </content>
public static partial class RowSelection
{
    private const int Threads = 128;

    private static readonly CudaKernel ScatterCudaKernel = new(ScatterRows, Threads);

    private static void ScatterCuda(Device device, Tensor dx, Tensor dy, Tensor rows, Tensor rounded)
    {
        dx.Clear();
        if (rounded.Exists) rounded.Clear();
        device.Load<Action<AcceleratorStream, KernelConfig, NumberMatrix, NumberMatrix, NumberMatrix, ArrayView<int>, int, int, int, int>>(ScatterCudaKernel)(
            device.Stream, new KernelConfig(checked((int)rows.Count), Threads), new NumberMatrix(dx), new NumberMatrix(rounded.Exists ? rounded : dx),
            new NumberMatrix(dy), rows.Ints, (int)rows.Count, dx.Rows, dx.Columns, rounded.Exists ? 1 : 0);
    }

    private static void ScatterRows(
        NumberMatrix dx, NumberMatrix rounded, NumberMatrix dy, ArrayView<int> rows, int batch, int count, int columns, int hasRounded)
    {
        int row = rows[Grid.IdxX];
        bool isFirst = row >= 0 && row < count;
        for (int b = 0; b < Grid.IdxX; b++) isFirst &= rows[b] != row;
        if (!isFirst) return;
        for (int c = 4 * Group.IdxX; c < columns; c += 4 * Threads)
        {
            Float4 sum = default;
            for (int b = Grid.IdxX; b < batch; b++)
            {
                if (rows[b] == row) sum = Quad.Add(sum, dy.Load(b, c));
            }
            dx.Store(row, c, sum);
            if (hasRounded != 0) rounded.Store(row, c, sum);
        }
    }
}
