using System.Diagnostics;
using System.Text.Json.Nodes;
using Patching.Benchmarks.Gpu;

namespace Patching.Benchmarks.Images;

/// <summary>One engine at one piece of work.</summary>
/// <param name="Name">Who it is and what it does.</param>
/// <param name="Kind">Ours, a floor or a peer.</param>
/// <param name="Measure">Does the work once and gives the seconds; throws where it cannot.</param>
internal sealed record Entrant(string Name, EntrantKind Kind, Func<double> Measure)
{
    /// <summary>Seconds, round by round.</summary>
    public List<double> Seconds { get; } = [];

    /// <summary>Why there are none.</summary>
    public string? Failure { get; set; }

    /// <summary>The median round.</summary>
    public double Median
    {
        get
        {
            double[] sorted = [.. Seconds.Order()];
            return sorted.Length == 0 ? double.NaN : (sorted[(sorted.Length - 1) / 2] + sorted[sorted.Length / 2]) / 2;
        }
    }

    /// <summary>Work of ours, or a floor: an action that is timed.</summary>
    public static Entrant Of(string name, EntrantKind kind, Action work) => new(name, kind, () =>
    {
        long start = Stopwatch.GetTimestamp();
        work();
        return Stopwatch.GetElapsedTime(start).TotalSeconds;
    });

    /// <summary>Work of the peer.</summary>
    public static Entrant Of(string name, PeerProcess peer, JsonObject job) => new(name, EntrantKind.Peer, () =>
    {
        PeerAnswer answer = peer.Ask(job);
        return answer.Failure is null ? answer.Number("seconds") : throw new InvalidOperationException(answer.Failure);
    });
}

/// <summary>What an entrant is.</summary>
internal enum EntrantKind
{
    /// <summary>What is measured; the first of them is compared with the others.</summary>
    Ours,

    /// <summary>What no program of this design can be faster than.</summary>
    Floor,

    /// <summary>What people use today.</summary>
    Peer,
}

/// <summary>Several entrants at the same work, taking turns.</summary>
/// <param name="Title">The work.</param>
/// <param name="Images">Images of one measurement.</param>
/// <param name="Cores">Cores that are used.</param>
/// <param name="Entrants">Who takes part.</param>
internal sealed record Contest(string Title, int Images, int Cores, IReadOnlyList<Entrant> Entrants)
{
    /// <summary>Runs all rounds, after one that is not counted.</summary>
    public void Run(int rounds)
    {
        for (int round = -1; round < rounds; round++)
        {
            foreach (Entrant entrant in Entrants.Where(entrant => entrant.Failure is null))
            {
                try
                {
                    double seconds = entrant.Measure();
                    if (round >= 0) entrant.Seconds.Add(seconds);
                }
                catch (InvalidOperationException error)
                {
                    entrant.Failure = error.Message;
                }
            }
        }
    }
}
