namespace Patching.Benchmarks.EndToEnd;

/// <summary>Something that is timed: an engine, a model and a batch, ready to run again and again.</summary>
internal interface IWorkload : IDisposable
{
    /// <summary>
    /// What the work computes, in sections that every engine gives in the same order; empty where there is nothing to compare. Called
    /// before <see cref="Run"/>.
    /// </summary>
    IReadOnlyList<float[]> Output();

    /// <summary>Does the work once, and waits for it.</summary>
    void Run();
}
