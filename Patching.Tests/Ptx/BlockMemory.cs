using System.Numerics;
using System.Runtime.InteropServices;

namespace Patching.Tests.Ptx;

/// <summary>The windows of the generic address space. No address of this process lies in them.</summary>
internal static class GenericSpace
{
    /// <summary>Address of the first byte of shared memory.</summary>
    public const ulong Shared = 1UL << 56;

    /// <summary>Address of the first parameter of the kernel.</summary>
    public const ulong Parameters = 1UL << 57;
}

/// <summary>
/// A block's shared memory with its shadow: which bytes were written, and who touched each granule last. Two accesses race when one
/// writes and neither happened before the other: see <see cref="Warp.Clock"/> between warps; lanes of one warp are ordered by a
/// synchronisation of the warp only, even where they execute together.
/// </summary>
internal sealed unsafe class BlockMemory : IDisposable
{
    private readonly int _granuleShift;
    private readonly int _warps;
    private readonly int _clocks;
    private readonly Access* _accesses;
    private readonly uint* _readTimes;

    /// <summary>Memory of a number of bytes for a number of warps.</summary>
    public BlockMemory(int bytes, int granule, int warps)
    {
        Bytes = bytes;
        _granuleShift = BitOperations.Log2((uint)granule);
        _warps = warps;
        _clocks = warps + 1;
        int granules = (bytes >> _granuleShift) + 4;
        Data = (byte*)NativeMemory.AlignedAlloc((nuint)bytes + 64, 1024);
        Written = (byte*)NativeMemory.AllocZeroed((nuint)bytes + 64);
        _accesses = (Access*)NativeMemory.AllocZeroed((nuint)granules, (nuint)sizeof(Access));
        _readTimes = (uint*)NativeMemory.AllocZeroed((nuint)granules * (nuint)_clocks, 4);
    }

    private struct Access
    {
        public AccessStamp Writer;
        public AccessStamp Reader;
        public bool Pending;
    }

    /// <summary>Size.</summary>
    public int Bytes { get; }

    /// <summary>The contents.</summary>
    public byte* Data { get; }

    /// <summary>255 for each byte that was written.</summary>
    public byte* Written { get; }

    /// <summary>A new block begins: nothing is written. Times go on, so that earlier accesses count as ordered.</summary>
    public void Restart()
    {
        NativeMemory.Clear(Written, (nuint)Bytes);
        NativeMemory.Fill(Data, (nuint)Bytes, 0xFB);
    }

    /// <summary>Fails unless an address is inside and aligned.</summary>
    public void Check(Warp warp, int lane, ulong address, int bytes)
    {
        if (address % (ulong)bytes != 0) throw warp.Fault(lane, $"shared address {address} is not aligned to {bytes} bytes");
        if (address + (ulong)bytes > (ulong)Bytes || address > (ulong)Bytes)
            throw warp.Fault(lane, $"{bytes} bytes at shared address {address} are outside of the block's {Bytes} bytes of shared memory");
    }

    /// <summary>
    /// A lane reads; asynchronously, when the matrix unit or the copy engine does it for the lane: what threads wrote must then have
    /// passed a proxy fence.
    /// </summary>
    public void Read(Warp warp, int lane, int address, int bytes, bool atomic = false, bool asynchronous = false)
    {
        if (!Shadow.AllSet(Written + address, bytes) && !AnyPending(address, bytes))
            throw warp.Fault(lane, $"{bytes} bytes at shared address {address} are read, but nothing was written there");
        int last = (address + bytes - 1) >> _granuleShift;
        for (int granule = address >> _granuleShift; granule <= last; granule++)
        {
            ref Access access = ref _accesses[granule];
            if (access.Pending) throw warp.Fault(lane, Pending(warp, granule));
            if (!Ordered(warp, lane, access.Writer, atomic)) throw warp.Fault(lane, Race(warp, "reads", granule, "wrote", access.Writer));
            if (asynchronous && access.Writer.Time > 0 && access.Writer.Thread < 32 * _warps && !Fenced(warp, access.Writer))
                throw warp.Fault(lane, $"shared address {granule << _granuleShift} is read asynchronously, and {Who(warp, access.Writer)} wrote it without fence.proxy.async afterwards");
            access.Reader = Stamp(warp, lane, atomic);
            _readTimes[(granule * _clocks) + warp.Index] = warp.Now;
        }
    }

    /// <summary>A lane writes, or starts an asynchronous copy into the bytes.</summary>
    public void Write(Warp warp, int lane, int address, int bytes, bool atomic = false, bool pending = false)
    {
        int last = (address + bytes - 1) >> _granuleShift;
        for (int granule = address >> _granuleShift; granule <= last; granule++)
        {
            ref Access access = ref _accesses[granule];
            if (access.Pending) throw warp.Fault(lane, Pending(warp, granule));
            if (!Ordered(warp, lane, access.Writer, atomic)) throw warp.Fault(lane, Race(warp, "writes", granule, "wrote", access.Writer));
            if (!Ordered(warp, lane, access.Reader, atomic)) throw warp.Fault(lane, Race(warp, "writes", granule, "read", access.Reader));
            uint* times = _readTimes + (granule * _clocks);
            for (int other = 0; other < _clocks; other++)
            {
                if (times[other] > warp.Clock[other] && !(atomic && access.Reader.Atomic))
                    throw warp.Fault(lane, $"data race: writes shared address {granule << _granuleShift}, which warp {other} read without a barrier in between");
            }
            access.Writer = Stamp(warp, lane, atomic);
            access.Pending = pending;
        }
        if (!pending) Shadow.Set(Written + address, bytes);
    }

    /// <summary>An asynchronous copy has arrived, as far as the thread that waited for it knows.</summary>
    public void Arrive(Warp warp, int lane, int address, int bytes)
    {
        int last = (address + bytes - 1) >> _granuleShift;
        for (int granule = address >> _granuleShift; granule <= last; granule++)
        {
            _accesses[granule].Pending = false;
            _accesses[granule].Writer = Stamp(warp, lane, false);
        }
        Shadow.Set(Written + address, bytes);
    }

    /// <summary>The copy engine has written 16 bytes at its own time.</summary>
    public void Arrive(int address, uint time)
    {
        int last = (address + 15) >> _granuleShift;
        for (int granule = address >> _granuleShift; granule <= last; granule++)
        {
            _accesses[granule].Pending = false;
            _accesses[granule].Writer = new AccessStamp { Thread = (short)(32 * _warps), Time = time };
        }
        Shadow.Set(Written + address, 16);
    }

    /// <summary>The matrix unit reads 16 bytes for a warp until <see cref="EndRead"/>.</summary>
    public void BeginRead(Warp warp, int address) => SetReadTime(warp, address, uint.MaxValue);

    /// <summary>The matrix unit is done with 16 bytes.</summary>
    public void EndRead(Warp warp, int address) => SetReadTime(warp, address, warp.Now);

    private void SetReadTime(Warp warp, int address, uint time)
    {
        int last = (address + 15) >> _granuleShift;
        for (int granule = address >> _granuleShift; granule <= last; granule++) _readTimes[(granule * _clocks) + warp.Index] = time;
    }

    // The fence may be the writer's, after the write, or the reader's, after it learnt of the write.
    private static bool Fenced(Warp warp, AccessStamp writer) =>
        writer.Time < warp.Cta.Warps[writer.Thread >> 5].ProxyFencedAt || (warp.ProxyFencedAt > 0 && warp.ProxyFencedAt == warp.SynchronizedAt);

    /// <inheritdoc/>
    public void Dispose()
    {
        NativeMemory.AlignedFree(Data);
        NativeMemory.Free(Written);
        NativeMemory.Free(_accesses);
        NativeMemory.Free(_readTimes);
    }

    /// <summary>What this lane does now, to be remembered.</summary>
    public static AccessStamp Stamp(Warp warp, int lane, bool atomic) => new()
    {
        Thread = (short)((32 * warp.Index) + lane),
        Atomic = atomic,
        Time = warp.Now,
        Operation = warp.Current.Index,
    };

    /// <summary>Whether an access of the same block happened before what a lane does now.</summary>
    public static bool Ordered(Warp warp, int lane, AccessStamp stamp, bool atomic)
    {
        if (stamp.Time == 0 || (atomic && stamp.Atomic)) return true;
        int other = stamp.Thread >> 5;
        if (other != warp.Index) return stamp.Time <= warp.Clock[other];
        // That a warp executes together orders nothing between its lanes: the assembler may exchange a store and a load of another place.
        return stamp.Thread == (32 * warp.Index) + lane || stamp.Time < warp.SynchronizedAt;
    }

    private bool AnyPending(int address, int bytes)
    {
        int last = (address + bytes - 1) >> _granuleShift;
        for (int granule = address >> _granuleShift; granule <= last; granule++)
        {
            if (_accesses[granule].Pending) return true;
        }
        return false;
    }

    private string Pending(Warp warp, int granule) =>
        $"shared address {granule << _granuleShift} is touched while the copy of {Who(warp, _accesses[granule].Writer)} into it is not waited for";

    private string Race(Warp warp, string does, int granule, string did, AccessStamp stamp) =>
        $"data race: {does} shared address {granule << _granuleShift}, which {Who(warp, stamp)} {did} without a barrier in between";

    /// <summary>For people: a thread and its instruction.</summary>
    public static string Who(Warp warp, AccessStamp stamp) =>
        stamp.Thread >= 32 * warp.Cta.WarpCount ? "the copy engine" : $"thread {warp.Cta.Launch.Block.At(stamp.Thread)} (PTX line {warp.Cta.Launch.Entry.Code[stamp.Operation].Source.Line})";
}
