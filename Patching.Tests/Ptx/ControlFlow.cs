using System.Numerics;

namespace Patching.Tests.Ptx;

/// <summary>A branch, which may part the lanes of a warp.</summary>
internal abstract class Jump : Operation
{
    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.Branch;

    /// <summary>The instructions that may follow, apart from the next one.</summary>
    public required int[] Targets { get; init; }

    /// <summary>Whether the text promises that all lanes go the same way (<c>.uni</c>).</summary>
    public required bool Uniform { get; init; }

    /// <summary>
    /// Where lanes that part here meet again: the immediate post-dominator; one past the last instruction where they never do.
    /// </summary>
    public int Meeting { get; set; }
}

/// <summary><c>bra</c>; the guard decides which lanes are active here, and those jump.</summary>
internal sealed class Branch : Jump
{
    /// <inheritdoc/>
    public override void Execute(Warp warp) => warp.Part(this, Targets[0], warp.Active);
}

/// <summary><c>brx.idx</c>: each lane picks a label of a table.</summary>
internal sealed unsafe class TableBranch(Register index) : Jump
{
    /// <inheritdoc/>
    public override void Execute(Warp warp)
    {
        uint* chosen = (uint*)(warp.Storage + index.Offset);
        // Lanes part one target at a time; what is left of the warp comes back here with its remaining lanes.
        int first = BitOperations.TrailingZeroCount(warp.Active);
        if (chosen[first] >= Targets.Length) throw warp.Fault(first, $"index {chosen[first]} into a table of {Targets.Length} labels");
        uint same = 0;
        for (uint lanes = warp.Active; lanes != 0; lanes &= lanes - 1)
        {
            int lane = BitOperations.TrailingZeroCount(lanes);
            if (chosen[lane] == chosen[first]) same |= 1u << lane;
        }
        warp.Part(this, Targets[chosen[first]], same, stay: same != warp.Active);
    }
}

/// <summary><c>ret</c> or <c>exit</c>: the active lanes end.</summary>
internal sealed class Exit : Operation
{
    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.Branch;

    /// <inheritdoc/>
    public override void Execute(Warp warp) => warp.End();
}

/// <summary><c>trap</c>.</summary>
internal sealed class Trap : Operation
{
    /// <inheritdoc/>
    public override InstructionClass Class => InstructionClass.Branch;

    /// <inheritdoc/>
    public override void Execute(Warp warp) => throw warp.Fault(BitOperations.TrailingZeroCount(warp.Active), "the kernel stopped itself (trap)");
}

/// <summary>
/// Finds where diverged lanes meet: the immediate post-dominator of a branch is the first instruction that every path from it to the end
/// passes. Iterates over the reversed flow graph (K. D. Cooper, T. J. Harvey, K. Kennedy, "A Simple, Fast Dominance Algorithm", 2001).
/// </summary>
internal static class ControlFlow
{
    /// <summary>Sets <see cref="Jump.Meeting"/> of every branch.</summary>
    public static void FindReconvergence(Operation[] code)
    {
        int end = code.Length;
        int[] post = PostOrder(code);
        int[] rank = new int[end + 1];
        for (int i = 0; i < post.Length; i++) rank[post[i]] = i;

        // Instructions from which the end cannot be reached (endless loops) keep -1 and meet nowhere.
        int[] dominator = new int[end + 1];
        Array.Fill(dominator, -1);
        dominator[end] = end;
        for (bool changed = true; changed;)
        {
            changed = false;
            foreach (int i in post.Reverse())
            {
                if (i == end) continue;
                int common = -1;
                foreach (int next in Successors(code, i))
                {
                    if (dominator[next] < 0) continue;
                    common = common < 0 ? next : Intersect(common, next);
                }
                if (common < 0 || common == dominator[i]) continue;
                dominator[i] = common;
                changed = true;
            }
        }
        foreach (Jump jump in code.OfType<Jump>()) jump.Meeting = dominator[jump.Index] < 0 ? end : dominator[jump.Index];

        int Intersect(int a, int b)
        {
            while (a != b)
            {
                while (rank[a] < rank[b]) a = dominator[a];
                while (rank[b] < rank[a]) b = dominator[b];
            }
            return a;
        }
    }

    // Post-order of the reversed graph, from the end of the kernel.
    private static int[] PostOrder(Operation[] code)
    {
        int end = code.Length;
        List<int>[] predecessors = new List<int>[end + 1];
        for (int i = 0; i <= end; i++) predecessors[i] = [];
        for (int i = 0; i < end; i++)
        {
            foreach (int next in Successors(code, i)) predecessors[next].Add(i);
        }
        List<int> order = [];
        bool[] seen = new bool[end + 1];
        Stack<(int Node, int Next)> stack = new([(end, 0)]);
        seen[end] = true;
        while (stack.TryPop(out var frame))
        {
            if (frame.Next == predecessors[frame.Node].Count)
            {
                order.Add(frame.Node);
                continue;
            }
            stack.Push((frame.Node, frame.Next + 1));
            int child = predecessors[frame.Node][frame.Next];
            if (seen[child]) continue;
            seen[child] = true;
            stack.Push((child, 0));
        }
        return [.. order];
    }

    /// <summary>The instructions that may follow; the number of instructions for the end.</summary>
    public static IEnumerable<int> Successors(Operation[] code, int i)
    {
        Operation operation = code[i];
        if (operation is Jump jump)
        {
            foreach (int target in jump.Targets) yield return target;
        }
        if (operation is Exit or Trap) yield return code.Length;
        if (operation is not (Jump or Exit or Trap) || operation.Guard != null) yield return i + 1;
    }
}
