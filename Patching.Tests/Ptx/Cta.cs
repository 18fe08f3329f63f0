using System.Numerics;

namespace Patching.Tests.Ptx;

/// <summary>A launch: what all blocks have in common.</summary>
internal sealed unsafe class Launch(PtxEntry entry, Dim3 grid, Dim3 block, int dynamicSharedBytes, byte* parameters, DeviceMemory memory, int number)
{
    /// <summary>The kernel.</summary>
    public PtxEntry Entry => entry;

    /// <summary>Blocks.</summary>
    public Dim3 Grid => grid;

    /// <summary>Threads of a block.</summary>
    public Dim3 Block => block;

    /// <summary>Bytes of dynamic shared memory.</summary>
    public int DynamicSharedBytes => dynamicSharedBytes;

    /// <summary>The parameter buffer.</summary>
    public byte* Parameters => parameters;

    /// <summary>Global memory.</summary>
    public DeviceMemory Memory => memory;

    /// <summary>What blocks left at the addresses of atomic operations. Used under the lock of <see cref="Atomic"/>.</summary>
    public Dictionary<ulong, Dictionary<int, uint[]>> Released { get; } = [];

    /// <summary>Number of the launch, for the race detector.</summary>
    public int Number => number;
}

/// <summary>
/// Executes blocks one after the other. Warps take turns: each runs until it waits at a barrier, ends, or has used its turn. A worker
/// thread has one of these.
/// </summary>
internal sealed unsafe class Cta : IDisposable
{
    private const int Turn = 50_000;

    private const int MaxIdleTurns = 1000;

    // Of each lane: a multiprocessor has 65536.
    private const int RegistersOfAllWarps = 2048, MaxRegisters = 248;

    private readonly BarrierState[] _barriers;
    private readonly Dictionary<int, uint[]> _known = [];
    private uint _time;
    private uint _copyTime;
    private long _progress;

    /// <summary>Prepares for the blocks of a launch.</summary>
    public Cta(Launch launch)
    {
        Launch = launch;
        Threads = (int)launch.Block.Count;
        WarpCount = (Threads + 31) / 32;
        Counters = new Counters[launch.Entry.Code.Length];
        Shared = new BlockMemory(launch.Entry.StaticSharedBytes + launch.DynamicSharedBytes, launch.Entry.Granule, WarpCount);
        _barriers = [.. Enumerable.Range(0, 16).Select(_ => new BarrierState(WarpCount + 1))];
        RegisterCounts = new int[WarpCount];
        Warps = [.. Enumerable.Range(0, WarpCount).Select(i => new Warp(this, i, launch.Entry, Math.Min(32, Threads - (32 * i))))];
    }

    private sealed class BarrierState(int warps)
    {
        public readonly List<Warp> Waiting = [];
        public readonly uint[] Clock = new uint[warps];
        public int Arrived;
        public int Expected;
        public int Votes;
        public int Threads;
    }

    /// <summary>The launch.</summary>
    public Launch Launch { get; }

    /// <summary>The warps.</summary>
    public Warp[] Warps { get; }

    /// <summary>Number of warps.</summary>
    public int WarpCount { get; }

    /// <summary>Number of threads.</summary>
    public int Threads { get; }

    /// <summary>The block's shared memory.</summary>
    public BlockMemory Shared { get; }

    /// <summary>Counts by instruction.</summary>
    public Counters[] Counters { get; }

    /// <summary>The block that is executed.</summary>
    public Dim3 Position { get; private set; }

    /// <summary>Number of the block.</summary>
    public int Number { get; private set; }

    /// <summary>The mbarriers by address.</summary>
    public Dictionary<int, Mbarrier> Mbarriers { get; } = [];

    /// <summary>Registers of each thread of a warp, as <c>setmaxnreg</c> leaves them.</summary>
    public int[] RegisterCounts { get; }

    /// <summary>The allocation that the last global access was found in.</summary>
    public Allocation? LastAllocation { get; set; }

    /// <summary>Executes a block to its end.</summary>
    public void Execute(long number)
    {
        Number = (int)number;
        Position = Launch.Grid.At(number);
        Shared.Restart();
        foreach (Warp warp in Warps)
        {
            _time = Math.Max(_time, warp.Now);
            foreach (Register special in Launch.Entry.Registers.Specials) SetSpecial(warp, special);
        }
        _time = Math.Max(_time, _copyTime);
        _copyTime = _time;
        foreach (Warp warp in Warps) warp.Restart(_time);
        foreach (BarrierState barrier in _barriers) (barrier.Arrived, barrier.Expected) = (0, 0);
        Mbarriers.Clear();
        _known.Clear();
        Array.Fill(RegisterCounts, Math.Min(MaxRegisters, RegistersOfAllWarps / WarpCount / 8 * 8));
        int idle = 0;
        long progress = _progress;
        for (bool alive = true; alive;)
        {
            alive = false;
            int executed = 0;
            foreach (Warp warp in Warps)
            {
                if (warp.State == WarpState.Yielded) warp.State = WarpState.Running;
                if (warp.State == WarpState.Running) executed += warp.Run(Turn);
                alive |= warp.State != WarpState.Ended;
            }
            if (alive && executed == 0) throw Deadlock();
            idle = progress == _progress && Warps.Any(warp => warp.State == WarpState.Yielded) ? idle + 1 : 0;
            progress = _progress;
            if (!alive && RegisterCounts.Sum() > RegistersOfAllWarps)
                throw Warps[0].Fault(0, $"setmaxnreg leaves the warps {RegisterCounts.Sum()} registers of each lane together, there are {RegistersOfAllWarps}: one waits forever");
            if (idle > MaxIdleTurns) throw Warps.First(warp => warp.State == WarpState.Yielded).Fault(0, "waits for an mbarrier whose phase never completes");
        }
    }

    /// <summary>A warp comes to a barrier, and waits there unless it only arrives.</summary>
    public void Arrive(Warp warp, int number, int warps, Barrier operation, uint votes, bool arrivesOnly)
    {
        BarrierState barrier = _barriers[number];
        if (barrier.Arrived > 0 && barrier.Expected != warps)
            throw warp.Fault(0, $"barrier {number} is used for {32 * barrier.Expected} threads and for {32 * warps} at the same time");
        barrier.Expected = warps;
        barrier.Arrived++;
        barrier.Votes += BitOperations.PopCount(votes);
        barrier.Threads += BitOperations.PopCount(warp.Lanes);
        for (int i = 0; i < barrier.Clock.Length; i++) barrier.Clock[i] = Math.Max(barrier.Clock[i], warp.Clock[i]);
        // What an arriving warp does from now on is not ordered by this barrier.
        warp.Synchronize();
        if (!arrivesOnly)
        {
            barrier.Waiting.Add(warp);
            warp.State = WarpState.AtBarrier;
        }
        if (barrier.Arrived < warps) return;
        foreach (Warp waiting in barrier.Waiting)
        {
            waiting.Acquire(barrier.Clock);
            waiting.State = WarpState.Running;
            operation.Finish(waiting, barrier.Votes, barrier.Threads);
        }
        barrier.Waiting.Clear();
        Array.Clear(barrier.Clock);
        (barrier.Arrived, barrier.Votes, barrier.Threads) = (0, 0, 0);
        Progress();
    }

    /// <summary>Something happened that a warp may be waiting for.</summary>
    public void Progress() => _progress++;

    /// <summary>
    /// Starts a copy by the copy engine into shared memory: each place gets 16 bytes from an offset of the data. They are there at the
    /// latest when somebody waits for the mbarrier, and not before it is looked at.
    /// </summary>
    public void Deliver(Warp warp, int lane, Mbarrier barrier, byte[] data, (int Place, int Offset)[] places)
    {
        if (!barrier.IsPublished) throw warp.Fault(lane, "the copy engine is given an mbarrier that was initialised without fence.mbarrier_init afterwards");
        foreach ((int place, _) in places) Shared.Write(warp, lane, place, 16, pending: true);
        uint time = ++_copyTime;
        barrier.Deliveries.Add(() =>
        {
            foreach ((int place, int offset) in places)
            {
                data.AsSpan(offset, 16).CopyTo(new Span<byte>(Shared.Data + place, 16));
                Shared.Arrive(place, time);
            }
            barrier.Receive(data.Length, time);
        });
    }

    /// <summary>
    /// Whether an access of another block happened before: through an atomic operation after a fence there, and one on the same address
    /// here.
    /// </summary>
    public bool Knows(int block, AccessStamp stamp) =>
        stamp.Thread != AccessStamp.Many && _known.TryGetValue(block, out uint[]? clock) && stamp.Time <= clock[stamp.Thread >> 5];

    /// <summary>
    /// An atomic operation on global memory leaves what its block did before a fence, and learns what others left at the address. What is
    /// learnt counts for the whole block at once; threads that are told of it without a barrier race on what they are told by.
    /// </summary>
    public void PassOn(Warp warp, ulong address)
    {
        if (!Launch.Released.TryGetValue(address, out Dictionary<int, uint[]>? left)) Launch.Released[address] = left = [];
        foreach ((int block, uint[] clock) in left) Join(_known, block, clock);
        uint[] own = [.. warp.FenceClock];
        foreach (Warp other in Warps) own[other.Index] = Math.Max(own[other.Index], Math.Min(other.FencedAt, warp.Clock[other.Index] + (other == warp ? 1u : 0)));
        Join(left, Number + 1, own);
        foreach ((int block, uint[] clock) in _known) Join(left, block, clock);
    }

    private static void Join(Dictionary<int, uint[]> into, int block, uint[] clock)
    {
        if (!into.TryGetValue(block, out uint[]? known)) into[block] = known = new uint[clock.Length];
        for (int i = 0; i < clock.Length; i++) known[i] = Math.Max(known[i], clock[i]);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Shared.Dispose();
        foreach (Warp warp in Warps) warp.Dispose();
    }

    private PtxFault Deadlock()
    {
        Warp waiting = Warps.First(warp => warp.State == WarpState.AtBarrier);
        int arrived = Warps.Count(warp => warp.State == WarpState.AtBarrier), ended = Warps.Count(warp => warp.State == WarpState.Ended);
        return waiting.Fault(0, $"barrier that not all warps reach: {arrived} of {WarpCount} warps wait, {ended} have ended");
    }

    private void SetSpecial(Warp warp, Register register)
    {
        uint* values = (uint*)(warp.Storage + register.Offset);
        for (int lane = 0; lane < 32; lane++)
        {
            Dim3 thread = Launch.Block.At((32 * warp.Index) + lane);
            values[lane] = register.Name switch
            {
                "%tid.x" => (uint)thread.X,
                "%tid.y" => (uint)thread.Y,
                "%tid.z" => (uint)thread.Z,
                "%ntid.x" => (uint)Launch.Block.X,
                "%ntid.y" => (uint)Launch.Block.Y,
                "%ntid.z" => (uint)Launch.Block.Z,
                "%ctaid.x" => (uint)Position.X,
                "%ctaid.y" => (uint)Position.Y,
                "%ctaid.z" => (uint)Position.Z,
                "%nctaid.x" => (uint)Launch.Grid.X,
                "%nctaid.y" => (uint)Launch.Grid.Y,
                "%nctaid.z" => (uint)Launch.Grid.Z,
                "%laneid" => (uint)lane,
                "%warpid" => (uint)warp.Index,
                "%nwarpid" => (uint)WarpCount,
                "%lanemask_eq" => 1u << lane,
                "%lanemask_lt" => (1u << lane) - 1,
                "%lanemask_le" => (uint)((2UL << lane) - 1),
                "%lanemask_gt" => ~(uint)((2UL << lane) - 1),
                "%lanemask_ge" => ~((1u << lane) - 1),
                "%dynamic_smem_size" => (uint)Launch.DynamicSharedBytes,
                "%total_smem_size" => (uint)Shared.Bytes,
                _ => 32,
            };
        }
    }
}
