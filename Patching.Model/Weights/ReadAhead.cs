using System.Collections.Immutable;
using Patching.Model.Clip;

namespace Patching.Model.Weights;

/// <summary>
/// Makes the next parameter while the one before is being written, for writers that ask for all of them in the table's order. Two of the longest parameter are in memory.
/// </summary>
internal sealed class ReadAhead
{
    private readonly ImmutableArray<ParameterSpec> table;
    private readonly Action<ParameterSpec, float[]> make;
    private readonly float[][] buffers;
    private Task pending;
    private int next;

    /// <summary>Begins with the first parameter.</summary>
    /// <param name="table">The parameters, in order.</param>
    /// <param name="make">Fills the first elements of an array with a parameter.</param>
    public ReadAhead(ImmutableArray<ParameterSpec> table, Action<ParameterSpec, float[]> make)
    {
        this.table = table;
        this.make = make;
        int longest = table.Max(spec => spec.Length);
        buffers = [new float[longest], new float[longest]];
        pending = Start(0);
    }

    /// <summary>The next parameter, valid until the one after it is asked for.</summary>
    public ReadOnlySpan<float> Next(ParameterSpec spec)
    {
        if (next >= table.Length || !table[next].Equals(spec)) throw new InvalidOperationException($"{spec} is asked for out of order");
        pending.GetAwaiter().GetResult();
        float[] ready = buffers[next % 2];
        next++;
        if (next < table.Length) pending = Start(next);
        return ready.AsSpan(0, spec.Length);
    }

    /// <summary>Waits for what is still being made, so that its sources can be closed.</summary>
    public void Finish()
    {
        // What went wrong with a parameter that nobody asked for does not matter any more.
        Task.WaitAny(pending);
        _ = pending.Exception;
    }

    private Task Start(int index) => Task.Run(() => make(table[index], buffers[index % 2]));
}
