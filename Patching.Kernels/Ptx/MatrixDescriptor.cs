using System.Runtime.CompilerServices;

namespace Patching.Kernels;

/// <summary>
/// How <see cref="Wgmma"/> finds an operand in shared memory: 64 bits,
/// <code>
/// bits 0..13 address / 16   |   16..29 leading offset / 16   |   32..45 stride offset / 16   |   62..63 swizzle (0: none, 1: 128 bytes)
/// </code>
/// A swizzled operand is made of <em>atoms</em>: eight rows of 128 bytes (64 numbers), as one <see cref="BulkTensorCopy"/> leaves them, the atom aligned to 1024
/// bytes and its 16-byte piece p of row r at place <c>p ^ r</c>. Atoms below each other are the stride offset apart.
/// <code>
/// along    rows of memory are lines of the operand (rows of A, columns of B), 64 steps of the sum each. 16 steps further: address + 32
/// across   rows of memory are steps of the sum, 64 lines each; the next 64 lines are the leading offset further. 16 steps further: two atoms
/// </code>
/// The swizzle is of the address itself, so a descriptor may begin inside of an atom. Source: PTX ISA, "Shared Memory Matrix Layout" and "Matrix Descriptor".
/// </summary>
internal static class MatrixDescriptor
{
    /// <summary>Numbers in a row of an atom.</summary>
    public const int AtomNumbers = 64;

    /// <summary>Bytes of an atom, and what it is aligned to.</summary>
    public const int AtomBytes = 8 * 2 * AtomNumbers;

    /// <summary>Bytes of 64 rows of 64 numbers.</summary>
    public const int BlockBytes = 8 * AtomBytes;

    /// <summary>What to add to a descriptor for an address that is so many bytes (a multiple of 16) further.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Offset(int bytes) => (ulong)(uint)(bytes >> 4);

    /// <summary>
    /// An operand in rows of 64 numbers: atoms follow each other, and so do, where the sum runs across the rows, blocks of 64 x 64 numbers.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Swizzled(uint address) => (1UL << 62) | Plain(address, BlockBytes, AtomBytes);

    /// <summary>
    /// An operand without swizzle, its sum along the rows: blocks of eight lines of eight steps, 128 bytes each; the next eight steps are
    /// <paramref name="leading"/> bytes further, the next eight lines <paramref name="stride"/>.
    /// </summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong Plain(uint address, int leading, int stride) =>
        ((ulong)(uint)(stride >> 4) << 32) | ((ulong)(uint)(leading >> 4) << 16) | ((ulong)address >> 4);
}
