namespace Patching.Tests.Ptx;

/// <summary>What the stand-in driver pretends to be, by default an H100, and what goes wrong with it.</summary>
internal sealed record StandInGpu
{
    public string Name { get; init; } = "Stand-in H100";

    /// <summary>Compute capability.</summary>
    public (int Major, int Minor) Capability { get; init; } = (9, 0);

    /// <summary>1000 times the major plus 10 times the minor version.</summary>
    public int DriverVersion { get; init; } = 12080;

    public long MemoryBytes { get; init; } = 80L << 30;

    /// <summary>Most shared memory of a group, for kernels that ask for more than 48 KiB.</summary>
    public int SharedBytesOptIn { get; init; } = 227 * 1024;

    /// <summary>
    /// Whether work waits until somebody synchronises, as on a GPU that is far behind. Otherwise every call does its work before it returns. With this, results
    /// that nobody waited for, and memory that is overwritten too early, are seen.
    /// </summary>
    public bool Deferred { get; init; }

    /// <summary>Which allocation of device memory fails for want of memory, from 1; 0: none.</summary>
    public int FailingAllocation { get; init; }

    /// <summary>Which launch of a kernel fails, from 1; 0: none.</summary>
    public int FailingLaunch { get; init; }

    /// <summary>Which stream that is made fails, from 1, and spoils the context; 0: none.</summary>
    public int FailingStream { get; init; }

    /// <summary>What the compiler of the driver says about every module; null: it accepts them.</summary>
    public string? CompilerError { get; init; }
}

/// <summary>A call that changed something: queries and the binding of contexts are not recorded.</summary>
/// <param name="Name">The driver's function; a name in parentheses is a node of a graph that ran.</param>
/// <param name="Arguments">What it was given, in words.</param>
internal sealed record StandInCall(string Name, string Arguments)
{
    /// <inheritdoc/>
    public override string ToString() => Arguments.Length == 0 ? Name : $"{Name} {Arguments}";
}
