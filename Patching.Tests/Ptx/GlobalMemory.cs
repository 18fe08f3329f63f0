using System.Numerics;

namespace Patching.Tests.Ptx;

/// <summary>
/// Access to global memory with all checks. Within a launch nothing orders one block's accesses before another's, so that two blocks must
/// not touch the same bytes if one of them writes; threads of one block are ordered as in shared memory.
/// </summary>
internal static unsafe class GlobalMemory
{
    /// <summary>Fails unless the bytes are in one allocation and aligned.</summary>
    public static Allocation Check(Warp warp, int lane, ulong address, int bytes)
    {
        if (address % (ulong)bytes != 0) throw warp.Fault(lane, $"global address 0x{address:X} is not aligned to {bytes} bytes");
        return Find(warp, lane, address, bytes);
    }

    /// <summary>A lane reads.</summary>
    public static void Read(Warp warp, int lane, ulong address, int bytes, bool atomic = false)
    {
        Allocation allocation = Find(warp, lane, address, bytes);
        ulong offset = address - allocation.Address;
        if (!Written(allocation, offset, bytes))
            throw warp.Fault(lane, $"{bytes} bytes at 0x{address:X} (byte {offset} of an allocation of {allocation.Bytes}) are read, but nothing was written there");
        Record(warp, lane, allocation, offset, bytes, write: false, atomic);
    }

    /// <summary>A lane writes.</summary>
    public static void Write(Warp warp, int lane, ulong address, int bytes, bool atomic = false)
    {
        Allocation allocation = Find(warp, lane, address, bytes);
        ulong offset = address - allocation.Address;
        Record(warp, lane, allocation, offset, bytes, write: true, atomic);
        allocation.MarkWritten(offset, (ulong)bytes);
    }

    private static bool Written(Allocation allocation, ulong offset, int bytes)
    {
        if (bytes is 1 or 2 or 4 or 8 or 16) return allocation.IsWritten(offset, bytes);
        return !new Span<byte>(allocation.Written + offset, bytes).ContainsAnyExcept(byte.MaxValue);
    }

    private static Allocation Find(Warp warp, int lane, ulong address, int bytes)
    {
        Allocation? last = warp.Cta.LastAllocation;
        if (last != null && address >= last.Address && address - last.Address + (ulong)bytes <= last.Bytes) return last;
        DeviceMemory memory = warp.Cta.Launch.Memory;
        last = memory.Find(address, (ulong)bytes) ?? throw warp.Fault(lane, memory.Describe(address, bytes));
        warp.Cta.LastAllocation = last;
        return last;
    }

    private static void Record(Warp warp, int lane, Allocation allocation, ulong offset, int bytes, bool write, bool atomic)
    {
        int shift = BitOperations.Log2((uint)warp.Cta.Launch.Entry.Granule);
        for (ulong end = offset + (ulong)bytes; offset < end;)
        {
            ulong number = offset >> Allocation.PageShift;
            ref GlobalPage? slot = ref allocation.Pages[number];
            GlobalPage page = slot ?? Interlocked.CompareExchange(ref slot, new GlobalPage(), null) ?? slot;
            ulong part = Math.Min(end, (number + 1) << Allocation.PageShift);
            bool taken = false;
            page.Lock.Enter(ref taken);
            try
            {
                page.Open(warp.Cta.Launch.Number, shift);
                int last = (int)((part - 1) & (Allocation.PageBytes - 1)) >> shift;
                for (int i = (int)(offset & (Allocation.PageBytes - 1)) >> shift; i <= last; i++)
                {
                    ulong where = allocation.Address + (number << Allocation.PageShift) + ((ulong)i << shift);
                    Record(warp, lane, ref page.Accesses[i], where, write, atomic);
                }
            }
            finally
            {
                page.Lock.Exit();
            }
            offset = part;
        }
    }

    private static void Record(Warp warp, int lane, ref GlobalAccess access, ulong where, bool write, bool atomic)
    {
        int block = warp.Cta.Number + 1;
        if (access.WriterBlock != 0 && !Ordered(warp, lane, access.WriterBlock, access.Writer, atomic))
            throw warp.Fault(lane, Race(warp, write ? "writes" : "reads", where, "wrote", access.WriterBlock, access.Writer));
        if (!write)
        {
            AccessStamp stamp = BlockMemory.Stamp(warp, lane, atomic);
            if (access.ReaderBlock != 0 && access.ReaderBlock != block) access.ReaderBlock = -1;
            else if (access.ReaderBlock == block && access.Reader.Thread != stamp.Thread && access.Reader.Time >= warp.SynchronizedAt) stamp.Thread = AccessStamp.Many;
            else access.ReaderBlock = block;
            access.Reader = stamp;
            return;
        }
        if (access.ReaderBlock != 0 && !Ordered(warp, lane, access.ReaderBlock, access.Reader, atomic))
            throw warp.Fault(lane, Race(warp, "writes", where, "read", access.ReaderBlock, access.Reader));
        access.WriterBlock = block;
        access.Writer = BlockMemory.Stamp(warp, lane, atomic);
    }

    private static bool Ordered(Warp warp, int lane, int block, AccessStamp stamp, bool atomic)
    {
        if (atomic && stamp.Atomic) return true;
        if (block != warp.Cta.Number + 1) return warp.Cta.Knows(block, stamp);
        if (stamp.Thread != AccessStamp.Many) return BlockMemory.Ordered(warp, lane, stamp, atomic);
        // Which threads read is not known: all warps must have been waited for since.
        foreach (Warp other in warp.Cta.Warps)
        {
            if (stamp.Time > warp.Clock[other.Index]) return false;
        }
        return stamp.Time < warp.SynchronizedAt;
    }

    private static string Race(Warp warp, string does, ulong where, string did, int block, AccessStamp stamp)
    {
        int line = warp.Cta.Launch.Entry.Code[stamp.Operation].Source.Line;
        string thread = stamp.Thread == AccessStamp.Many ? "several threads" : $"thread {warp.Cta.Launch.Block.At(stamp.Thread)}";
        string who = block == warp.Cta.Number + 1 ? $"{thread} (PTX line {line}) {did} without a barrier in between"
            : block < 0 ? $"several blocks {did} (PTX line {line}) in the same launch"
            : $"block {warp.Cta.Launch.Grid.At(block - 1)} {thread} (PTX line {line}) {did} in the same launch";
        return $"data race: {does} global address 0x{where:X}, which {who}";
    }
}
