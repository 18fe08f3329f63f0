using System.Globalization;
using System.Text;

namespace Patching.Tests.Ptx;

/// <summary>
/// Counts how many 32-bit registers are alive at each instruction of a kernel: what is still to be read. The assembler schedules and rematerialises, so that the truth
/// differs a little, but a thread that has fewer registers than this spills for certain.
/// </summary>
internal sealed class RegisterPressure
{
    private readonly PtxEntry _entry;
    private readonly ulong[][] _alive;
    private readonly int[] _sizes;
    private readonly int[] _counts;

    private RegisterPressure(PtxEntry entry)
    {
        _entry = entry;
        _sizes = Sizes(entry);
        _alive = Analyse(entry);
        _counts = [.. _alive.Take(entry.Code.Length).Select(Count)];
    }

    /// <summary>A part of a kernel whose threads have the same number of registers.</summary>
    /// <param name="Limit">That number where <c>setmaxnreg</c> says it; 0: as many as at the launch.</param>
    /// <param name="Peak">The greatest number alive at once.</param>
    /// <param name="At">Number of the instruction before which it is reached.</param>
    public readonly record struct Region(int Limit, int Peak, int At);

    /// <summary>The greatest number of words alive at once, anywhere.</summary>
    public int Peak => _counts.Max();

    /// <summary>Counts what is alive in a kernel.</summary>
    public static RegisterPressure Of(PtxEntry entry) => new(entry);

    /// <summary>The whole kernel or, where it moves registers between its warpgroups, what comes before that and what each of them does after it.</summary>
    public IEnumerable<Region> Regions()
    {
        Operation[] code = _entry.Code;
        bool[] before = [.. Enumerable.Repeat(true, code.Length)];
        foreach (RegisterCount moved in code.OfType<RegisterCount>())
        {
            bool[] after = Reachable(moved.Index);
            yield return Greatest(moved.Count, after);
            for (int i = 0; i < before.Length; i++) before[i] &= !after[i];
        }
        yield return Greatest(0, before);
    }

    /// <summary>What is alive at an instruction, by where it is written: what to look at when there is too much.</summary>
    public string Describe(int at)
    {
        StringBuilder text = new();
        text.AppendLine(CultureInfo.InvariantCulture, $"{_counts[at]} registers are alive at PTX line {_entry.Code[at].Source.Line}: {_entry.Code[at].Source.Text}");
        var alive =
            from operation in _entry.Code
            from register in operation.Writes
            where IsAlive(_alive[at], register.Index) && _sizes[register.Index] > 0
            group operation by register into writes
            group writes.Key by writes.MinBy(operation => operation.Index)!.Source into together
            select (Source: together.Key, Words: together.Sum(register => _sizes[register.Index]));
        foreach ((PtxStatement source, int words) in alive.OrderByDescending(item => item.Words).Take(40))
            text.AppendLine(CultureInfo.InvariantCulture, $"  {words,3} since line {source.Line}: {source.Text}");
        HashSet<int> written = [.. _entry.Code.SelectMany(operation => operation.Writes).Select(register => register.Index)];
        int sums = Enumerable.Range(0, _sizes.Length).Where(i => !written.Contains(i) && IsAlive(_alive[at], i)).Sum(i => _sizes[i]);
        text.AppendLine(CultureInfo.InvariantCulture, $"  {sums,3} sums, which only wgmma writes");
        return text.ToString();
    }

    private Region Greatest(int limit, bool[] part)
    {
        int at = Enumerable.Range(0, part.Length).Where(i => part[i]).MaxBy(i => _counts[i]);
        return new Region(limit, _counts[at], at);
    }

    private bool[] Reachable(int from)
    {
        bool[] seen = new bool[_entry.Code.Length];
        Stack<int> open = new([from]);
        while (open.TryPop(out int i))
        {
            if (i == seen.Length || seen[i]) continue;
            seen[i] = true;
            foreach (int next in ControlFlow.Successors(_entry.Code, i)) open.Push(next);
        }
        return seen;
    }

    private static int[] Sizes(PtxEntry entry)
    {
        int[] sizes = new int[entry.Registers.Count];
        foreach (Register register in entry.Code.SelectMany(operation => operation.Reads.Concat(operation.Writes)))
            sizes[register.Index] = register.Type == PtxType.Pred ? 0 : Math.Max(1, register.Type.Size() / 4);
        foreach (int index in Rematerialized(entry.Code)) sizes[index] = 0;
        return sizes;
    }

    // Constants and parameters need no register: the assembler takes them from the constant bank where they are used. A parameter that is an address in global
    // memory is the same number as a generic address, so that converting it is no instruction.
    private static IEnumerable<int> Rematerialized(Operation[] code) =>
        from operation in code
        from register in operation.Writes
        group IsConstant(code, operation) by register.Index into writes
        where writes.All(constant => constant)
        select writes.Key;

    private static bool IsConstant(Operation[] code, Operation operation) => operation is ParameterLoad
        || (operation.Reads.Length == 0 && IsA(operation, "mov"))
        || (IsA(operation, "cvta.to.global") && operation.Index > 0 && code[operation.Index - 1] is ParameterLoad load && load.Writes.SequenceEqual(operation.Reads));

    private static bool IsA(Operation operation, string name) => operation.Source.Text.StartsWith(name, StringComparison.Ordinal);

    private static ulong[][] Analyse(PtxEntry entry)
    {
        int words = (entry.Registers.Count + 63) / 64;
        ulong[][] alive = [.. Enumerable.Range(0, entry.Code.Length + 1).Select(_ => new ulong[words])];
        for (bool changed = true; changed;)
        {
            changed = false;
            for (int i = entry.Code.Length - 1; i >= 0; i--) changed |= Update(entry.Code, i, alive);
        }
        return alive;
    }

    // What is alive before an instruction: what it reads, and what its successors need and it does not write for certain.
    private static bool Update(Operation[] code, int index, ulong[][] alive)
    {
        Operation operation = code[index];
        ulong[] set = new ulong[alive[index].Length];
        foreach (int next in ControlFlow.Successors(code, index))
        {
            for (int i = 0; i < set.Length; i++) set[i] |= alive[next][i];
        }
        if (operation.Guard == null)
        {
            foreach (Register register in operation.Writes) set[register.Index / 64] &= ~(1UL << (register.Index % 64));
        }
        else if (operation.Guard.Index >= 0)
        {
            set[operation.Guard.Index / 64] |= 1UL << (operation.Guard.Index % 64);
        }
        foreach (Register register in operation.Reads) set[register.Index / 64] |= 1UL << (register.Index % 64);
        bool changed = !set.AsSpan().SequenceEqual(alive[index]);
        alive[index] = set;
        return changed;
    }

    private int Count(ulong[] set)
    {
        int count = 0;
        for (int i = 0; i < _sizes.Length; i++)
        {
            if (IsAlive(set, i)) count += _sizes[i];
        }
        return count;
    }

    private static bool IsAlive(ulong[] set, int register) => ((set[register / 64] >> (register % 64)) & 1) != 0;
}
