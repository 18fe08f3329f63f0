namespace Patching.Tests.Ptx;

/// <summary>What an instruction is counted as.</summary>
internal enum InstructionClass
{
    Alu, Convert, Special, Branch, Barrier, WarpSync, LoadParameter, LoadGlobal, StoreGlobal, LoadShared, StoreShared, LoadGeneric, StoreGeneric,
    Atomic, CopyAsync, LoadMatrix, Mma, Wgmma, BulkCopy, Mbarrier, Fence, Local,
}

/// <summary>A decoded instruction, which works on the lanes of a warp that are active.</summary>
internal abstract unsafe class Operation
{
    /// <summary>Where it stands in the text.</summary>
    public PtxStatement Source { get; set; } = PtxStatement.End;

    /// <summary>Number of the instruction in the kernel.</summary>
    public int Index { get; set; }

    /// <summary>Storage of the predicate that guards the instruction; -1: none.</summary>
    public int GuardOffset { get; set; } = -1;

    /// <summary>Bits that are exclusive-ored to the guard: all ones for <c>@!p</c>.</summary>
    public uint GuardFlip { get; set; }

    /// <summary>Numbers of the registers that must be defined.</summary>
    public Register[] Reads { get; set; } = [];

    /// <summary>Registers that are defined afterwards.</summary>
    public Register[] Writes { get; set; } = [];

    /// <summary>The guard's register, or null.</summary>
    public Register? Guard { get; set; }

    /// <summary>What it counts as.</summary>
    public virtual InstructionClass Class => InstructionClass.Alu;

    /// <summary>Bytes that a lane moves, for loads and stores.</summary>
    public virtual int Bytes => 0;

    /// <summary>Executes the instruction for <see cref="Warp.Active"/>.</summary>
    public abstract void Execute(Warp warp);
}
