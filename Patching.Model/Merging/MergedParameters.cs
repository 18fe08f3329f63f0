using System.Collections.Immutable;
using System.Runtime.InteropServices;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Model.Merging;

/// <summary>
/// The parameters of a merged model, made from the files whenever they are asked for. Of each input model one parameter is in memory at a time. Searches that try many coefficients
/// and the model that is written in the end come out of here, so their numbers are the same bits.
/// </summary>
public sealed class MergedParameters
{
    private readonly IReadOnlyList<MergeInput> inputs;
    private readonly MergeMethod method;
    private readonly float[][] values;
    private readonly float[] result;
    private readonly Lock gate = new();

    /// <summary>Prepares the merge; the method may look at all models.</summary>
    /// <param name="table">The parameters that will be asked for.</param>
    /// <param name="inputs">The models, in the order the method means.</param>
    /// <param name="method">How they are merged.</param>
    public MergedParameters(ImmutableArray<ParameterSpec> table, IReadOnlyList<MergeInput> inputs, MergeMethod method)
    {
        Table = table;
        this.inputs = inputs;
        this.method = method;
        int longest = table.Max(spec => spec.Length);
        values = [.. inputs.Select(_ => new float[longest])];
        result = new float[longest];
        method.Prepare(table, inputs);
    }

    /// <summary>The parameters.</summary>
    public ImmutableArray<ParameterSpec> Table { get; }

    /// <summary>Makes one parameter; a <see cref="ParameterSource"/>. Safe to call from several threads, one of which works at a time, on all cores.</summary>
    public void Read(ParameterSpec spec, Span<float> destination)
    {
        lock (gate)
        {
            Make(spec, result);
            result.AsSpan(0, spec.Length).CopyTo(destination);
        }
    }

    /// <summary>Makes one parameter in the first elements of an array.</summary>
    internal void Make(ParameterSpec spec, float[] destination)
    {
        Parallel.For(0, inputs.Count, i => inputs[i].Read(spec, values[i].AsSpan(0, spec.Length)));
        ReadOnlySpan<float> first = values[0].AsSpan(0, spec.Length);
        bool isSame = true;
        for (int i = 1; i < values.Length && isSame; i++) isSame = SameBits(first, values[i].AsSpan(0, spec.Length));
        if (isSame) first.CopyTo(destination);
        else method.Merge(spec, values, destination);
    }

    private static bool SameBits(ReadOnlySpan<float> a, ReadOnlySpan<float> b) =>
        MemoryMarshal.AsBytes(a).SequenceEqual(MemoryMarshal.AsBytes(b));
}
