using System.Numerics;

namespace Patching.Tests.Ptx;

/// <summary>Which lane a shuffle reads.</summary>
internal enum ShuffleMode
{
    Up, Down, Butterfly, Index,
}

/// <summary>What a vote computes.</summary>
internal enum VoteKind
{
    All, Any, Uniform, Ballot, Active,
}

/// <summary>
/// <c>shfl.sync</c>. The clamp operand holds the mask of the segment in bits 8 to 12 and the last lane in bits 0 to 4. A lane whose
/// source is outside of its segment keeps its own value; a source that does not take part is undefined, and faults.
/// </summary>
internal sealed unsafe class Shuffle(
    ShuffleMode mode, Register r, Register? valid, Register a, Register b, Register c, Register members) : Operation
{
    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.WarpSync;

    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        uint* values = (uint*)(warp.Storage + a.Offset), distances = (uint*)(warp.Storage + b.Offset), clamps = (uint*)(warp.Storage + c.Offset);
        uint* masks = (uint*)(warp.Storage + members.Offset), result = (uint*)(warp.Storage + r.Offset);
        uint* old = stackalloc uint[32];
        for (int i = 0; i < 32; i++) old[i] = values[i];
        uint inside = 0;
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int lane = BitOperations.TrailingZeroCount(lanes);
            warp.RequireMembers(masks[lane]);
            int distance = (int)(distances[lane] & 31), segment = (int)(clamps[lane] >> 8) & 31, last = (int)(clamps[lane] & 31);
            int highest = (lane & segment) | (last & ~segment), lowest = lane & segment;
            int source = mode switch
            {
                ShuffleMode.Up => lane - distance,
                ShuffleMode.Down => lane + distance,
                ShuffleMode.Butterfly => lane ^ distance,
                _ => lowest | (distance & ~segment),
            };
            bool isInside = mode == ShuffleMode.Up ? source >= highest : source <= highest;
            if (!isInside) source = lane;
            else inside |= 1u << lane;
            if (((warp.Active >> source) & 1) == 0) throw warp.Fault(lane, $"shuffles from lane {source}, which does not take part");
            result[lane] = old[source];
        }
        if (valid != null)
        {
            uint* bits = (uint*)(warp.Storage + valid.Offset);
            *bits = (*bits & ~warp.Active) | inside;
        }
        warp.Synchronize();
    }
}

/// <summary><c>vote.sync</c> and <c>activemask</c>.</summary>
internal sealed unsafe class Vote(VoteKind kind, Register r, Register? p, uint flip, Register? members) : Operation
{
    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.WarpSync;

    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        uint active = warp.Active;
        int first = BitOperations.TrailingZeroCount(active);
        if (members != null) warp.RequireMembers(((uint*)(warp.Storage + members.Offset))[first]);
        uint votes = p == null ? 0 : (*(uint*)(warp.Storage + p.Offset) ^ flip) & active;
        if (kind is VoteKind.Ballot or VoteKind.Active)
        {
            uint value = kind == VoteKind.Active ? active : votes;
            for (uint lanes = active; lanes != 0; lanes &= lanes - 1) ((uint*)(warp.Storage + r.Offset))[BitOperations.TrailingZeroCount(lanes)] = value;
        }
        else
        {
            bool outcome = kind switch { VoteKind.All => votes == active, VoteKind.Any => votes != 0, _ => votes == 0 || votes == active };
            uint* bits = (uint*)(warp.Storage + r.Offset);
            *bits = (*bits & ~active) | (outcome ? active : 0);
        }
        if (members != null) warp.Synchronize();
    }
}

/// <summary><c>match.any.sync</c>: the lanes that hold the same value.</summary>
internal sealed unsafe class MatchLanes(Register r, Register a, int size, Register members) : Operation
{
    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.WarpSync;

    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        warp.RequireMembers(((uint*)(warp.Storage + members.Offset))[BitOperations.TrailingZeroCount(warp.Active)]);
        uint* same = stackalloc uint[32];
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int lane = BitOperations.TrailingZeroCount(lanes);
            same[lane] = 0;
            for (uint others = warp.Active; others != 0; others &= others - 1)
            {
                int other = BitOperations.TrailingZeroCount(others);
                if (Lanes.Read(warp.Storage + a.Offset, other, size) == Lanes.Read(warp.Storage + a.Offset, lane, size)) same[lane] |= 1u << other;
            }
        }
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int lane = BitOperations.TrailingZeroCount(lanes);
            ((uint*)(warp.Storage + r.Offset))[lane] = same[lane];
        }
        warp.Synchronize();
    }
}

/// <summary><c>elect.sync</c>: true for one lane, here the lowest of the members.</summary>
internal sealed unsafe class Elect(Register? leader, Register p, Register members) : Operation
{
    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.WarpSync;

    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        int first = BitOperations.TrailingZeroCount(warp.Active);
        warp.RequireMembers(((uint*)(warp.Storage + members.Offset))[first]);
        uint* bits = (uint*)(warp.Storage + p.Offset);
        *bits = (*bits & ~warp.Active) | (1u << first);
        if (leader != null)
        {
            for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
                ((uint*)(warp.Storage + leader.Offset))[BitOperations.TrailingZeroCount(lanes)] = (uint)first;
        }
        warp.Synchronize();
    }
}
