using System.Runtime.CompilerServices;
using ILGPU;
using ILGPU.Runtime;

namespace Patching.Kernels;

/// <content>
/// The CUDA kernels for bfloat16, bound by memory: 4 bytes per element forward, 6 backward. A thread moves eight elements in one access, two such accesses (four
/// backward) under way at once. Arithmetic is single precision with the GPU's approximate functions, whose error the rounding of the result hides.
/// </content>
public static partial class Activation
{
    private const int Threads = 256;
    private const int PieceLength = 8;
    private const int PiecesPerThread = 2;

    private static readonly CudaKernel ForwardCudaKernel = new(ForwardPieces, Threads);
    private static readonly CudaKernel BackwardCudaKernel = new(BackwardPieces, Threads);

    private static void ForwardCuda(Device device, Tensor y, Tensor x, ActivationKind kind)
    {
        Require.Type(y, "y", ElementType.BFloat16);
        int pieces = FlatLaunch.Pieces(y.Count, PieceLength, y.IsAligned(16) && x.IsAligned(16));
        device.Load<Action<AcceleratorStream, KernelConfig, ArrayView<byte>, ArrayView<byte>, int, int, int>>(ForwardCudaKernel)(
            device.Stream, FlatLaunch.Groups(y.Count, Threads * PiecesPerThread * PieceLength, Threads), y.Pieces<byte>(), x.Pieces<byte>(), (int)kind, pieces,
            checked((int)y.Count));
    }

    private static void BackwardCuda(Device device, Tensor dx, Tensor dy, Tensor x, ActivationKind kind)
    {
        Require.Type(dx, "dx", ElementType.BFloat16);
        Require.Type(dy, "dy", ElementType.BFloat16);
        int pieces = FlatLaunch.Pieces(dx.Count, PieceLength, dx.IsAligned(16) && dy.IsAligned(16) && x.IsAligned(16));
        device.Load<Action<AcceleratorStream, KernelConfig, ArrayView<byte>, ArrayView<byte>, ArrayView<byte>, int, int, int>>(BackwardCudaKernel)(
            device.Stream, FlatLaunch.Groups(dx.Count, Threads * PiecesPerThread * PieceLength, Threads), dx.Pieces<byte>(), dy.Pieces<byte>(), x.Pieces<byte>(),
            (int)kind, pieces, checked((int)dx.Count));
    }

    private static void ForwardPieces(ArrayView<byte> y, ArrayView<byte> x, int kind, int pieces, int count)
    {
        int i0 = FlatLaunch.FirstPiece(PiecesPerThread), i1 = i0 + Threads;
        Word4 x0 = GlobalMemoryAccess.LoadWord4(ref x[i0 * 16L], default, i0, pieces), x1 = GlobalMemoryAccess.LoadWord4(ref x[i1 * 16L], default, i1, pieces);
        GlobalMemoryAccess.StoreWord4(ref y[i0 * 16L], Value(x0, kind), i0, pieces);
        GlobalMemoryAccess.StoreWord4(ref y[i1 * 16L], Value(x1, kind), i1, pieces);
        for (int i = FlatLaunch.FirstLoose(pieces * PieceLength); i < count; i += FlatLaunch.AllThreads)
            GlobalMemoryAccess.StoreBFloat(ref y[i * 2L], FastActivation.Value(GlobalMemoryAccess.LoadBFloat(ref x[i * 2L]), kind));
    }

    private static void BackwardPieces(ArrayView<byte> dx, ArrayView<byte> dy, ArrayView<byte> x, int kind, int pieces, int count)
    {
        int i0 = FlatLaunch.FirstPiece(PiecesPerThread), i1 = i0 + Threads;
        Word4 x0 = GlobalMemoryAccess.LoadWord4(ref x[i0 * 16L], default, i0, pieces), dy0 = GlobalMemoryAccess.LoadWord4(ref dy[i0 * 16L], default, i0, pieces);
        Word4 x1 = GlobalMemoryAccess.LoadWord4(ref x[i1 * 16L], default, i1, pieces), dy1 = GlobalMemoryAccess.LoadWord4(ref dy[i1 * 16L], default, i1, pieces);
        GlobalMemoryAccess.StoreWord4(ref dx[i0 * 16L], Gradient(dy0, x0, kind), i0, pieces);
        GlobalMemoryAccess.StoreWord4(ref dx[i1 * 16L], Gradient(dy1, x1, kind), i1, pieces);
        for (int i = FlatLaunch.FirstLoose(pieces * PieceLength); i < count; i += FlatLaunch.AllThreads)
        {
            float derivative = FastActivation.Derivative(GlobalMemoryAccess.LoadBFloat(ref x[i * 2L]), kind);
            GlobalMemoryAccess.StoreBFloat(ref dx[i * 2L], GlobalMemoryAccess.LoadBFloat(ref dy[i * 2L]) * derivative);
        }
    }

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Word4 Value(Word4 x, int kind) => BFloatPacking.Join(
        BFloatPacking.Pack(FastActivation.Value(BFloatPacking.Unpack(BFloatPacking.Low(x)), kind)),
        BFloatPacking.Pack(FastActivation.Value(BFloatPacking.Unpack(BFloatPacking.High(x)), kind)));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Word4 Gradient(Word4 dy, Word4 x, int kind) => BFloatPacking.Join(
        Gradient(BFloatPacking.Low(dy), BFloatPacking.Low(x), kind), Gradient(BFloatPacking.High(dy), BFloatPacking.High(x), kind));

    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    private static Word2 Gradient(Word2 dy, Word2 x, int kind) =>
        BFloatPacking.Pack(Quad.Multiply(BFloatPacking.Unpack(dy), FastActivation.Derivative(BFloatPacking.Unpack(x), kind)));
}
