namespace Patching.Benchmarks.EndToEnd;

/// <summary>One of those who are timed in turns.</summary>
/// <param name="Name">Name in the report.</param>
/// <param name="Job">What its process measures.</param>
/// <param name="Environment">Makes the variables of its process; throws <see cref="WorkerException"/> where that is impossible on this
/// machine.</param>
internal sealed record Contender(string Name, WorkerJob Job, Func<IReadOnlyDictionary<string, string>> Environment)
{
    /// <summary>Our engine's name in the report.</summary>
    public const string OurName = "patching";

    /// <summary>Our engine's forward pass without the copies in and out.</summary>
    public const string ForwardOnlyName = "patching, forward only";

    private static readonly Dictionary<string, string> Nothing = [];

    /// <summary>A contender that needs no special environment.</summary>
    public static Contender Own(string name, WorkerJob job) => new(name, job, () => Nothing);

    /// <summary>Our engine and every peer that can do the work; the first is ours.</summary>
    public static IReadOnlyList<Contender> For(WorkerJob job, HostOptions options)
    {
        List<Contender> contenders = [Own(OurName, job with { Engine = "ours" })];
#if PEERS
        contenders.AddRange(Peers.PeerList.For(job).Where(peer => options.Wants(peer.Name)));
#endif
        return contenders;
    }
}

/// <summary>What was found about a contender.</summary>
/// <param name="Contender">Who.</param>
internal sealed record Measurement(Contender Contender)
{
    /// <summary>Seconds per run, one number per round.</summary>
    public List<double> Seconds { get; } = [];

    /// <summary>Share of the machine that others used during each round.</summary>
    public List<double> ForeignLoad { get; } = [];

    /// <summary>The largest resident set of a process that did nothing else.</summary>
    public long PeakMemory { get; set; }

    /// <summary>Largest difference to our output, relative to the largest number of its section; 0 for ourselves, NaN where nothing was
    /// compared.</summary>
    public double Difference { get; set; } = double.NaN;

    /// <summary>Why there are no numbers, in one line.</summary>
    public string? Failure { get; set; }

    /// <summary>Whether there are numbers.</summary>
    public bool Succeeded => Failure is null && Seconds.Count > 0;

    /// <summary>Median of <see cref="Seconds"/>.</summary>
    public double Median => MedianOf(Seconds);

    /// <summary>The middle value, or the mean of the two in the middle.</summary>
    public static double MedianOf(IEnumerable<double> values)
    {
        double[] sorted = [.. values.Order()];
        return sorted.Length == 0 ? double.NaN : (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
    }
}
