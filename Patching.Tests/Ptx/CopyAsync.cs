using System.Numerics;

namespace Patching.Tests.Ptx;

/// <summary>
/// <c>cp.async</c>: global memory is read now, the bytes appear in shared memory when the thread that started the copy waits for it;
/// until then nobody may touch the place, and afterwards other threads need a barrier as for any write of that thread.
/// </summary>
internal sealed unsafe class CopyAsync(Register destination, long destinationOffset, Register source, long sourceOffset, int bytes, Register? kept) : Operation
{
    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.CopyAsync;

    /// <inheritdoc/>
    public override int Bytes => bytes;

    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        ulong* targets = stackalloc ulong[32];
        ulong* sources = stackalloc ulong[32];
        uint reads = 0;
        PendingCopy copy = warp.Copies.Start(warp.Active, bytes);
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int lane = BitOperations.TrailingZeroCount(lanes);
            ulong to = Lanes.Read(warp.Storage + destination.Offset, lane, destination.Type.Size()) + (ulong)destinationOffset;
            ulong from = Lanes.Read(warp.Storage + source.Offset, lane, source.Type.Size()) + (ulong)sourceOffset;
            if (to >= GenericSpace.Shared) to -= GenericSpace.Shared;
            uint count = kept == null ? (uint)bytes : ((uint*)(warp.Storage + kept.Offset))[lane];
            if (count > bytes) throw warp.Fault(lane, $"a copy of {bytes} bytes whose source has {count}");
            warp.Cta.Shared.Check(warp, lane, to, bytes);
            if (from % (ulong)bytes != 0) throw warp.Fault(lane, $"global address 0x{from:X} is not aligned to {bytes} bytes");
            if (count > 0) GlobalMemory.Read(warp, lane, from, (int)count);
            warp.Cta.Shared.Write(warp, lane, (int)to, bytes, pending: true);
            Span<byte> data = copy.Begin(lane, (int)to);
            new ReadOnlySpan<byte>((byte*)from, (int)count).CopyTo(data);
            data[(int)count..].Clear();
            targets[lane] = to;
            sources[lane] = from;
            if (count > 0) reads |= 1u << lane;
        }
        ref Counters counters = ref warp.Cta.Counters[Index];
        Coalescing.CountShared(ref counters, targets, warp.Active, bytes);
        if (reads != 0) Coalescing.CountGlobal(ref counters, sources, reads, bytes);
    }
}

/// <summary><c>cp.async.commit_group</c>.</summary>
internal sealed class CommitCopies : Operation
{
    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.CopyAsync;

    /// <inheritdoc/>
    public override void Execute(Warp warp) => warp.Copies.Commit(warp.Active);
}

/// <summary><c>cp.async.wait_group</c> and <c>cp.async.wait_all</c>.</summary>
internal sealed class WaitForCopies(int groups, bool all) : Operation
{
    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.CopyAsync;

    /// <inheritdoc/>
    public override void Execute(Warp warp) => warp.Copies.Wait(warp, warp.Active, groups, all);
}

/// <summary>The copies that the lanes of a warp started with one instruction.</summary>
internal sealed class PendingCopy
{
    private readonly byte[] _data = new byte[32 * 16];
    private readonly int[] _targets = new int[32];

    /// <summary>Lanes whose copy has not been waited for.</summary>
    public uint Lanes { get; set; }

    /// <summary>Bytes of each copy.</summary>
    public int Bytes { get; set; }

    /// <summary>Number of each lane's group.</summary>
    public int[] Groups { get; } = new int[32];

    /// <summary>Remembers where a lane copies to; what it copies goes into the result.</summary>
    public Span<byte> Begin(int lane, int target)
    {
        _targets[lane] = target;
        return _data.AsSpan(16 * lane, Bytes);
    }

    /// <summary>Writes a lane's bytes to shared memory.</summary>
    public unsafe void Arrive(Warp warp, int lane)
    {
        BlockMemory shared = warp.Cta.Shared;
        _data.AsSpan(16 * lane, Bytes).CopyTo(new Span<byte>(shared.Data + _targets[lane], Bytes));
        shared.Arrive(warp, lane, _targets[lane], Bytes);
        Lanes &= ~(1u << lane);
    }
}

/// <summary>
/// The copies of a warp in flight, oldest first. Groups belong to threads: a lane that was elsewhere when others committed has fewer.
/// </summary>
internal sealed class CopyQueue
{
    private readonly List<PendingCopy> _pending = [];
    private readonly Stack<PendingCopy> _free = [];
    private readonly int[] _committed = new int[32];

    /// <summary>Forgets everything.</summary>
    public void Clear()
    {
        foreach (PendingCopy copy in _pending) _free.Push(copy);
        _pending.Clear();
        Array.Clear(_committed);
    }

    /// <summary>A new instruction's copies, in the open group of each lane.</summary>
    public PendingCopy Start(uint lanes, int bytes)
    {
        if (!_free.TryPop(out PendingCopy? copy)) copy = new PendingCopy();
        (copy.Lanes, copy.Bytes) = (lanes, bytes);
        _committed.CopyTo(copy.Groups, 0);
        _pending.Add(copy);
        return copy;
    }

    /// <summary>Closes the lanes' open groups.</summary>
    public void Commit(uint lanes)
    {
        for (; lanes != 0; lanes &= lanes - 1) _committed[BitOperations.TrailingZeroCount(lanes)]++;
    }

    /// <summary>Lets all arrive but the lanes' latest groups; <paramref name="all"/>: also what is in no group yet.</summary>
    public void Wait(Warp warp, uint active, int groups, bool all)
    {
        int kept = 0;
        for (int i = 0; i < _pending.Count; i++)
        {
            PendingCopy copy = _pending[i];
            for (uint lanes = copy.Lanes & active; lanes != 0; lanes &= lanes - 1)
            {
                int lane = BitOperations.TrailingZeroCount(lanes);
                if (all || copy.Groups[lane] < _committed[lane] - groups) copy.Arrive(warp, lane);
            }
            if (copy.Lanes == 0) _free.Push(copy);
            else _pending[kept++] = copy;
        }
        _pending.RemoveRange(kept, _pending.Count - kept);
    }

    /// <summary>Lanes end: what they copy arrives with nobody to see it.</summary>
    public void Finish(Warp warp, uint lanes)
    {
        if (_pending.Count > 0) Wait(warp, lanes, 0, all: true);
    }
}
