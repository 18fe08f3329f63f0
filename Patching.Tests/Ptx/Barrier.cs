using System.Numerics;

namespace Patching.Tests.Ptx;

/// <summary>What <c>bar.red</c> computes from the threads' predicates.</summary>
internal enum BarrierReduction
{
    None, Count, All, Any,
}

/// <summary>
/// <c>bar.sync</c>, <c>bar.arrive</c> and <c>bar.red</c>. All lanes of the warp must be there: under divergence a GPU hangs or goes
/// wrong.
/// </summary>
internal sealed unsafe class Barrier(Register id, Register? threads, bool arrives) : Operation
{
    /// <summary>The reduction.</summary>
    public BarrierReduction Reduction { get; init; }

    /// <summary>Where the reduction's result goes.</summary>
    public Register? Result { get; init; }

    /// <summary>The predicate that is reduced.</summary>
    public Register? Predicate { get; init; }

    /// <summary>All ones where the predicate is negated.</summary>
    public uint Flip { get; init; }

    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.Barrier;

    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        int lane = BitOperations.TrailingZeroCount(warp.Active);
        warp.RequireAllLanes("the barrier");
        uint number = ((uint*)(warp.Storage + id.Offset))[lane];
        if (number >= 16) throw warp.Fault(lane, $"barrier {number}; there are 16");
        int warps = warp.Cta.Warps.Length;
        if (threads != null)
        {
            uint count = ((uint*)(warp.Storage + threads.Offset))[lane];
            if (count == 0 || count % 32 != 0 || count > 32 * warps) throw warp.Fault(lane, $"a barrier of {count} threads, in a block of {warp.Cta.Threads}");
            warps = (int)count / 32;
        }
        uint votes = Predicate == null ? 0 : (*(uint*)(warp.Storage + Predicate.Offset) ^ Flip) & warp.Active;
        warp.Cta.Arrive(warp, (int)number, warps, this, votes, arrives);
    }

    /// <summary>Gives a warp the reduction over all warps that arrived.</summary>
    public void Finish(Warp warp, int count, int threadsArrived)
    {
        if (Result == null) return;
        if (Reduction == BarrierReduction.Count)
        {
            for (int i = 0; i < 32; i++) ((uint*)(warp.Storage + Result.Offset))[i] = (uint)count;
            return;
        }
        bool value = Reduction == BarrierReduction.All ? count == threadsArrived : count > 0;
        *(uint*)(warp.Storage + Result.Offset) = value ? uint.MaxValue : 0;
    }
}

/// <summary><c>bar.warp.sync</c>: orders the memory accesses of the lanes named.</summary>
internal sealed unsafe class WarpBarrier(Register mask) : Operation
{
    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.WarpSync;

    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        uint members = ((uint*)(warp.Storage + mask.Offset))[BitOperations.TrailingZeroCount(warp.Active)];
        warp.RequireMembers(members);
        warp.Synchronize();
    }
}

/// <summary>
/// <c>membar</c> and <c>fence</c>. Alone they order nothing between threads; before an atomic operation they make it a release.
/// </summary>
internal sealed class Fence : Operation
{
    /// <summary>Whether the fence reaches other blocks.</summary>
    public required bool Device { get; init; }

    /// <summary>Whether it is a fence between the proxies (<c>fence.proxy.async</c>).</summary>
    public required bool Proxy { get; init; }

    /// <summary>Whether it makes new barriers known to the copy engine (<c>fence.mbarrier_init</c>).</summary>
    public bool Barriers { get; init; }

    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.Fence;

    /// <inheritdoc/>
    public override void Execute(Warp warp) => warp.Fence(Device, Proxy, Barriers);
}
