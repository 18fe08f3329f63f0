using System.Numerics;

namespace Patching.Tests.Ptx;

/// <summary>
/// A barrier in shared memory. A phase is complete when all arrivals and all announced bytes are there; the next begins at once. What
/// happened before the arrivals, and the copies whose bytes were counted, happened before what a thread does after it has seen the phase
/// complete.
/// </summary>
internal sealed class Mbarrier
{
    private readonly int _expected;
    private readonly uint[] _arrived;
    private readonly Warp _initializer;
    private readonly uint _initialized;

    /// <summary>A barrier for a number of arrivals, initialised by a warp.</summary>
    public Mbarrier(int expected, Warp initializer)
    {
        _initializer = initializer;
        _initialized = initializer.Now;
        int clocks = initializer.Clock.Length;
        _expected = Pending = expected;
        _arrived = new uint[clocks];
        Completed = new uint[clocks];
    }

    /// <summary>Whether the copy engine knows of the barrier: who initialised it must have passed a fence.</summary>
    public bool IsPublished => _initialized < Math.Max(_initializer.MbarrierFencedAt, _initializer.ProxyFencedAt);

    /// <summary>Phases completed.</summary>
    public int Phase { get; private set; }

    /// <summary>Arrivals that the phase still waits for.</summary>
    public int Pending { get; private set; }

    /// <summary>Bytes that the phase still waits for.</summary>
    public long Bytes { get; private set; }

    /// <summary>What happened before the end of the last complete phase.</summary>
    public uint[] Completed { get; }

    /// <summary>Copies under way that this barrier counts.</summary>
    public List<Action> Deliveries { get; } = [];

    /// <summary>Arrives, announces bytes, or both.</summary>
    public void Arrive(uint[] clock, int count, long bytes)
    {
        for (int i = 0; i < clock.Length; i++) _arrived[i] = Math.Max(_arrived[i], clock[i]);
        Bytes += bytes;
        Pending -= count;
        if (Pending == 0 && Bytes == 0) Complete();
    }

    /// <summary>Bytes have come, by a copy of a certain time of the copy engine.</summary>
    public void Receive(long bytes, uint time)
    {
        _arrived[^1] = Math.Max(_arrived[^1], time);
        Bytes -= bytes;
        if (Pending == 0 && Bytes == 0) Complete();
    }

    private void Complete()
    {
        Phase++;
        Pending = _expected;
        _arrived.CopyTo(Completed, 0);
    }
}

/// <summary><c>mbarrier.init</c> and, without a count, <c>mbarrier.inval</c>.</summary>
internal sealed unsafe class MbarrierInit((Register Register, long Offset) address, Register? count) : Operation
{
    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.Mbarrier;

    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int lane = BitOperations.TrailingZeroCount(lanes);
            int at = warp.SharedAddress(lane, address, 8);
            warp.Cta.Shared.Write(warp, lane, at, 8);
            if (count == null) warp.Cta.Mbarriers.Remove(at);
            else warp.Cta.Mbarriers[at] = new Mbarrier(((int*)(warp.Storage + count.Offset))[lane], warp);
        }
    }
}

/// <summary><c>mbarrier.arrive</c>, with or without <c>.expect_tx</c>, and <c>mbarrier.expect_tx</c>.</summary>
internal sealed unsafe class MbarrierArrive(
    (Register Register, long Offset) address, Register? state, Register? count, Register? bytes, bool arrives) : Operation
{
    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.Mbarrier;

    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int lane = BitOperations.TrailingZeroCount(lanes);
            Mbarrier barrier = warp.Mbarrier(lane, address);
            int arrivals = !arrives ? 0 : count == null ? 1 : ((int*)(warp.Storage + count.Offset))[lane];
            if (arrivals > barrier.Pending) throw warp.Fault(lane, $"{arrivals} arrivals at an mbarrier that waits for {barrier.Pending}");
            if (state != null) ((ulong*)(warp.Storage + state.Offset))[lane] = (ulong)barrier.Phase;
            barrier.Arrive(warp.Clock, arrivals, bytes == null ? 0 : ((uint*)(warp.Storage + bytes.Offset))[lane]);
        }
        warp.Synchronize();
        warp.Cta.Progress();
    }
}

/// <summary>
/// <c>mbarrier.test_wait</c> and <c>try_wait</c>, by parity or by the state that an arrival returned. A warp that waits in vain lets
/// others go on.
/// </summary>
internal sealed unsafe class MbarrierWait(Register p, (Register Register, long Offset) address, Register phase, bool parity, bool suspends) : Operation
{
    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.Mbarrier;

    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        uint done = 0;
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int lane = BitOperations.TrailingZeroCount(lanes);
            Mbarrier barrier = warp.Mbarrier(lane, address);
            foreach (Action deliver in barrier.Deliveries.ToArray()) deliver();
            barrier.Deliveries.Clear();
            ulong wanted = Lanes.Read(warp.Storage + phase.Offset, lane, phase.Type.Size());
            bool complete = parity ? ((ulong)barrier.Phase & 1) != (wanted & 1) : (ulong)barrier.Phase != wanted;
            if (!complete) continue;
            done |= 1u << lane;
            warp.Acquire(barrier.Completed);
        }
        uint* bits = (uint*)(warp.Storage + p.Offset);
        *bits = (*bits & ~warp.Active) | done;
        if (done != 0) warp.Cta.Progress();
        if (done != warp.Active && (suspends || done == 0)) warp.State = WarpState.Yielded;
    }
}
