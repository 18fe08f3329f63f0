using System.Diagnostics;
using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Kernels;

/// <summary>The team of host threads under more load than there are cores: every member runs every job once, and no wake-up is lost.</summary>
internal sealed class HostThreadsTests
{
    [TestCase(2, 60_000)]
    [TestCase(3, 60_000)]
    [TestCase(9, 3_000)]
    [CancelAfter(120_000)]
    public void EveryMemberRunsEveryJobOnce(int threads, int jobs)
    {
        using HostThreads team = new(threads);
        long[] counts = new long[threads * 16];
        for (int i = 0; i < jobs; i++)
        {
            team.Run(member => counts[member * 16]++);
            // Pauses of all lengths around the moment when members go to sleep.
            if (i % 64 == 0) Thread.SpinWait(i % 20_000);
            if (i % 1024 == 0) Thread.Sleep(1);
        }
        for (int member = 0; member < threads; member++) Assert.That(counts[member * 16], Is.EqualTo(jobs));
    }

    [Test]
    [CancelAfter(120_000)]
    public void SeveralTeamsDoNotStarveEachOther()
    {
        long done = 0;
        Thread[] callers = [.. Enumerable.Range(0, 4).Select(_ => new Thread(() =>
        {
            using HostThreads team = new(3);
            for (int i = 0; i < 2_000; i++) team.Run(_ => Interlocked.Increment(ref done));
        }))];
        foreach (Thread caller in callers) caller.Start();
        foreach (Thread caller in callers) Assert.That(caller.Join(100_000), Is.True, "a team is stuck");
        Assert.That(done, Is.EqualTo(4 * 2_000 * 3));
    }

    [Test]
    [CancelAfter(120_000)]
    public void TeamsComeAndGo()
    {
        int before = Process.GetCurrentProcess().Threads.Count;
        for (int i = 0; i < 300; i++)
        {
            using HostThreads team = new(3);
            if (i % 3 != 0) team.Run(_ => { });
            if (i % 3 == 2) Thread.Sleep(1);
        }
        Stopwatch clock = Stopwatch.StartNew();
        while (Process.GetCurrentProcess().Threads.Count > before + 20 && clock.Elapsed < TimeSpan.FromSeconds(20)) Thread.Sleep(10);
        Assert.That(Process.GetCurrentProcess().Threads.Count, Is.LessThanOrEqualTo(before + 20), "threads of disposed teams end");
    }

    [Test]
    public void AFailureOnAnyMemberReachesTheCallerAndTheTeamGoesOn()
    {
        using HostThreads team = new(3);
        for (int failing = 0; failing < 3; failing++)
        {
            int bad = failing;
            Assert.That(
                () => team.Run(member =>
                {
                    if (member == bad) throw new ArithmeticException("no");
                }),
                Throws.InvalidOperationException.With.InnerException.TypeOf<ArithmeticException>());
        }
        int runs = 0;
        team.Run(_ => Interlocked.Increment(ref runs));
        Assert.That(runs, Is.EqualTo(3));
    }
}
