namespace Patching.Tests.Ptx;

/// <content>Branches, ends and barriers.</content>
internal sealed partial class PtxDecoder
{
    private Operation DecodeControl()
    {
        switch (_parts[0])
        {
            case "ret" or "exit":
                return new Exit();
            case "trap":
                return new Trap();
            case "bra":
                Allow("uni");
                Expect(1);
                return new Branch { Targets = [Label(_operands[0])], Uniform = Has("uni") };
        }
        Allow("idx", "uni");
        Expect(2);
        string[] labels = _scope.FindTable(_operands[1]) ?? throw Fault($"no table of branch targets {_operands[1]}");
        return new TableBranch(Read(0, PtxType.U32)) { Targets = [.. labels.Select(Label)], Uniform = Has("uni") };
    }

    private int Label(string name)
    {
        int target = _scope.FindLabel(name);
        return target >= 0 ? target : throw Fault($"label {name} is not defined");
    }

    private Operation DecodeBarrier()
    {
        if (_parts[0] is "membar" or "fence")
        {
            bool device = _parts[0] == "membar" ? !Has("cta") : Has("gpu") || Has("sys");
            return new Fence { Device = device, Proxy = Has("proxy"), Barriers = Has("mbarrier_init") };
        }
        if (Has("cluster")) return new Fence { Device = false, Proxy = false };
        if (_parts.Length > 1 && _parts[1] == "warp")
        {
            Expect(1);
            return new WarpBarrier(Read(0, PtxType.B32));
        }
        bool reduces = Has("red"), arrives = Has("arrive");
        Register? result = null, predicate = null;
        uint flip = 0;
        int first = reduces ? 1 : 0, last = _operands.Count;
        if (reduces)
        {
            result = Write(0, Has("popc") ? PtxType.U32 : PtxType.Pred);
            string text = _operands[--last];
            if (text[0] == '!') flip = uint.MaxValue;
            predicate = Read(text.TrimStart('!'), PtxType.Pred);
        }
        Register id = Read(first, PtxType.U32);
        Register? threads = last > first + 1 ? Read(first + 1, PtxType.U32) : null;
        BarrierReduction reduction = !reduces ? BarrierReduction.None : Has("popc") ? BarrierReduction.Count : Has("and") ? BarrierReduction.All : BarrierReduction.Any;
        return new Barrier(id, threads, arrives) { Reduction = reduction, Result = result, Predicate = predicate, Flip = flip };
    }
}
