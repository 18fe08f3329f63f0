using ILGPU.IR.Intrinsics;

namespace Patching.Kernels;

/// <summary>
/// Warp-level matrix instructions of sm_80 and later. All 32 lanes must take part; with lane l, g = l / 4 and t = l % 4.
/// <code>
/// A  16 x 16 bf16   a.X: (g, 2t..2t+1)   a.Y: (g + 8, 2t..)   a.Z: (g, 2t + 8..)   a.W: (g + 8, 2t + 8..)
/// B  16 x 8  bf16   b0: rows 2t..2t+1 of column g             b1: rows 2t + 8.. of column g
/// C  16 x 8  fp32   c.X, c.Y: (g, 2t..2t+1)                   c.Z, c.W: (g + 8, 2t..2t+1)
/// </code>
/// Source: PTX ISA, "Matrix fragments for mma.m16n8k16" and "ldmatrix".
/// </summary>
internal static class TensorCore
{
    /// <summary><c>A B + C</c> for a 16 x 16 and a 16 x 8 matrix of bfloat16, summed in single precision.</summary>
    [IntrinsicImplementation, Ptx("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 $r, $1, {$2, $3}, $0;")]
    public static Float4 Multiply(Float4 c, Word4 a, uint b0, uint b1) => throw NeedsWarp();

    /// <summary>
    /// Four 8 x 8 matrices of 16-bit numbers from shared memory. Lanes 8 i to 8 i + 7 give the addresses of the rows (16 bytes, aligned) of matrix i; word i of
    /// lane l is columns 2t..2t+1 of row g of matrix i.
    /// </summary>
    [IntrinsicImplementation, Ptx("ldmatrix.sync.aligned.m8n8.x4.shared.b16 $r, [$0];")]
    public static Word4 LoadMatrices(uint sharedAddress) => throw NeedsWarp();

    /// <summary>The same, each matrix transposed: word i of lane l is rows 2t..2t+1 of column g of matrix i.</summary>
    [IntrinsicImplementation, Ptx("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 $r, [$0];")]
    public static Word4 LoadMatricesTransposed(uint sharedAddress) => throw NeedsWarp();

    private static NotSupportedException NeedsWarp() => new("an instruction of a whole warp has no emulation on the simulator");
}
