namespace Patching.Kernels;

/// <summary>
/// A fixed team of threads for data-parallel loops that last microseconds. The caller is member 0; the others spin briefly for the next job and then sleep, so
/// back-to-back launches cost about a microsecond and an idle process costs nothing. Work is divided statically, so results depend only on the number of
/// threads. One caller at a time.
/// </summary>
public sealed class HostThreads : IDisposable
{
    // Long enough to bridge the gap between two launches of a training step, short enough not to starve the threads that decode images.
    private const int SpinsBeforeSleep = 2000;

    private readonly Member[] members;
    private readonly Scratch[] scratch;
    private Action<int>? job;
    private int running;
    private volatile int generation;
    private volatile bool stopping;
    private volatile Exception? failure;

    /// <summary>Starts <paramref name="count"/> - 1 background threads (0 means one per core).</summary>
    public HostThreads(int count)
    {
        Count = count > 0 ? count : Environment.ProcessorCount;
        scratch = new Scratch[Count + 1];
        for (int i = 0; i < scratch.Length; i++) scratch[i] = new Scratch();
        members = new Member[Count];
        for (int i = 1; i < Count; i++)
        {
            int id = i;
            members[i] = new Member();
            new Thread(() => Work(id)) { IsBackground = true, Name = $"host worker {id}" }.Start();
        }
    }

    /// <summary>Number of threads, the caller included.</summary>
    public int Count { get; }

    /// <summary>Runs <paramref name="body"/> once per member with the member's number; returns when all are done.</summary>
    public void Run(Action<int> body)
    {
        if (Count == 1)
        {
            body(0);
            return;
        }
        job = body;
        failure = null;
        Volatile.Write(ref running, Count - 1);
        Interlocked.Increment(ref generation);
        for (int i = 1; i < Count; i++) members[i].Wake();
        RunGuarded(body, 0);
        SpinWait spinner = default;
        while (Volatile.Read(ref running) > 0) spinner.SpinOnce(sleep1Threshold: -1);
        if (failure is { } error) throw new InvalidOperationException("a host kernel failed on a worker thread", error);
    }

    /// <summary>
    /// Divides <paramref name="count"/> items into one contiguous range per member and runs <paramref name="body"/>(first, end) on each non-empty one.
    /// </summary>
    /// <param name="count">Number of items.</param>
    /// <param name="body">The work of one range.</param>
    /// <param name="multiple">Ranges start at multiples of this, so that vectors and cache lines are not split.</param>
    public void For(long count, Action<long, long> body, int multiple = 1)
    {
        long blocks = (count + multiple - 1) / multiple;
        if (Count == 1 || blocks <= 1)
        {
            if (count > 0) body(0, count);
            return;
        }
        Run(member =>
        {
            long first = blocks * member / Count * multiple;
            long end = Math.Min(blocks * (member + 1) / Count * multiple, count);
            if (first < end) body(first, end);
        });
    }

    /// <summary>
    /// Scratch memory of one member (or, with <paramref name="member"/> = <see cref="Count"/>, shared by all), at least <paramref name="bytes"/> long and
    /// aligned to 4096 bytes. It grows when a larger piece than ever before is asked for and is otherwise reused: contents do not survive a launch.
    /// </summary>
    public unsafe void* ScratchOf(int member, long bytes) => scratch[member].AtLeast(bytes);

    /// <inheritdoc/>
    public void Dispose()
    {
        if (stopping) return;
        stopping = true;
        Interlocked.Increment(ref generation);
        for (int i = 1; i < Count; i++) members[i].Wake();
        foreach (Scratch piece in scratch) piece.Free();
    }

    private void Work(int id)
    {
        int seen = 0;
        while (true)
        {
            members[id].WaitWhile(this, seen);
            seen = generation;
            if (stopping) return;
            RunGuarded(job!, id);
            Interlocked.Decrement(ref running);
        }
    }

    private void RunGuarded(Action<int> body, int id)
    {
        try
        {
            body(id);
        }
        catch (Exception error)
        {
            failure = error;
        }
    }

    /// <summary>Where one worker waits for the next generation.</summary>
    private sealed class Member
    {
        private readonly SemaphoreSlim wakeUp = new(0);
        private int asleep;

        public void Wake()
        {
            if (Interlocked.Exchange(ref asleep, 0) == 1) wakeUp.Release();
        }

        public void WaitWhile(HostThreads team, int seen)
        {
            for (int spins = 0; team.generation == seen; spins++)
            {
                if (spins < SpinsBeforeSleep)
                {
                    // Yielding now and then keeps a launch cheap when members share a core with each other or with other work.
                    if (spins % 32 == 31) Thread.Yield();
                    else Thread.SpinWait(8);
                    continue;
                }
                Interlocked.Exchange(ref asleep, 1);
                // The job may have arrived between the check and the announcement; whoever takes the announcement back decides who owes the semaphore.
                if (team.generation == seen || Interlocked.Exchange(ref asleep, 0) == 0) wakeUp.Wait();
                spins = 0;
            }
        }
    }

    private sealed unsafe class Scratch
    {
        private nint memory;

        public long Bytes { get; private set; }

        public void* AtLeast(long bytes)
        {
            if (bytes > Bytes)
            {
                HostMemory.Free(memory);
                Bytes = (bytes + 4095) / 4096 * 4096;
                memory = HostMemory.Allocate(Bytes);
            }
            return (void*)memory;
        }

        public void Free()
        {
            HostMemory.Free(memory);
            memory = 0;
            Bytes = 0;
        }
    }
}
