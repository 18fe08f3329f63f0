using System.Runtime.CompilerServices;
using System.Runtime.Intrinsics;

namespace Patching.Tests.Ptx;

/// <summary>What orders matrix products of four warps.</summary>
internal enum WgmmaStep
{
    Fence, Commit, Wait,
}

/// <summary><c>wgmma.fence</c>, <c>wgmma.commit_group</c> and <c>wgmma.wait_group</c>.</summary>
internal sealed class WgmmaGroup(WgmmaStep step, int groups) : Operation
{
    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.Fence;

    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        warp.RequireAllLanes("wgmma");
        switch (step)
        {
            case WgmmaStep.Fence:
                warp.Products.Fenced = true;
                break;
            case WgmmaStep.Commit:
                warp.Products.Commit();
                break;
            default:
                warp.Products.Wait(warp, groups);
                break;
        }
    }
}

/// <summary>
/// A warp's products under way: their accumulators must not be used, and the shared memory they read must not change, before they are
/// waited for.
/// </summary>
internal sealed class WgmmaQueue
{
    private readonly List<(int Group, Register[] Accumulators, List<int> Places)> _pending = [];
    private int _committed;

    /// <summary>Whether a fence came after the last wait: the accumulators may be touched by other instructions in between.</summary>
    public bool Fenced { get; set; }

    /// <summary>Forgets everything.</summary>
    public void Clear()
    {
        _pending.Clear();
        _committed = 0;
        Fenced = false;
    }

    /// <summary>The warp ends.</summary>
    public void Finish(Warp warp)
    {
        if (_pending.Count == 0) return;
        Commit();
        Wait(warp, 0);
    }

    /// <summary>A product in the open group; places are what it reads, 16 bytes each.</summary>
    public void Start(Register[] accumulators, List<int> places) => _pending.Add((_committed, accumulators, places));

    /// <summary>Closes the open group.</summary>
    public void Commit() => _committed++;

    /// <summary>Whether a register is an accumulator of a product under way.</summary>
    public bool Holds(Register register) => _pending.Any(product => product.Accumulators.Contains(register));

    /// <summary>Finishes all but the latest groups.</summary>
    public void Wait(Warp warp, int groups)
    {
        Fenced = false;
        foreach ((int group, _, List<int> places) in _pending)
        {
            if (group >= _committed - groups) continue;
            foreach (int place in places) warp.Cta.Shared.EndRead(warp, place);
        }
        List<(int Group, Register[] Accumulators, List<int> Places)> done = [.. _pending.Where(product => product.Group < _committed - groups)];
        _pending.RemoveAll(product => product.Group < _committed - groups);
        foreach ((_, _, List<int> places) in _pending)
        {
            foreach (int place in places) warp.Cta.Shared.BeginRead(warp, place);
        }
        foreach ((_, Register[] accumulators, _) in done)
        {
            foreach (Register register in accumulators)
            {
                if (!Holds(register)) warp.Define(register, uint.MaxValue);
            }
        }
    }
}

/// <summary>
/// <c>wgmma.mma_async.m64nNk16</c>: D = A B + D (or A B) for four warps, of which each computes rows 16 w to 16 w + 15 (w = warp % 4). In
/// lane l, with g = l / 4 and t = l % 4, accumulator 4 j + 2 h + e is row g + 8 h and column 8 j + 2 t + e; A in registers is laid out as
/// for <see cref="Mma"/>. Matrices in shared memory are described by 64 bits:
/// <code>
/// bits 0..13   address / 16          bits 16..29  leading offset / 16        bits 32..45  stride offset / 16
/// bits 49..51  base offset (zero)    bits 62..63  0: no swizzle, 1: 128 bytes, 2: 64 bytes, 3: 32 bytes
/// </code>
/// With s = swizzle width in bytes (16 for none), element (r, k) of an operand whose rows run along K lies at 8-row group (r / 8) *
/// stride + (r % 8) * s + 2 k (without swizzle: + (k / 8) * leading + 2 (k % 8)). Transposed, rows run along M or N: (r / (s / 2)) *
/// leading + (k / 8) * stride + (k % 8) * s + 2 (r % (s / 2)); without swizzle the two offsets change places. The resulting address is
/// then permuted as <see cref="TensorMap.Permute"/> does. (PTX ISA, "Shared Memory Matrix Layout"; CUTLASS, canonical layouts.)
/// </summary>
internal sealed unsafe class Wgmma(Register[] d, Register[] a, Register b, Register scale, int columns) : Operation
{
    private const int Depth = 16;

    /// <summary>Whether A counts negative.</summary>
    public bool NegateA { get; init; }

    /// <summary>Whether B counts negative.</summary>
    public bool NegateB { get; init; }

    /// <summary>Whether A's rows run along M in memory.</summary>
    public bool TransposeA { get; init; }

    /// <summary>Whether B's rows run along N in memory.</summary>
    public bool TransposeB { get; init; }

    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.Wgmma;

    /// <inheritdoc/>
    [SkipLocalsInit]
    public override void Execute(Warp warp)
    {
        warp.RequireAllLanes("wgmma");
        if (warp.Lanes != uint.MaxValue || warp.Cta.WarpCount % 4 != 0) throw warp.Fault(0, "wgmma in a block that has no full groups of four warps");
        if (!warp.Products.Fenced) throw warp.Fault(0, "wgmma without wgmma.fence since the last wait");
        bool keeps = scale.Type == PtxType.Pred ? *(uint*)(warp.Storage + scale.Offset) != 0 : *(uint*)(warp.Storage + scale.Offset) != 0;
        List<int> places = [];
        float* left = stackalloc float[16 * Depth];
        float* right = stackalloc float[Depth * 256];
        LoadA(warp, left, places);
        Load(warp, b, columns, 0, TransposeB, right, 1, columns, places);
        float sign = NegateA != NegateB ? -1 : 1;
        for (int j = 0; j < columns / 8; j++)
        {
            for (int row = 0; row < 16; row++)
            {
                Vector256<float> products = Vector256<float>.Zero;
                for (int k = 0; k < Depth; k++)
                    products = Vector256.MultiplyAddEstimate(Vector256.Create(sign * left[(Depth * row) + k]), Vector256.Load(right + (columns * k) + (8 * j)), products);
                for (int column = 0; column < 8; column++)
                {
                    Register register = d[(4 * j) + (2 * (row >> 3)) + (column & 1)];
                    int lane = (4 * (row & 7)) + (column >> 1);
                    if (keeps && !warp.IsDefined(register) && !warp.Products.Holds(register)) throw warp.Fault(lane, $"accumulator {register.Name} is added to before anything is written to it");
                    float* sum = (float*)(warp.Storage + register.Offset) + lane;
                    *sum = (keeps ? *sum : 0) + products[column];
                }
            }
        }
        // What the matrix unit reads: each warp its rows of A, the four together B once.
        ref Counters counters = ref warp.Cta.Counters[Index];
        int passes = ((a.Length == 1 ? 16 : 0) + (warp.Index % 4 == 0 ? columns : 0)) * Depth * sizeof(ushort) / 128;
        counters.Wavefronts += passes;
        counters.IdealWavefronts += passes;
        warp.Products.Start(d, places);
        foreach (Register register in d) warp.Undefine(register, uint.MaxValue);
    }

    private void LoadA(Warp warp, float* left, List<int> places)
    {
        if (a.Length == 1)
        {
            Load(warp, a[0], 16, 16 * (warp.Index % 4), TransposeA, left, Depth, 1, places);
            return;
        }
        for (int i = 0; i < 4; i++)
        {
            uint* values = (uint*)(warp.Storage + a[i].Offset);
            for (int lane = 0; lane < 32; lane++)
            {
                float* place = left + (Depth * ((lane >> 2) + (8 * (i & 1)))) + (2 * (lane & 3)) + (8 * (i >> 1));
                place[0] = Numbers.FromBFloat(values[lane]);
                place[1] = BitConverter.UInt32BitsToSingle(values[lane] & 0xFFFF0000);
            }
        }
    }

    // Element (row, k) of an operand goes to result[row * rowStride + k * depthStride].
    private static void Load(
        Warp warp, Register descriptor, int rows, int firstRow, bool transposed, float* result, int rowStride, int depthStride, List<int> places)
    {
        ulong* descriptors = (ulong*)(warp.Storage + descriptor.Offset);
        ulong bits = descriptors[0];
        for (int lane = 1; lane < 32; lane++)
        {
            if (descriptors[lane] != bits) throw warp.Fault(lane, "the lanes have different matrix descriptors");
        }
        if (((bits >> 49) & 7) != 0) throw warp.Fault(0, "matrix descriptors with a base offset are not supported");
        TensorSwizzle swizzle = (int)(bits >> 62) switch { 0 => TensorSwizzle.None, 1 => TensorSwizzle.Bytes128, 2 => TensorSwizzle.Bytes64, _ => TensorSwizzle.Bytes32 };
        int start = (int)(bits & 0x3FFF) << 4, leading = (int)((bits >> 16) & 0x3FFF) << 4, stride = (int)((bits >> 32) & 0x3FFF) << 4;
        int width = 16 << (int)swizzle;
        // Eight elements that lie side by side are read at once.
        int outer = transposed ? Depth : rows, chunks = (transposed ? rows : Depth) / 8;
        for (int i = 0; i < outer; i++)
        {
            for (int chunk = 0; chunk < chunks; chunk++)
            {
                int row = firstRow + (transposed ? 8 * chunk : i), k = transposed ? i : 8 * chunk;
                int offset = Offset(row, k, transposed, swizzle, width, leading, stride);
                ulong address = TensorMap.Permute((ulong)(start + offset), swizzle);
                warp.Cta.Shared.Check(warp, 0, address, 16);
                warp.Cta.Shared.Read(warp, 0, (int)address, 16, asynchronous: true);
                warp.Cta.Shared.BeginRead(warp, (int)address);
                places.Add((int)address);
                ushort* values = (ushort*)(warp.Cta.Shared.Data + address);
                for (int e = 0; e < 8; e++)
                {
                    int r = row - firstRow + (transposed ? e : 0), depth = k + (transposed ? 0 : e);
                    result[(r * rowStride) + (depth * depthStride)] = Numbers.FromBFloat(values[e]);
                }
            }
        }
    }

    private static int Offset(int row, int k, bool transposed, TensorSwizzle swizzle, int width, int leading, int stride)
    {
        if (!transposed)
        {
            int group = (row / 8 * stride) + (row % 8 * width);
            return swizzle == TensorSwizzle.None ? group + (k / 8 * leading) : group + (2 * k);
        }
        int across = width / 2;
        (int rows, int depths) = swizzle == TensorSwizzle.None ? (stride, leading) : (leading, stride);
        return (row / across * rows) + (k / 8 * depths) + (k % 8 * width) + (2 * (row % across));
    }
}
