using System.Collections.Immutable;
using Patching.Kernels;
using Patching.Model.Weights;

namespace Patching.Model.Clip;

/// <summary>
/// One number per parameter on a device: weights, gradients, or an optimizer moment. All sets made from the same table have the same layout, so an operation
/// over the whole model is one launch over <see cref="Flat"/>. Weights that compute in mixed precision bring a second arena of the same layout, <see cref="Rounded"/>:
/// whatever writes the one writes the other.
/// </summary>
public sealed class ParameterSet : IDisposable
{
    private readonly Arena arena;
    private readonly Dictionary<string, Tensor> tensors = [];
    private readonly Device device;
    private readonly Arena? roundedArena;
    private readonly Dictionary<string, Tensor> roundedTensors = [];

    /// <summary>Allocates the set, zeroed.</summary>
    /// <param name="device">Where it lives.</param>
    /// <param name="role">What it holds, for memory plans and error messages: <c>parameters</c>, <c>gradients</c>, ...</param>
    /// <param name="table">The parameters, in the order of the table.</param>
    /// <param name="precision">For weights: the precision they compute in. What the optimizer keeps about them is single precision.</param>
    /// <exception cref="DeviceException">The device has not enough memory.</exception>
    public ParameterSet(Device device, string role, ImmutableArray<ParameterSpec> table, TowerPrecision precision = TowerPrecision.Float32)
    {
        this.device = device;
        Table = table;
        arena = Arena.Allocate(device, role, a => Take(a, table, ElementType.Float32, tensors));
        if (precision == TowerPrecision.BFloat16)
            roundedArena = Arena.Allocate(device, $"{role} in bfloat16", a => Take(a, table, ElementType.BFloat16, roundedTensors));
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

    /// <summary>The same rounded to bfloat16, flat, each element at the same index; no tensor in single precision.</summary>
    public Tensor Rounded => roundedArena?.FlatOf(ElementType.BFloat16) ?? default;

    /// <summary>One parameter by its canonical name.</summary>
    public Tensor this[string name] => tensors[name];

    /// <summary>One parameter as matrix products read it: rounded, where the set has a rounded copy.</summary>
    public Tensor Operand(string name) => roundedArena is null ? tensors[name] : roundedTensors[name];

    /// <summary>Bytes that a set over this table takes.</summary>
    public static long BytesFor(ImmutableArray<ParameterSpec> table, TowerPrecision precision = TowerPrecision.Float32)
    {
        long bytes = Arena.Plan("parameters", a => Take(a, table, ElementType.Float32, [])).Bytes;
        if (precision == TowerPrecision.BFloat16) bytes += Arena.Plan("parameters in bfloat16", a => Take(a, table, ElementType.BFloat16, [])).Bytes;
        return bytes;
    }

    /// <summary>
    /// Fills the set: straight into its memory, several parameters at a time, where the processor can write there; else one after the other
    /// through a buffer for the largest.
    /// </summary>
    /// <param name="read">Writes the values of a parameter into the span it is given; must be safe to call from several threads.</param>
    public void Load(ParameterSource read)
    {
        if (device.Kind != DeviceKind.Cuda)
        {
            ParameterLoop.Run(Table, spec => read(spec, HostValues(tensors[spec.Name])));
        }
        else
        {
            float[] buffer = new float[Table.Max(spec => spec.Length)];
            foreach (ParameterSpec spec in Table)
            {
                Span<float> values = buffer.AsSpan(0, spec.Length);
                read(spec, values);
                tensors[spec.Name].CopyFrom(values);
            }
        }
        Round();
    }

    /// <summary>Copies one parameter to the processor's memory.</summary>
    public void Fetch(ParameterSpec spec, Span<float> destination) => tensors[spec.Name].CopyTo(destination);

    /// <summary>Copies another set of the same table.</summary>
    public void CopyFrom(ParameterSet other)
    {
        Flat.CopyFrom(other.Flat);
        Round();
    }

    /// <summary>Sets every value to zero.</summary>
    public void Clear()
    {
        Flat.Clear();
        if (roundedArena is not null) Rounded.Clear();
    }

    /// <summary>Writes the rounded copy, where the set has one, from the numbers themselves; for whoever changes those without writing both.</summary>
    public void Round()
    {
        if (roundedArena is not null) Rounding.Forward(device, Rounded, Flat);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        arena.Dispose();
        roundedArena?.Dispose();
    }

    private static unsafe Span<float> HostValues(Tensor tensor) => new(tensor.HostFloats, (int)tensor.Count);

    private static void Take(Arena arena, ImmutableArray<ParameterSpec> table, ElementType type, Dictionary<string, Tensor> tensors)
    {
        foreach (ParameterSpec spec in table) tensors[spec.Name] = arena.Take(spec.Name, type, spec.Shape.AsSpan());
    }
}
