using System.Collections.Immutable;
using Patching.Kernels;
using Patching.Model.Weights;

namespace Patching.Model.Clip;

/// <summary>
/// One number per parameter on a device: weights, gradients, or an optimizer moment. All sets made from the same table have the same layout, so an operation
/// over the whole model is one launch over <see cref="Flat"/>.
/// </summary>
public sealed class ParameterSet : IDisposable
{
    private readonly Arena arena;
    private readonly Dictionary<string, Tensor> tensors = [];

    /// <summary>Allocates the set, zeroed.</summary>
    /// <param name="device">Where it lives.</param>
    /// <param name="role">What it holds, for memory plans and error messages: <c>parameters</c>, <c>gradients</c>, ...</param>
    /// <param name="table">The parameters, in the order of the table.</param>
    /// <exception cref="DeviceException">The device has not enough memory.</exception>
    public ParameterSet(Device device, string role, ImmutableArray<ParameterSpec> table)
    {
        Table = table;
        arena = Arena.Allocate(device, role, a =>
        {
            foreach (ParameterSpec spec in table) tensors[spec.Name] = a.Take(spec.Name, spec.Shape.AsSpan());
        });
    }

    /// <summary>The parameters in order.</summary>
    public ImmutableArray<ParameterSpec> Table { get; }

    /// <summary>Everything as one flat tensor; the alignment gaps between parameters are zero and stay zero under every operation of the optimizer.</summary>
    public Tensor Flat => arena.Flat;

    /// <summary>Neighbouring parameters of the table as one flat tensor.</summary>
    /// <param name="first">Index of the first.</param>
    /// <param name="count">How many.</param>
    public Tensor FlatOf(int first, int count)
    {
        Tensor all = Flat;
        int start = (int)(arena.Slots[first].Offset / sizeof(float));
        int end = first + count == Table.Length ? (int)all.Count : (int)(arena.Slots[first + count].Offset / sizeof(float));
        return all.Reshape((int)all.Count, 1).SliceRows(start, end - start).Reshape(end - start);
    }

    /// <summary>One parameter by its canonical name.</summary>
    public Tensor this[string name] => tensors[name];

    /// <summary>Bytes that a set over this table takes.</summary>
    public static long BytesFor(ImmutableArray<ParameterSpec> table) => Arena.Plan("parameters", a =>
    {
        foreach (ParameterSpec spec in table) a.Take(spec.Name, spec.Shape.AsSpan());
    }).Bytes;

    /// <summary>Fills the set, one parameter after the other; at most the largest parameter is held in managed memory at a time.</summary>
    /// <param name="read">Writes the values of a parameter into the span it is given.</param>
    public void Load(ParameterSource read)
    {
        float[] buffer = new float[Table.Max(spec => spec.Length)];
        foreach (ParameterSpec spec in Table)
        {
            Span<float> values = buffer.AsSpan(0, spec.Length);
            read(spec, values);
            tensors[spec.Name].CopyFrom(values);
        }
    }

    /// <summary>Copies one parameter to the processor's memory.</summary>
    public void Fetch(ParameterSpec spec, Span<float> destination) => tensors[spec.Name].CopyTo(destination);

    /// <summary>Copies another set of the same table.</summary>
    public void CopyFrom(ParameterSet other) => Flat.CopyFrom(other.Flat);

    /// <summary>Sets every value to zero.</summary>
    public void Clear() => Flat.Clear();

    /// <inheritdoc/>
    public void Dispose() => arena.Dispose();
}

