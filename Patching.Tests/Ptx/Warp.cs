using System.Numerics;
using System.Runtime.InteropServices;

namespace Patching.Tests.Ptx;

/// <summary>What a warp is doing.</summary>
internal enum WarpState
{
    Running, AtBarrier, Yielded, Ended,
}

/// <summary>
/// 32 threads that execute in lock step. Where lanes part, the paths are executed one after the other and meet again at the branch's
/// immediate post-dominator: a stack of (next instruction, meeting point, lanes), the uppermost runs.
/// </summary>
internal sealed unsafe class Warp : IDisposable
{
    private readonly Operation[] _code;
    private readonly uint* _defined;
    private readonly int _registers;
    private Frame[] _frames = new Frame[16];
    private int _depth;
    private Operation _current;

    /// <summary>Warp number <paramref name="index"/> of a block that is executed again and again.</summary>
    public Warp(Cta cta, int index, PtxEntry entry, int threads)
    {
        Cta = cta;
        Index = index;
        Lanes = threads >= 32 ? uint.MaxValue : (1u << threads) - 1;
        _code = entry.Code;
        _current = _code[0];
        _registers = entry.Registers.Count;
        Storage = (byte*)NativeMemory.AlignedAlloc((nuint)Math.Max(entry.Registers.Bytes, 64), 64);
        _defined = (uint*)NativeMemory.AllocZeroed((nuint)Math.Max(_registers, 1), 4);
        Clock = new uint[cta.WarpCount + 1];
        FenceClock = new uint[cta.WarpCount + 1];
        foreach ((Register register, ulong bits) in entry.Registers.Constants)
        {
            for (int i = 0; i < 32; i++) Ptx.Lanes.Write(Storage + register.Offset, i, register.Type.Size(), bits);
        }
    }

    /// <summary>A path of diverged lanes.</summary>
    private struct Frame
    {
        public int Next;
        public int Meeting;
        public uint Lanes;
    }

    /// <summary>The block.</summary>
    public Cta Cta { get; }

    /// <summary>Number of the warp in the block.</summary>
    public int Index { get; }

    /// <summary>Lanes that exist: fewer than 32 where the block's size is no multiple of 32.</summary>
    public uint Lanes { get; }

    /// <summary>Lanes that have not ended.</summary>
    public uint Live { get; private set; }

    /// <summary>Lanes that execute the current instruction.</summary>
    public uint Active { get; private set; }

    /// <summary>Registers, see <see cref="Register.Offset"/>.</summary>
    public byte* Storage { get; }

    /// <summary>What the warp is doing.</summary>
    public WarpState State { get; set; }

    /// <summary>
    /// Vector clock: entry i is the last moment of warp i that happened before what this warp does now; its own entry is its own time,
    /// which goes on at everything that orders memory. The last entry is the time of the copy engine (<c>cp.async.bulk</c>), which acts
    /// like a warp of its own.
    /// </summary>
    public uint[] Clock { get; }

    /// <summary>Accesses of this warp before this time are ordered before those of all its lanes now.</summary>
    public uint SynchronizedAt { get; private set; }

    /// <summary>The warp's own time.</summary>
    public uint Now => Clock[Index];

    /// <summary>The instruction that is executed.</summary>
    public Operation Current => _current;

    /// <summary>Copies in flight (<c>cp.async</c>).</summary>
    public CopyQueue Copies { get; } = new();

    /// <summary>Matrix products of four warps under way.</summary>
    public WgmmaQueue Products { get; } = new();

    /// <summary>Writes before this time can be seen by the asynchronous proxy (<c>fence.proxy.async</c>).</summary>
    public uint ProxyFencedAt { get; private set; }

    /// <summary>Barriers initialised before this time are known to the copy engine (<c>fence.mbarrier_init</c>).</summary>
    public uint MbarrierFencedAt { get; private set; }

    /// <summary>Accesses before this time can be passed on to other blocks (<c>membar.gl</c>).</summary>
    public uint FencedAt { get; private set; }

    /// <summary>What the warp knew at its last such fence.</summary>
    public uint[] FenceClock { get; }

    /// <summary>Begins a block anew.</summary>
    public void Restart(uint time)
    {
        Live = Lanes;
        State = WarpState.Running;
        _depth = 0;
        _frames[0] = new Frame { Next = 0, Meeting = -1, Lanes = Lanes };
        new Span<uint>(_defined, _registers).Clear();
        Array.Fill(Clock, time);
        Clock[Index] = time + 1;
        SynchronizedAt = time + 1;
        Copies.Clear();
        Products.Clear();
        (ProxyFencedAt, MbarrierFencedAt, FencedAt) = (0, 0, 0);
        Array.Clear(FenceClock);
    }

    /// <summary>Executes until the warp waits, ends, or has used its turn. Returns the instructions executed.</summary>
    public int Run(int turn)
    {
        Counters[] counters = Cta.Counters;
        int executed = 0;
        while (executed < turn)
        {
            ref Frame top = ref _frames[_depth];
            if (top.Next == top.Meeting)
            {
                _depth--;
                continue;
            }
            Operation operation = _code[top.Next++];
            _current = operation;
            uint lanes = top.Lanes;
            if (operation.GuardOffset >= 0)
            {
                Active = lanes;
                RequireDefined(operation.Guard!);
                lanes &= *(uint*)(Storage + operation.GuardOffset) ^ operation.GuardFlip;
            }
            ref Counters counter = ref counters[operation.Index];
            counter.Warps++;
            executed++;
            if (lanes == 0) continue;
            counter.Threads += BitOperations.PopCount(lanes);
            Active = lanes;
            foreach (Register register in operation.Reads)
            {
                if ((_defined[register.Index] & lanes) != lanes) RequireDefined(register);
            }
            operation.Execute(this);
            foreach (Register register in operation.Writes) _defined[register.Index] |= lanes;
            if (State != WarpState.Running) break;
        }
        return executed;
    }

    /// <summary>Lets lanes jump; the others go on with the next instruction, or with this one again.</summary>
    public void Part(Jump jump, int target, uint taken, bool stay = false)
    {
        ref Frame top = ref _frames[_depth];
        uint rest = top.Lanes & ~taken;
        if (rest == 0)
        {
            top.Next = target;
            return;
        }
        if (jump.Uniform) throw Fault(BitOperations.TrailingZeroCount(rest), "lanes of a warp part at a branch marked .uni");
        int next = stay ? jump.Index : top.Next;
        // Loops part again and again with the same meeting point: the paths waiting there need one frame, not one for each iteration.
        if (top.Meeting == jump.Meeting) _depth--;
        else top.Next = jump.Meeting;
        if (next != jump.Meeting) Push(next, jump.Meeting, rest);
        if (target != jump.Meeting) Push(target, jump.Meeting, taken);
    }

    /// <summary>Ends the active lanes.</summary>
    public void End()
    {
        Copies.Finish(this, Active);
        Live &= ~Active;
        for (int i = 0; i <= _depth; i++) _frames[i].Lanes &= ~Active;
        while (_depth >= 0 && _frames[_depth].Lanes == 0) _depth--;
        if (_depth >= 0) return;
        State = WarpState.Ended;
        Products.Finish(this);
    }

    /// <summary>Everything this warp did so far is ordered before what any of its lanes does from now on.</summary>
    public void Synchronize() => SynchronizedAt = ++Clock[Index];

    /// <summary>Takes over what another clock knows: what happened before then has happened before now.</summary>
    public void Acquire(uint[] clock)
    {
        for (int i = 0; i < Clock.Length; i++) Clock[i] = Math.Max(Clock[i], clock[i]);
    }

    /// <summary>A fence.</summary>
    public void Fence(bool device, bool proxy, bool barriers)
    {
        Synchronize();
        if (barriers) MbarrierFencedAt = Now;
        if (proxy) ProxyFencedAt = Now;
        if (!device) return;
        FencedAt = Now;
        Clock.CopyTo(FenceClock, 0);
    }

    /// <summary>Fails unless all lanes that have not ended, and all that ever were, are here.</summary>
    public void RequireAllLanes(string what)
    {
        if (Active == Lanes) return;
        string state = Live == Lanes ? "the others are on another path" : "the others have ended";
        throw Fault(BitOperations.TrailingZeroCount(Active), $"{BitOperations.PopCount(Active)} of {BitOperations.PopCount(Lanes)} lanes reach {what}; {state}");
    }

    /// <summary>Fails unless the lanes that a mask names are those that are here.</summary>
    public void RequireMembers(uint members)
    {
        int lane = BitOperations.TrailingZeroCount(Active);
        if ((Active & ~members) != 0) throw Fault(lane, $"lanes 0x{Active:X8} execute, but the mask is 0x{members:X8}");
        if ((members & Live & ~Active) != 0) throw Fault(lane, $"the mask is 0x{members:X8}, but only lanes 0x{Active:X8} are here");
    }

    /// <summary>Whether a register is defined in all lanes.</summary>
    public bool IsDefined(Register register) => register.Index < 0 || _defined[register.Index] == uint.MaxValue;

    /// <summary>A lane's address in shared memory, aligned.</summary>
    public int SharedAddress(int lane, (Register Register, long Offset) address, int alignment)
    {
        ulong at = Ptx.Lanes.Read(Storage + address.Register.Offset, lane, address.Register.Type.Size()) + (ulong)address.Offset;
        if (at >= GenericSpace.Shared) at -= GenericSpace.Shared;
        if (at % (ulong)alignment != 0) throw Fault(lane, $"shared address {at} is not aligned to {alignment} bytes");
        if (at >= (ulong)Cta.Shared.Bytes) throw Fault(lane, $"shared address {at} is outside of the block's {Cta.Shared.Bytes} bytes");
        return (int)at;
    }

    /// <summary>The mbarrier that a lane means.</summary>
    public Mbarrier Mbarrier(int lane, (Register Register, long Offset) address)
    {
        int at = SharedAddress(lane, address, 8);
        if (!Cta.Mbarriers.TryGetValue(at, out Mbarrier? barrier)) throw Fault(lane, $"no mbarrier was initialised at shared address {at}");
        Cta.Shared.Read(this, lane, at, 8, atomic: true);
        return barrier;
    }

    /// <summary>Marks a register as defined for lanes: for results that come later than the instruction.</summary>
    public void Define(Register register, uint lanes)
    {
        if (register.Index >= 0) _defined[register.Index] |= lanes;
    }

    /// <summary>Marks a register as undefined until its result is there.</summary>
    public void Undefine(Register register, uint lanes)
    {
        if (register.Index >= 0) _defined[register.Index] &= ~lanes;
    }

    /// <summary>What goes wrong in the current instruction.</summary>
    public PtxFault Fault(int lane, string what)
    {
        Dim3 thread = Cta.Launch.Block.At((32 * Index) + lane);
        return new PtxFault($"{Cta.Launch.Entry.Name}: block {Cta.Position} thread {thread}: {what}: `{_current.Source.Text}` (PTX line {_current.Source.Line})");
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        NativeMemory.AlignedFree(Storage);
        NativeMemory.Free(_defined);
    }

    private void RequireDefined(Register register)
    {
        if (register.Index < 0) return;
        uint missing = Active & ~_defined[register.Index];
        if (missing == 0) return;
        throw Fault(BitOperations.TrailingZeroCount(missing), Products.Holds(register)
            ? $"register {register.Name} is read while wgmma still computes it"
            : $"register {register.Name} is read before anything is written to it");
    }

    private void Push(int next, int meeting, uint lanes)
    {
        if (++_depth == _frames.Length) Array.Resize(ref _frames, 2 * _depth);
        _frames[_depth] = new Frame { Next = next, Meeting = meeting, Lanes = lanes };
    }
}
