using Patching.Kernels;

namespace Patching.Model.Clip;

/// <summary>
/// Work that is done again and again on the same memory, such as a training step for one batch size. The first time it is launched call by call, which also loads its
/// kernels; the second time the launches are recorded, and from then on a GPU gets all of them in one call (a CUDA graph). Elsewhere every time is the first.
/// </summary>
/// <typeparam name="TKey">What the memory depends on: the batch size, the weights.</typeparam>
internal sealed class RepeatedSteps<TKey>(Device device) : IDisposable
    where TKey : notnull
{
    private readonly Dictionary<TKey, LaunchGraph?> graphs = [];

    /// <summary>Does the work for a key.</summary>
    /// <param name="key">Work with the same key launches the same kernels with the same arguments; what differs it reads from device memory.</param>
    /// <param name="step">Only launches: it neither waits nor touches the processor's memory.</param>
    public void Run(TKey key, Action step)
    {
        if (!graphs.TryGetValue(key, out LaunchGraph? graph))
        {
            step();
            graphs.Add(key, null);
            return;
        }
        if (graph is null) graphs[key] = graph = device.Capture(step);
        graph.Launch();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (LaunchGraph? graph in graphs.Values) graph?.Dispose();
    }
}
