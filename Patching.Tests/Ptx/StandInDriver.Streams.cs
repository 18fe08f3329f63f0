using System.Diagnostics;

namespace Patching.Tests.Ptx;

/// <content>
/// Streams and events. Work that is submitted either runs at once or, when the device is <see cref="StandInGpu.Deferred"/>, waits in its stream until someone waits
/// for it; then streams run as far as they must, each in order.
/// </content>
internal sealed partial class StandInDriver
{
    private readonly Dictionary<nint, StreamState> streams = [];
    private readonly Dictionary<nint, EventState> events = [];
    private int streamCount;

    /// <summary>How often somebody waited for an event that had not been reached.</summary>
    public int Waits { get; private set; }

    internal StandInResult CreateStream(out nint stream, uint flags)
    {
        stream = 0;
        if (++streamCount == gpu.FailingStream) return sticky = StandInResult.LaunchFailed;
        stream = NewHandle();
        streams.Add(stream, new StreamState(stream, Blocking: (flags & 1) == 0) { Number = streams.Count });
        Record("cuStreamCreate", $"stream {NameOf(stream)}{((flags & 1) == 0 ? "" : ", non-blocking")}");
        return StandInResult.Success;
    }

    internal StandInResult DestroyStream(nint stream)
    {
        if (stream == 0 || !streams.TryGetValue(stream, out StreamState? state)) return StandInResult.InvalidHandle;
        StandInResult result = Run(state);
        Record("cuStreamDestroy", $"stream {NameOf(stream)}");
        streams.Remove(stream);
        return result;
    }

    internal StandInResult SynchronizeStream(nint stream)
    {
        if (!streams.TryGetValue(stream, out StreamState? state)) return StandInResult.InvalidHandle;
        if (state.Capture is not null) return Invalidate(stream);
        Record("cuStreamSynchronize", $"stream {NameOf(stream)}");
        return Run(state);
    }

    internal StandInResult SynchronizeContext()
    {
        if (ForbiddenInCapture()) return StandInResult.StreamCaptureUnsupported;
        Record("cuCtxSynchronize");
        return RunEverything();
    }

    internal StandInResult CreateEvent(out nint handle)
    {
        handle = NewHandle();
        events.Add(handle, new EventState());
        return StandInResult.Success;
    }

    internal StandInResult DestroyEvent(nint handle) => events.Remove(handle) ? StandInResult.Success : StandInResult.InvalidHandle;

    internal StandInResult RecordEvent(nint handle, nint stream)
    {
        if (!events.TryGetValue(handle, out EventState? state)) return StandInResult.InvalidHandle;
        if (IsCapturing(stream))
        {
            state.Captured = true;
            return Submit(stream, "cuEventRecord", $"stream {NameOf(stream)}", () => StandInResult.Success);
        }
        state.Captured = false;
        StandInResult result = Submit(stream, "cuEventRecord", $"stream {NameOf(stream)}", () =>
        {
            state.Time = Stopwatch.GetTimestamp();
            return StandInResult.Success;
        });
        state.Recorded = streams[stream].Last;
        return result;
    }

    internal StandInResult QueryEvent(nint handle)
    {
        if (!events.TryGetValue(handle, out EventState? state)) return StandInResult.InvalidHandle;
        if (state.Captured) return StandInResult.CapturedEvent;
        return state.Recorded is { IsDone: false } ? StandInResult.NotReady : StandInResult.Success;
    }

    internal StandInResult SynchronizeEvent(nint handle)
    {
        if (!events.TryGetValue(handle, out EventState? state)) return StandInResult.InvalidHandle;
        if (state.Captured) return StandInResult.CapturedEvent;
        Record("cuEventSynchronize");
        if (state.Recorded is null) return StandInResult.Success;
        if (!state.Recorded.IsDone) Waits++;
        return RunUntil(state.Recorded);
    }

    internal StandInResult ElapsedTime(out float milliseconds, nint start, nint end)
    {
        milliseconds = 0;
        if (!events.TryGetValue(start, out EventState? first) || !events.TryGetValue(end, out EventState? last)) return StandInResult.InvalidHandle;
        if (first.Recorded is not { IsDone: true } || last.Recorded is not { IsDone: true }) return StandInResult.NotReady;
        milliseconds = (float)Stopwatch.GetElapsedTime(first.Time, last.Time).TotalMilliseconds;
        return StandInResult.Success;
    }

    internal StandInResult WaitEvent(nint stream, nint handle)
    {
        if (!events.TryGetValue(handle, out EventState? state)) return StandInResult.InvalidHandle;
        // A driver would draw the other stream into the capture; nothing here needs that.
        if (IsCapturing(stream) || state.Captured) return Invalidate(stream);
        Work? awaited = state.Recorded;
        return Submit(stream, "cuStreamWaitEvent", $"stream {NameOf(stream)}", () => awaited is null ? StandInResult.Success : RunUntil(awaited));
    }

    /// <summary>A number for people: 0 is the NULL stream.</summary>
    private string NameOf(nint stream) => streams.TryGetValue(stream, out StreamState? state) ? $"{state.Number}" : "unknown";

    /// <summary>Captures the work, runs it, or puts it into its stream.</summary>
    private StandInResult Submit(nint stream, string name, string arguments, Func<StandInResult> body)
    {
        if (!streams.TryGetValue(stream, out StreamState? state)) return StandInResult.InvalidHandle;
        if (state.Capture is { } graph)
        {
            if (graph.IsInvalid) return StandInResult.StreamCaptureInvalidated;
            graph.Nodes.Add(new Node(name, arguments, body));
            return StandInResult.Success;
        }
        if (stream == 0 && AnyCapture) return Invalidate(streams.Values.First(s => s.Capture is not null).Handle);
        Record(name, arguments);
        Work work = new(state, body);
        state.Pending.Enqueue(work);
        state.Last = work;
        // The NULL stream waits for the streams that block it, and they for it; streams made as ours are neither wait nor are waited for.
        if (stream == 0)
        {
            foreach (StreamState other in streams.Values.Where(s => s.Blocking).ToArray()) Run(other);
        }
        return gpu.Deferred ? StandInResult.Success : RunUntil(work);
    }

    private StandInResult Run(StreamState stream) => stream.Last is null ? sticky : RunUntil(stream.Last);

    private StandInResult RunEverything()
    {
        foreach (StreamState stream in streams.Values.ToArray()) Run(stream);
        return sticky;
    }

    private StandInResult RunUntil(Work work)
    {
        while (!work.IsDone)
        {
            Work next = work.Stream.Pending.Dequeue();
            StandInResult result = sticky == StandInResult.Success ? next.Body() : sticky;
            next.IsDone = true;
            // As on hardware: what a stream did wrong spoils the context.
            if (result != StandInResult.Success && sticky == StandInResult.Success) sticky = result;
        }
        return sticky;
    }

    private sealed record StreamState(nint Handle, bool Blocking)
    {
        public int Number { get; init; }

        public Queue<Work> Pending { get; } = [];

        public Work? Last { get; set; }

        public GraphState? Capture { get; set; }
    }

    private sealed class Work(StreamState stream, Func<StandInResult> body)
    {
        public StreamState Stream => stream;

        public Func<StandInResult> Body => body;

        public bool IsDone { get; set; }
    }

    private sealed class EventState
    {
        public Work? Recorded { get; set; }

        public bool Captured { get; set; }

        public long Time { get; set; }
    }
}
