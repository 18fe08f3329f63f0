using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace Patching.Tests.Ptx;

/// <summary>
/// How a tensor copy permutes the 16-byte chunks of shared memory: address bits 4.. are exclusive-ored with as many bits from bit 7 on.
/// </summary>
internal enum TensorSwizzle
{
    None = 0, Bytes32 = 1, Bytes64 = 2, Bytes128 = 3,
}

/// <summary>
/// What the stand-in driver's <c>cuTensorMapEncodeTiled</c> writes into the 128 bytes that are opaque on a real one, and the
/// interpreter's tensor copies read. Dimension 0 runs fastest and is dense; <see cref="Strides"/>[i] is the distance in bytes between
/// neighbours along dimension i + 1.
/// </summary>
[StructLayout(LayoutKind.Sequential, Size = Size)]
internal unsafe struct TensorMap
{
    /// <summary>Bytes of a map.</summary>
    public const int Size = 128;

    /// <summary>What <see cref="Mark"/> must be.</summary>
    public const uint ExpectedMark = 0x50414D54;

    /// <summary>Tells a map from anything else.</summary>
    public uint Mark;

    /// <summary>Number of dimensions, 1 to 5.</summary>
    public byte Rank;

    /// <summary>Bytes of an element.</summary>
    public byte ElementBytes;

    /// <summary>A <see cref="TensorSwizzle"/>.</summary>
    public byte Swizzle;

    /// <summary>Address of the tensor in global memory.</summary>
    public ulong Address;

    /// <summary>Distances in bytes.</summary>
    public fixed ulong Strides[4];

    /// <summary>Extents of the tensor.</summary>
    public fixed uint Extents[5];

    /// <summary>Extents of what one copy moves.</summary>
    public fixed uint Box[5];

    /// <summary>
    /// A map with the driver's checks: alignment of address and strides, size of the box, and that its inner extent fits the swizzle.
    /// </summary>
    /// <exception cref="ArgumentException">The driver would answer CUDA_ERROR_INVALID_VALUE.</exception>
    public static TensorMap Encode(
        nint address, int elementBytes, ReadOnlySpan<ulong> extents, ReadOnlySpan<ulong> strides, ReadOnlySpan<uint> box, TensorSwizzle swizzle)
    {
        TensorMap map = new()
        {
            Mark = ExpectedMark,
            Rank = (byte)extents.Length,
            ElementBytes = (byte)elementBytes,
            Swizzle = (byte)swizzle,
            Address = (ulong)address,
        };
        if (extents.Length is < 1 or > 5 || strides.Length != extents.Length - 1 || box.Length != extents.Length) throw new ArgumentException("ranks differ");
        if (address % 16 != 0) throw new ArgumentException("the tensor's address is not aligned to 16 bytes");
        for (int i = 0; i < extents.Length; i++)
        {
            if (extents[i] is 0 or > uint.MaxValue || box[i] is 0 or > 256) throw new ArgumentException($"extent {i} is not allowed");
            map.Extents[i] = (uint)extents[i];
            map.Box[i] = box[i];
        }
        for (int i = 0; i < strides.Length; i++)
        {
            if (strides[i] % 16 != 0) throw new ArgumentException($"stride {i} is no multiple of 16 bytes");
            map.Strides[i] = strides[i];
        }
        uint inner = box[0] * (uint)elementBytes;
        if (inner % 16 != 0) throw new ArgumentException("the box's rows are no multiple of 16 bytes");
        if (swizzle != TensorSwizzle.None && inner > 16u << (int)swizzle) throw new ArgumentException("the box's rows are wider than the swizzle");
        return map;
    }

    /// <summary>Writes the map as the 128 bytes that a kernel is given.</summary>
    public readonly void CopyTo(Span<byte> bytes) => MemoryMarshal.Write(bytes, in this);

    /// <summary>Where the byte that a swizzle finds at an address really lies.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Permute(ulong address, TensorSwizzle swizzle) => address ^ (((address >> 7) & ((1UL << (int)swizzle) - 1)) << 4);
}
