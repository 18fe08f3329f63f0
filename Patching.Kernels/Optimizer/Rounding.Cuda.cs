using ILGPU;
using ILGPU.Runtime;

namespace Patching.Kernels;

/// <content>
/// The CUDA kernel. It moves 6 bytes per element (4 read, 2 written); a thread has four reads of 16 bytes under way, a multiprocessor of 2048 threads 128 KiB.
/// </content>
public static partial class Rounding
{
    private const int Threads = 256;
    private const int FoursPerThread = 4;

    private static readonly CudaKernel ForwardCudaKernel = new(Round, Threads);

    private static void ForwardCuda(Device device, Tensor rounded, Tensor x)
    {
        int fours = FlatLaunch.Pieces(x.Count, 4, x.IsAligned(16) && rounded.IsAligned(8));
        device.Load<Action<AcceleratorStream, KernelConfig, ArrayView<byte>, ArrayView<byte>, int, int>>(ForwardCudaKernel)(
            device.Stream, FlatLaunch.Groups(x.Count, Threads * FoursPerThread * 4, Threads), rounded.Pieces<byte>(), x.Pieces<byte>(), fours, checked((int)x.Count));
    }

    private static void Round(ArrayView<byte> rounded, ArrayView<byte> x, int fours, int count)
    {
        int i0 = FlatLaunch.FirstPiece(FoursPerThread), i1 = i0 + Threads, i2 = i1 + Threads, i3 = i2 + Threads;
        Float4 v0 = GlobalMemoryAccess.LoadFloat4(ref x[i0 * 16L], default, i0, fours);
        Float4 v1 = GlobalMemoryAccess.LoadFloat4(ref x[i1 * 16L], default, i1, fours);
        Float4 v2 = GlobalMemoryAccess.LoadFloat4(ref x[i2 * 16L], default, i2, fours);
        Float4 v3 = GlobalMemoryAccess.LoadFloat4(ref x[i3 * 16L], default, i3, fours);
        GlobalMemoryAccess.StoreWord2(ref rounded[i0 * 8L], BFloatPacking.Pack(v0), i0, fours);
        GlobalMemoryAccess.StoreWord2(ref rounded[i1 * 8L], BFloatPacking.Pack(v1), i1, fours);
        GlobalMemoryAccess.StoreWord2(ref rounded[i2 * 8L], BFloatPacking.Pack(v2), i2, fours);
        GlobalMemoryAccess.StoreWord2(ref rounded[i3 * 8L], BFloatPacking.Pack(v3), i3, fours);
        for (int i = FlatLaunch.FirstLoose(fours * 4); i < count; i += FlatLaunch.AllThreads)
            GlobalMemoryAccess.StoreBFloat(ref rounded[i * 2L], GlobalMemoryAccess.LoadFloat(ref x[i * 4L]));
    }
}
