using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Patching.Tests.Ptx;

/// <summary>
/// <c>ldmatrix</c> and <c>stmatrix</c> of one, two or four 8 x 8 matrices of 16-bit numbers. Lanes 8 i to 8 i + 7 give the addresses of
/// the rows of matrix i. Register i of lane l holds columns 2 t and 2 t + 1 of row g (g = l / 4, t = l % 4); transposed, rows 2 t and 2 t
/// + 1 of column g. (PTX ISA, "ldmatrix".)
/// </summary>
internal sealed unsafe class MatrixAccess(Register address, long offset, Register[] registers, bool transposed, bool load) : Operation
{
    /// <inheritdoc/>
    public override InstructionClass Class => load ? InstructionClass.LoadMatrix : InstructionClass.StoreShared;

    /// <inheritdoc/>
    public override int Bytes => 4 * registers.Length;

    /// <inheritdoc/>
    [SkipLocalsInit]
    public override void Execute(Warp warp)
    {
        warp.RequireAllLanes(load ? "ldmatrix" : "stmatrix");
        if (warp.Lanes != uint.MaxValue) throw warp.Fault(0, "matrix instruction in a warp of fewer than 32 threads");
        ulong* rows = stackalloc ulong[32];
        BlockMemory shared = warp.Cta.Shared;
        ref Counters counters = ref warp.Cta.Counters[Index];
        for (int matrix = 0; matrix < registers.Length; matrix++)
        {
            for (int row = 0; row < 8; row++)
            {
                int lane = (8 * matrix) + row;
                ulong at = Lanes.Read(warp.Storage + address.Offset, lane, address.Type.Size()) + (ulong)offset;
                if (address.Type.Size() == 4) at = (uint)at;
                shared.Check(warp, lane, at, 16);
                if (load) shared.Read(warp, lane, (int)at, 16);
                else shared.Write(warp, lane, (int)at, 16);
                rows[lane] = at;
            }
            Coalescing.CountShared(ref counters, rows, 0xFFu << (8 * matrix), 16);
            ushort* values = (ushort*)(warp.Storage + registers[matrix].Offset);
            for (int lane = 0; lane < 32; lane++)
            {
                for (int half = 0; half < 2; half++)
                {
                    int row = transposed ? (2 * (lane & 3)) + half : lane >> 2, column = transposed ? lane >> 2 : (2 * (lane & 3)) + half;
                    ushort* place = (ushort*)(shared.Data + rows[(8 * matrix) + row]) + column;
                    if (load) values[(2 * lane) + half] = *place;
                    else *place = values[(2 * lane) + half];
                }
            }
        }
    }
}

/// <summary>
/// <c>mma.sync.m16n8kK</c>: C += A B with A 16 x K, B K x 8, and sums in single precision. With g = l / 4 and t = l % 4, and e elements
/// in a register (two of 16 bits, one of TF32), register i of A holds row g + 8 (i % 2) and columns e t + 4 e (i / 2) onwards, register i
/// of B rows e t + 4 e i onwards of column g, and register i of C row g + 8 (i / 2) and column 2 t + i % 2. (PTX ISA, "Matrix Fragments
/// for mma.m16n8k16" and the sections around it.)
/// </summary>
internal sealed unsafe class Mma(Register[] d, Register[] a, Register[] b, Register[] c, int k, PtxType element) : Operation
{
    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.Mma;

    /// <inheritdoc/>
    [SkipLocalsInit]
    public override void Execute(Warp warp)
    {
        warp.RequireAllLanes("mma");
        if (warp.Lanes != uint.MaxValue) throw warp.Fault(0, "matrix instruction in a warp of fewer than 32 threads");
        float* left = stackalloc float[16 * 16];
        float* right = stackalloc float[16 * 8];
        float* sums = stackalloc float[16 * 8];
        int each = element == PtxType.TF32 ? 1 : 2;
        for (int i = 0; i < a.Length; i++)
        {
            uint* values = (uint*)(warp.Storage + a[i].Offset);
            for (int lane = 0; lane < 32; lane++)
            {
                float* place = left + (16 * ((lane >> 2) + (8 * (i & 1)))) + (each * (lane & 3)) + (4 * each * (i >> 1));
                Unpack(values[lane], place, 1);
            }
        }
        for (int i = 0; i < b.Length; i++)
        {
            uint* values = (uint*)(warp.Storage + b[i].Offset);
            for (int lane = 0; lane < 32; lane++)
                Unpack(values[lane], right + (8 * ((each * (lane & 3)) + (4 * each * i))) + (lane >> 2), 8);
        }
        for (int i = 0; i < 4; i++)
        {
            float* values = (float*)(warp.Storage + c[i].Offset);
            for (int lane = 0; lane < 32; lane++) sums[(8 * ((lane >> 2) + (8 * (i >> 1)))) + (2 * (lane & 3)) + (i & 1)] = values[lane];
        }
        for (int row = 0; row < 16; row++)
        {
            // The products are summed first, then added: closer to what tensor cores do than one long chain.
            Vector256<float> products = Vector256<float>.Zero;
            for (int n = 0; n < k; n++)
                products = Vector256.MultiplyAddEstimate(Vector256.Create(left[(16 * row) + n]), Vector256.Load(right + (8 * n)), products);
            (products + Vector256.Load(sums + (8 * row))).Store(sums + (8 * row));
        }
        for (int i = 0; i < 4; i++)
        {
            float* values = (float*)(warp.Storage + d[i].Offset);
            for (int lane = 0; lane < 32; lane++) values[lane] = sums[(8 * ((lane >> 2) + (8 * (i >> 1)))) + (2 * (lane & 3)) + (i & 1)];
        }
    }

    private void Unpack(uint bits, float* place, int stride)
    {
        if (element == PtxType.BF16)
        {
            place[0] = Numbers.FromBFloat(bits);
            place[stride] = BitConverter.UInt32BitsToSingle(bits & 0xFFFF0000);
        }
        else if (element == PtxType.F16)
        {
            place[0] = (float)BitConverter.UInt16BitsToHalf((ushort)bits);
            place[stride] = (float)BitConverter.UInt16BitsToHalf((ushort)(bits >> 16));
        }
        else
        {
            place[0] = BitConverter.UInt32BitsToSingle(bits & 0xFFFFE000);
        }
    }
}
