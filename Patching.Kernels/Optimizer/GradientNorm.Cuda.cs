using ILGPU;
using ILGPU.Algorithms;
using ILGPU.Runtime;

namespace Patching.Kernels;

/// <content>
/// The CUDA kernels: groups sum squares in double precision over interleaved pieces, four reads of 16 bytes per thread under way, and a last group adds their sums up.
/// 4 bytes per element. The number of groups depends on nothing but the number of elements.
/// </content>
public static partial class GradientNorm
{
    private const int Threads = 256;
    private const int PiecesPerThread = 4;

    // Four groups for each multiprocessor of an H100, nearly; one for each thread of the last kernel.
    private const int MostGroups = 512;

    private static readonly CudaKernel SumCudaKernel = new(SumGroupSquares, Threads);
    private static readonly CudaKernel ResultCudaKernel = new(ResultOfSums, MostGroups);

    private static void ForwardCuda(Device device, Tensor result, Tensor gradient, Tensor scratch, float maxNorm)
    {
        Require.Type(gradient, "gradient", ElementType.Float32);
        ArrayView<double> sums = scratch.Floats.Cast<double>();
        int groups = Math.Min(MostGroups, FlatLaunch.Groups(gradient.Count, Threads * PiecesPerThread * 4, Threads).GridDim.X);
        device.Load<Action<AcceleratorStream, KernelConfig, ArrayView<double>, ArrayView<byte>, int, int>>(SumCudaKernel)(
            device.Stream, new KernelConfig(groups, Threads), sums, gradient.Pieces<byte>(), FlatLaunch.Pieces(gradient.Count, 4, gradient.IsAligned(16)),
            checked((int)gradient.Count));
        device.Load<Action<AcceleratorStream, KernelConfig, ArrayView<float>, ArrayView<double>, int, float>>(ResultCudaKernel)(
            device.Stream, new KernelConfig(1, MostGroups), result.Floats, sums, groups, maxNorm);
    }

    private static void SumGroupSquares(ArrayView<double> sums, ArrayView<byte> gradient, int fours, int count)
    {
        int stride = FlatLaunch.AllThreads;
        double s0 = 0, s1 = 0, s2 = 0, s3 = 0;
        for (int i0 = FlatLaunch.FirstLoose(0); i0 < fours; i0 += PiecesPerThread * stride)
        {
            int i1 = i0 + stride, i2 = i1 + stride, i3 = i2 + stride;
            Float4 g0 = GlobalMemoryAccess.LoadFloat4(ref gradient[i0 * 16L], default, 0, 1);
            Float4 g1 = GlobalMemoryAccess.LoadFloat4(ref gradient[i1 * 16L], default, i1, fours);
            Float4 g2 = GlobalMemoryAccess.LoadFloat4(ref gradient[i2 * 16L], default, i2, fours);
            Float4 g3 = GlobalMemoryAccess.LoadFloat4(ref gradient[i3 * 16L], default, i3, fours);
            s0 = PlusSquares(s0, g0);
            s1 = PlusSquares(s1, g1);
            s2 = PlusSquares(s2, g2);
            s3 = PlusSquares(s3, g3);
        }
        for (int i = FlatLaunch.FirstLoose(fours * 4); i < count; i += stride) s0 = PlusSquare(s0, GlobalMemoryAccess.LoadFloat(ref gradient[i * 4L]));

        ArrayView<double> shared = SharedMemory.Allocate<double>(Threads);
        Reduce(shared, s0 + s1 + (s2 + s3), Threads);
        if (Group.IdxX == 0) sums[Grid.IdxX] = shared[0];
    }

    private static void ResultOfSums(ArrayView<float> result, ArrayView<double> sums, int groups, float maxNorm)
    {
        ArrayView<double> shared = SharedMemory.Allocate<double>(MostGroups);
        double sum = 0;
        if (Group.IdxX < groups) sum = sums[Group.IdxX];
        Reduce(shared, sum, MostGroups);
        if (Group.IdxX == 0) WriteResult(result, XMath.Sqrt(shared[0]), maxNorm);
    }

    /// <summary>Sums over the group's threads, halving their number again and again; thread 0 finds the result in the first element.</summary>
    private static void Reduce(ArrayView<double> shared, double value, int threads)
    {
        shared[Group.IdxX] = value;
        for (int half = threads / 2; half > 0; half /= 2)
        {
            Group.Barrier();
            if (Group.IdxX < half) shared[Group.IdxX] += shared[Group.IdxX + half];
        }
    }

    private static double PlusSquares(double sum, Float4 g) => PlusSquare(PlusSquare(PlusSquare(PlusSquare(sum, g.X), g.Y), g.Z), g.W);

    // The square is exact: contracted or not, the sum is the same.
    private static double PlusSquare(double sum, float g) => sum + (double)g * g;
}
