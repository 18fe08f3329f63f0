using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using ILGPU.Runtime;
using ILGPU.Runtime.Cuda;

namespace Patching.Kernels;

/// <summary>
/// What the copy engine of sm_90 must know of a matrix: its address, extents and pitch, and the rectangle that one <see cref="BulkTensorCopy"/> moves, with the
/// permutation of its 16-byte pieces in shared memory. 128 bytes whose meaning is the driver's; a kernel gets them by value as one of its first parameters,
/// where they are aligned to 64 bytes.
/// </summary>
[StructLayout(LayoutKind.Sequential)]
internal readonly struct TensorMap
{
    private const int Bytes = 128, Alignment = 64;

    // Not private: ILGPU's generated launchers take the structure apart.
    internal readonly ulong w0, w1, w2, w3, w4, w5, w6, w7, w8, w9, w10, w11, w12, w13, w14, w15;

    /// <summary>
    /// Describes a bfloat16 matrix for copies of <paramref name="boxRows"/> (up to 256) rows of 64 columns, which lie in shared memory as
    /// <see cref="MatrixDescriptor.Swizzled"/> says.
    /// </summary>
    /// <exception cref="DeviceException">The driver refuses: the first element and every row must be aligned to 16 bytes.</exception>
    public static unsafe TensorMap Create(Device device, Tensor matrix, int boxRows)
    {
        ulong* extents = stackalloc ulong[] { (ulong)matrix.Columns, (ulong)matrix.Rows };
        ulong pitch = (ulong)matrix.Columns * sizeof(ushort);
        uint* box = stackalloc uint[] { MatrixDescriptor.AtomNumbers, (uint)boxRows };
        uint* steps = stackalloc uint[] { 1, 1 };
        // The driver wants the result aligned, which .NET's stack is not.
        byte* memory = stackalloc byte[Bytes + Alignment];
        byte* aligned = (byte*)(((nuint)memory + Alignment - 1) / Alignment * Alignment);
        CudaError result = CudaDriver.EncodeTensorMap(
            aligned, CudaDriver.TensorMapBFloat16, 2, (nint)matrix.BFloats.LoadEffectiveAddressAsPtr(), extents, &pitch, box, steps,
            interleave: 0, CudaDriver.TensorMapSwizzle128, CudaDriver.TensorMapPromote256, fill: 0);
        if (result != CudaError.CUDA_SUCCESS) throw device.Failure($"describing {matrix} to the copy engine", new CudaException(result));
        return Unsafe.ReadUnaligned<TensorMap>(aligned);
    }
}
