namespace Patching.Tests.Ptx;

/// <summary>
/// Estimates how many 32-bit registers a thread needs: the most that are alive at one instruction. The assembler schedules and
/// rematerialises, so that the truth differs a little; a kernel far above 255 spills for certain.
/// </summary>
internal static class RegisterPressure
{
    /// <summary>The greatest number of words alive at once.</summary>
    public static int Estimate(PtxEntry entry)
    {
        Operation[] code = entry.Code;
        int words = (entry.Registers.Count + 63) / 64;
        int[] sizes = new int[entry.Registers.Count];
        foreach (Register register in code.SelectMany(operation => operation.Reads.Concat(operation.Writes)))
            sizes[register.Index] = register.Type == PtxType.Pred ? 0 : Math.Max(1, register.Type.Size() / 4);
        foreach (int index in Rematerialized(code)) sizes[index] = 0;
        ulong[][] alive = [.. Enumerable.Range(0, code.Length + 1).Select(_ => new ulong[words])];
        for (bool changed = true; changed;)
        {
            changed = false;
            for (int i = code.Length - 1; i >= 0; i--) changed |= Update(code, i, alive);
        }
        return alive.Max(set => Count(set, sizes));
    }

    // Constants and parameters need no register: the assembler takes them from the constant bank where they are used.
    private static IEnumerable<int> Rematerialized(Operation[] code) =>
        from operation in code
        from register in operation.Writes
        group operation is ParameterLoad || (operation.Reads.Length == 0 && operation.Source.Text.StartsWith("mov", StringComparison.Ordinal)) by register.Index into writes
        where writes.All(constant => constant)
        select writes.Key;

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

    private static int Count(ulong[] set, int[] sizes)
    {
        int count = 0;
        for (int i = 0; i < sizes.Length; i++)
        {
            if (((set[i / 64] >> (i % 64)) & 1) != 0) count += sizes[i];
        }
        return count;
    }
}
