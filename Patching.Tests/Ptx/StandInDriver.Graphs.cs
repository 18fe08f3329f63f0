namespace Patching.Tests.Ptx;

/// <content>Graphs: a capture notes the work of one stream, a launch runs it again.</content>
internal sealed partial class StandInDriver
{
    private readonly Dictionary<nint, GraphState> graphs = [];

    private bool AnyCapture => streams.Values.Any(stream => stream.Capture is not null);

    internal StandInResult BeginCapture(nint stream)
    {
        // The NULL stream cannot be captured.
        if (stream == 0) return StandInResult.StreamCaptureUnsupported;
        if (!streams.TryGetValue(stream, out StreamState? state)) return StandInResult.InvalidHandle;
        if (state.Capture is not null) return StandInResult.InvalidValue;
        state.Capture = new GraphState();
        Record("cuStreamBeginCapture", $"stream {NameOf(stream)}");
        return StandInResult.Success;
    }

    internal StandInResult EndCapture(nint stream, out nint graph)
    {
        graph = 0;
        if (!streams.TryGetValue(stream, out StreamState? state) || state.Capture is not { } captured) return StandInResult.InvalidValue;
        state.Capture = null;
        Record("cuStreamEndCapture", $"stream {NameOf(stream)}, {captured.Nodes.Count} nodes");
        if (captured.IsInvalid) return StandInResult.StreamCaptureInvalidated;
        graph = NewHandle();
        graphs.Add(graph, captured);
        return StandInResult.Success;
    }

    internal StandInResult IsCapturing(nint stream, out int status)
    {
        status = streams.TryGetValue(stream, out StreamState? state) && state.Capture is { } graph ? graph.IsInvalid ? 2 : 1 : 0;
        return state is null ? StandInResult.InvalidHandle : StandInResult.Success;
    }

    internal StandInResult Instantiate(out nint executable, nint graph)
    {
        executable = 0;
        if (!graphs.TryGetValue(graph, out GraphState? state) || state.IsExecutable) return StandInResult.InvalidValue;
        executable = NewHandle();
        GraphState copy = new() { IsExecutable = true };
        copy.Nodes.AddRange(state.Nodes);
        graphs.Add(executable, copy);
        Record("cuGraphInstantiate", $"{copy.Nodes.Count} nodes");
        return StandInResult.Success;
    }

    internal StandInResult LaunchGraph(nint executable, nint stream)
    {
        if (!graphs.TryGetValue(executable, out GraphState? graph) || !graph.IsExecutable) return StandInResult.InvalidValue;
        return Submit(stream, "cuGraphLaunch", $"{graph.Nodes.Count} nodes, stream {NameOf(stream)}", () =>
        {
            foreach (Node node in graph.Nodes)
            {
                Record($"({node.Name})", node.Arguments);
                StandInResult result = node.Body();
                if (result != StandInResult.Success) return result;
            }
            return StandInResult.Success;
        });
    }

    internal StandInResult DestroyGraph(nint graph, bool executable)
    {
        if (!graphs.TryGetValue(graph, out GraphState? state) || state.IsExecutable != executable) return StandInResult.InvalidValue;
        graphs.Remove(graph);
        Record(executable ? "cuGraphExecDestroy" : "cuGraphDestroy");
        return StandInResult.Success;
    }

    private bool IsCapturing(nint stream) => streams.TryGetValue(stream, out StreamState? state) && state.Capture is not null;

    // Some calls are not only refused while a stream is captured: they spoil the capture.
    private bool ForbiddenInCapture()
    {
        foreach (StreamState stream in streams.Values) stream.Capture?.IsInvalid = true;
        return AnyCapture;
    }

    private StandInResult Invalidate(nint stream)
    {
        if (streams.TryGetValue(stream, out StreamState? state)) state.Capture?.IsInvalid = true;
        return StandInResult.StreamCaptureUnsupported;
    }

    private sealed record Node(string Name, string Arguments, Func<StandInResult> Body);

    private sealed class GraphState
    {
        public List<Node> Nodes { get; } = [];

        public bool IsInvalid { get; set; }

        public bool IsExecutable { get; init; }
    }
}
