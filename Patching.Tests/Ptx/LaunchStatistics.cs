using System.Globalization;
using System.Text;

namespace Patching.Tests.Ptx;

/// <summary>What one instruction did in a launch.</summary>
internal struct Counters
{
    /// <summary>Warps that executed it.</summary>
    public long Warps;

    /// <summary>Threads that executed it.</summary>
    public long Threads;

    /// <summary>Passes over shared memory that its accesses took.</summary>
    public long Wavefronts;

    /// <summary>Passes that accesses without bank conflicts would have taken.</summary>
    public long IdealWavefronts;

    /// <summary>Sectors of 32 bytes of global memory that its requests touched.</summary>
    public long Sectors;

    /// <summary>Sectors that the bytes asked for would fill.</summary>
    public long IdealSectors;

    /// <summary>Adds another count.</summary>
    public void Add(in Counters other)
    {
        Warps += other.Warps;
        Threads += other.Threads;
        Wavefronts += other.Wavefronts;
        IdealWavefronts += other.IdealWavefronts;
        Sectors += other.Sectors;
        IdealSectors += other.IdealSectors;
    }
}

/// <summary>Counts of a launch: in all, by class, and by instruction.</summary>
internal sealed class LaunchStatistics
{
    private readonly PtxEntry _entry;
    private readonly Counters[] _counters;

    /// <summary>Adds up what the workers counted.</summary>
    public LaunchStatistics(PtxEntry entry, Counters[] counters)
    {
        _entry = entry;
        _counters = counters;
    }

    /// <summary>Name of the kernel.</summary>
    public string Kernel => _entry.Name;

    /// <summary>Instructions executed, counted once for each warp.</summary>
    public long WarpInstructions => Sum(counter => counter.Warps);

    /// <summary>Instructions executed, counted for each thread.</summary>
    public long ThreadInstructions => Sum(counter => counter.Threads);

    /// <summary>Passes over shared memory beyond those that accesses without bank conflicts take.</summary>
    public long BankConflicts => Sum(counter => counter.Wavefronts - counter.IdealWavefronts);

    /// <summary>Sectors of global memory touched beyond those that the bytes would fill.</summary>
    public long ExtraSectors => Sum(counter => counter.Sectors - counter.IdealSectors);

    /// <summary>Floating-point additions to memory in no fixed order: results that differ from run to run.</summary>
    public long FloatAtomics => Enumerable.Range(0, _counters.Length).Where(i => _entry.Code[i] is Atomic { IsFloat: true }).Sum(i => _counters[i].Threads);

    /// <summary>Barriers, counted once for each warp.</summary>
    public long Barriers => Count(InstructionClass.Barrier);

    /// <summary>Warps that executed an instruction of a class; of accesses of a number of bytes per thread only, if it is given.</summary>
    public long Count(InstructionClass kind, int bytes = 0) => Instructions.Where(item => item.Operation.Class == kind && (bytes == 0 || item.Operation.Bytes == bytes)).Sum(item => item.Counters.Warps);

    /// <summary>Bank conflicts of a class of instructions.</summary>
    public long BankConflictsOf(InstructionClass kind) =>
        Instructions.Where(item => item.Operation.Class == kind).Sum(item => item.Counters.Wavefronts - item.Counters.IdealWavefronts);

    /// <summary>The instructions with their counts.</summary>
    public IEnumerable<(Operation Operation, Counters Counters)> Instructions => _entry.Code.Select((operation, i) => (operation, _counters[i]));

    /// <summary>A table for people: classes, then the instructions with bank conflicts or more sectors than needed.</summary>
    public string Report()
    {
        StringBuilder text = new();
        text.AppendLine(CultureInfo.InvariantCulture, $"{Kernel}: {ThreadInstructions} instructions of threads, {WarpInstructions} of warps, {BankConflicts} bank conflicts, {ExtraSectors} extra sectors");
        foreach (var group in Instructions.Where(item => item.Counters.Warps > 0).GroupBy(item => (item.Operation.Class, item.Operation.Bytes)).OrderBy(group => group.Key))
            text.AppendLine(CultureInfo.InvariantCulture, $"  {group.Key.Class}{(group.Key.Bytes > 0 ? $" {group.Key.Bytes} bytes" : "")}: {group.Sum(item => item.Counters.Warps)}");
        foreach ((Operation operation, Counters counters) in Instructions)
        {
            if (counters.Wavefronts > counters.IdealWavefronts)
                text.AppendLine(CultureInfo.InvariantCulture, $"  {counters.Wavefronts - counters.IdealWavefronts} bank conflicts in {counters.Warps} x `{operation.Source.Text}` (PTX line {operation.Source.Line})");
            if (counters.Sectors > counters.IdealSectors)
                text.AppendLine(CultureInfo.InvariantCulture, $"  {counters.Sectors} sectors, {counters.IdealSectors} needed in {counters.Warps} x `{operation.Source.Text}` (PTX line {operation.Source.Line})");
        }
        return text.ToString();
    }

    private long Sum(Func<Counters, long> value) => _counters.Sum(value);
}
