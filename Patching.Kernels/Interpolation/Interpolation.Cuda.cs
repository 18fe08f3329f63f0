using System.Runtime.CompilerServices;
using ILGPU;
using ILGPU.Runtime;

namespace Patching.Kernels;

/// <content>
/// The CUDA kernel, bound by memory: 12 bytes per element (8 read, 4 written), 14 with the bfloat16 copy, which costs no second pass. A thread has eight reads of 16
/// bytes under way before it writes the first result; a multiprocessor with 1536 such threads 192 KiB, several times what hides the latency of the memory. The
/// products and the sum are rounded one by one, by instructions that the assembler may not contract.
/// </content>
public static partial class Interpolation
{
    private const int Threads = 256;
    private const int FoursPerThread = 4;

    private static readonly CudaKernel MixCudaKernel = new(Mix, Threads);

    private static void ForwardCuda(Device device, Tensor y, Tensor theta0, Tensor theta1, float weight0, float weight1, Tensor rounded)
    {
        bool isAligned = y.IsAligned(16) && theta0.IsAligned(16) && theta1.IsAligned(16) && (!rounded.Exists || rounded.IsAligned(8));
        Require.Type(y, "y", ElementType.Float32);
        Require.Type(theta0, "theta0", ElementType.Float32);
        Require.Type(theta1, "theta1", ElementType.Float32);
        device.Load<Action<
            AcceleratorStream, KernelConfig, ArrayView<byte>, ArrayView<byte>, ArrayView<byte>, ArrayView<byte>, float, float, int, int, int>>(MixCudaKernel)(
            device.Stream, FlatLaunch.Groups(y.Count, Threads * FoursPerThread * 4, Threads),
            y.Pieces<byte>(), theta0.Pieces<byte>(), theta1.Pieces<byte>(), rounded.Exists ? rounded.Pieces<byte>() : y.Pieces<byte>(),
            weight0, weight1, FlatLaunch.Pieces(y.Count, 4, isAligned), checked((int)y.Count), rounded.Exists ? 1 : 0);
    }

    private static void Mix(
        ArrayView<byte> y, ArrayView<byte> theta0, ArrayView<byte> theta1, ArrayView<byte> rounded, float weight0, float weight1, int fours, int count,
        int hasRounded)
    {
        int i0 = FlatLaunch.FirstPiece(FoursPerThread), i1 = i0 + Threads, i2 = i1 + Threads, i3 = i2 + Threads;
        Float4 a0 = GlobalMemoryAccess.LoadFloat4(ref theta0[i0 * 16L], default, i0, fours), b0 = GlobalMemoryAccess.LoadFloat4(ref theta1[i0 * 16L], default, i0, fours);
        Float4 a1 = GlobalMemoryAccess.LoadFloat4(ref theta0[i1 * 16L], default, i1, fours), b1 = GlobalMemoryAccess.LoadFloat4(ref theta1[i1 * 16L], default, i1, fours);
        Float4 a2 = GlobalMemoryAccess.LoadFloat4(ref theta0[i2 * 16L], default, i2, fours), b2 = GlobalMemoryAccess.LoadFloat4(ref theta1[i2 * 16L], default, i2, fours);
        Float4 a3 = GlobalMemoryAccess.LoadFloat4(ref theta0[i3 * 16L], default, i3, fours), b3 = GlobalMemoryAccess.LoadFloat4(ref theta1[i3 * 16L], default, i3, fours);
        StoreFour(y, rounded, i0, fours, hasRounded, Blend(a0, b0, weight0, weight1));
        StoreFour(y, rounded, i1, fours, hasRounded, Blend(a1, b1, weight0, weight1));
        StoreFour(y, rounded, i2, fours, hasRounded, Blend(a2, b2, weight0, weight1));
        StoreFour(y, rounded, i3, fours, hasRounded, Blend(a3, b3, weight0, weight1));
        for (int i = FlatLaunch.FirstLoose(fours * 4); i < count; i += FlatLaunch.AllThreads)
        {
            float mixed = Blend(GlobalMemoryAccess.LoadFloat(ref theta0[i * 4L]), GlobalMemoryAccess.LoadFloat(ref theta1[i * 4L]), weight0, weight1);
            GlobalMemoryAccess.StoreFloat(ref y[i * 4L], mixed);
            if (hasRounded != 0) GlobalMemoryAccess.StoreBFloat(ref rounded[i * 2L], mixed);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static void StoreFour(ArrayView<byte> y, ArrayView<byte> rounded, int i, int fours, int hasRounded, Float4 mixed)
    {
        GlobalMemoryAccess.StoreFloat4(ref y[i * 16L], mixed, i, fours);
        GlobalMemoryAccess.StoreWord2(ref rounded[i * 8L], BFloatPacking.Pack(mixed), i, fours * hasRounded);
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Float4 Blend(Float4 a, Float4 b, float weight0, float weight1) => new(
        Blend(a.X, b.X, weight0, weight1), Blend(a.Y, b.Y, weight0, weight1), Blend(a.Z, b.Z, weight0, weight1), Blend(a.W, b.W, weight0, weight1));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static float Blend(float a, float b, float weight0, float weight1) =>
        RoundedMath.Add(RoundedMath.Multiply(weight0, a), RoundedMath.Multiply(weight1, b));
}
