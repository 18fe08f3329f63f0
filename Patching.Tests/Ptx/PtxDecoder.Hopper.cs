using System.Globalization;

namespace Patching.Tests.Ptx;

/// <content>Instructions of sm_90 and sm_90a: barriers in memory, bulk copies, matrix products of four warps.</content>
internal sealed partial class PtxDecoder
{
    private Operation DecodeHopper() => _parts[0] switch
    {
        "wgmma" => DecodeWgmma(),
        "mbarrier" => DecodeMbarrier(),
        "setmaxnreg" => DecodeRegisterCount(),
        // Launch order is the driver's; prefetches and pauses change nothing that can be seen.
        _ => new Nothing(),
    };

    private RegisterCount DecodeRegisterCount()
    {
        ulong count = Integer(_operands[0]);
        if (count is < 24 or > 256 || count % 8 != 0) throw Fault("registers must be 24 to 256, a multiple of 8");
        return new RegisterCount((int)count, increases: Has("inc"));
    }

    private Operation DecodeMbarrier()
    {
        switch (_parts[1])
        {
            case "init":
                Expect(2);
                return new MbarrierInit(Address(_operands[0], MemorySpace.Shared), Read(1, PtxType.U32));
            case "inval":
                Expect(1);
                return new MbarrierInit(Address(_operands[0], MemorySpace.Shared), null);
            case "expect_tx":
                Expect(2);
                return new MbarrierArrive(Address(_operands[0], MemorySpace.Shared), null, null, Read(1, PtxType.U32), arrives: false);
            case "arrive":
                return DecodeArrive();
            case "test_wait" or "try_wait":
                bool parity = Has("parity");
                (Register, long) address = Address(_operands[1], MemorySpace.Shared);
                Register phase = Read(2, parity ? PtxType.U32 : PtxType.B64);
                return new MbarrierWait(Write(0, PtxType.Pred), address, phase, parity, suspends: _parts[1] == "try_wait");
            default:
                throw Unsupported();
        }
    }

    private MbarrierArrive DecodeArrive()
    {
        if (Has("noComplete")) throw Unsupported();
        bool expects = Has("expect_tx");
        // The state is left out where the barrier may be another block's.
        int first = _operands[0][0] == '[' ? 0 : 1;
        Register? state = first == 1 && _operands[0] != "_" ? Write(0, PtxType.B64) : null;
        (Register, long) address = Address(_operands[first], MemorySpace.Shared);
        Register? number = _operands.Count > first + 1 ? Read(first + 1, PtxType.U32) : null;
        return new MbarrierArrive(address, state, expects ? null : number, expects ? number : null, arrives: true);
    }

    private BulkGroup BulkGroups() => new(waits: Has("wait_group"));

    private Operation DecodeBulkCopy()
    {
        if (Has("commit_group") || Has("wait_group")) return BulkGroups();
        if (Has("multicast::cluster") || Has("im2col") || Has("reduce")) throw Unsupported();
        bool tensor = Has("tensor");
        int global = Array.IndexOf(_parts, "global"), shared = Array.FindIndex(_parts, part => part.StartsWith("shared", StringComparison.Ordinal));
        if (global < 0 || shared < 0) throw Unsupported();
        bool loads = shared < global;
        if (loads && !Has("mbarrier::complete_tx::bytes")) throw Fault("a copy into shared memory completes on an mbarrier");
        string globalText = _operands[loads ? 1 : 0], sharedText = _operands[loads ? 0 : 1];
        (Register, long) memory = Address(sharedText, MemorySpace.Shared);
        if (!tensor)
        {
            Register size = Read(2, PtxType.U32);
            (Register, long)? barrier = loads ? Address(_operands[3], MemorySpace.Shared) : null;
            return new BulkCopy(memory, Address(globalText, MemorySpace.Global), size, barrier);
        }
        int rank = int.Parse(_parts.First(part => part.Length == 2 && part[1] == 'd').AsSpan(0, 1), CultureInfo.InvariantCulture);
        List<string> place = PtxSource.Split(globalText.Trim('[', ']'));
        Register[] coordinates = [.. Vector(place[1]).Select(text => Read(text, PtxType.S32))];
        if (coordinates.Length != rank) throw Fault($"{rank} coordinates expected");
        return new TensorCopy(memory, Address($"[{place[0]}]", MemorySpace.Generic), coordinates, loads ? Address(_operands[2], MemorySpace.Shared) : null);
    }

    private Operation DecodeCopyArrival() => throw Unsupported();

    private Operation DecodeWgmma()
    {
        switch (_parts[1])
        {
            case "fence":
                return new WgmmaGroup(WgmmaStep.Fence, 0);
            case "commit_group":
                return new WgmmaGroup(WgmmaStep.Commit, 0);
            case "wait_group":
                return new WgmmaGroup(WgmmaStep.Wait, (int)Integer(_operands[0]));
        }
        string shape = _parts.FirstOrDefault(part => part.StartsWith("m64n", StringComparison.Ordinal)) ?? throw Unsupported();
        if (!shape.EndsWith("k16", StringComparison.Ordinal) || _parts[^1] != "bf16" || _parts[^2] != "bf16" || _parts[^3] != "f32") throw Unsupported();
        if (_parts[1] != "mma_async" || !Has("sync") || !Has("aligned")) throw Unsupported();
        int columns = int.Parse(shape.AsSpan(4, shape.Length - 7), CultureInfo.InvariantCulture);
        if (columns % 8 != 0 || columns is < 8 or > 256) throw Fault($"{columns} columns");
        bool registers = _operands[1][0] == '{';
        Expect(registers ? 7 : 8);
        Register scale = Constant(_operands[3], PtxType.B32) ?? Read(3, PtxType.Pred);
        if (_operands[4] is not ("1" or "-1") || _operands[5] is not ("1" or "-1")) throw Fault("scales of the operands must be 1 or -1");
        Register[] a = registers ? Fragment(1, 4, PtxType.B32, write: false) : [Read(1, PtxType.B64)];
        Register b = Read(2, PtxType.B64);
        List<string> sums = Vector(_operands[0]);
        if (sums.Count != columns / 2) throw Fault($"{columns / 2} accumulators expected");
        // The accumulators are neither read nor written as other registers are: they belong to the instruction until it is waited for.
        Register[] d = [.. sums.Select(text => Find(text, PtxType.F32))];
        return new Wgmma(d, a, b, scale, columns)
        {
            NegateA = _operands[4] == "-1",
            NegateB = _operands[5] == "-1",
            TransposeA = !registers && Integer(_operands[6]) != 0,
            TransposeB = Integer(_operands[^1]) != 0,
        };
    }
}

/// <summary>
/// <c>setmaxnreg</c>. A real warp waits until the registers are there; here all warps together must have no more than there are at the end.
/// </summary>
internal sealed class RegisterCount(int count, bool increases) : Operation
{
    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.Special;

    /// <summary>The registers that a thread has afterwards.</summary>
    public int Count => count;

    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        warp.RequireAllLanes("setmaxnreg");
        int before = warp.Cta.RegisterCounts[warp.Index];
        if (increases ? count < before : count > before) throw warp.Fault(0, $"a thread has {before} registers before");
        warp.Cta.RegisterCounts[warp.Index] = count;
    }
}

/// <summary>An instruction without an effect that could be seen.</summary>
internal sealed class Nothing : Operation
{
    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.Special;

    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
    }
}
