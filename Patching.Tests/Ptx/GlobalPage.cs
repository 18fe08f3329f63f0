namespace Patching.Tests.Ptx;

/// <summary>Who last touched a few bytes of global memory in a launch.</summary>
internal struct GlobalAccess
{
    /// <summary>Block + 1 of the last writer; 0: nobody.</summary>
    public int WriterBlock;

    /// <summary>Thread, time and kind of the last write.</summary>
    public AccessStamp Writer;

    /// <summary>Block + 1 of the last reader; 0: nobody; negative: several blocks.</summary>
    public int ReaderBlock;

    /// <summary>Thread, time and kind of the last read.</summary>
    public AccessStamp Reader;
}

/// <summary>When and how a thread touched memory.</summary>
internal struct AccessStamp
{
    /// <summary>Thread of the block; <see cref="Many"/>: several.</summary>
    public short Thread;

    /// <summary>Whether the access was atomic: two of these do not race.</summary>
    public bool Atomic;

    /// <summary>Time of the warp.</summary>
    public uint Time;

    /// <summary>The instruction.</summary>
    public int Operation;

    /// <summary>In place of a thread: several threads of one block.</summary>
    public const short Many = -1;
}

/// <summary>The race detector's memory of 4 KiB of global memory. Blocks that run at the same time take turns.</summary>
internal sealed class GlobalPage
{
    private int _launch = -1;

    /// <summary>Taken while accesses are looked at and recorded.</summary>
    public SpinLock Lock = new(enableThreadOwnerTracking: false);

    /// <summary>One entry for each granule.</summary>
    public GlobalAccess[] Accesses { get; private set; } = [];

    /// <summary>Forgets what earlier launches did.</summary>
    public void Open(int launch, int granuleShift)
    {
        if (_launch == launch) return;
        _launch = launch;
        int count = Allocation.PageBytes >> granuleShift;
        if (Accesses.Length != count) Accesses = new GlobalAccess[count];
        else Array.Clear(Accesses);
    }
}
