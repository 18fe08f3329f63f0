using System.Runtime.InteropServices;

namespace Patching.Benchmarks.Peers;

/// <summary>
/// An ONNX model under construction. Field numbers are those of onnx.proto. Weights go to a file of their own (ONNX's external data),
/// which the runtime maps
/// instead of holding it twice.
/// </summary>
internal sealed class OnnxGraph : IDisposable
{
    private const int Float32 = 1;
    private const int Int64 = 7;
    private const int IrVersion = 8;
    private const int OperatorSet = 17;
    private const int Alignment = 4096;

    /// <summary>The domain of operators that only ONNX Runtime has.</summary>
    public const string MicrosoftDomain = "com.microsoft";

    private readonly ProtobufWriter graph = new();
    private readonly string path;
    private readonly FileStream weights;
    private int nodes;

    /// <summary>Begins a model; its weights are written beside it.</summary>
    public OnnxGraph(string path)
    {
        this.path = path;
        weights = File.Create(path + ".data");
        graph.Add(2, "tower");
    }

    /// <summary>Adds weights and returns their name.</summary>
    public string Weight(string name, ReadOnlySpan<float> values, params ReadOnlySpan<long> shape)
    {
        weights.Position = (weights.Position + Alignment - 1) / Alignment * Alignment;
        ProtobufWriter External(string key, string value) => new ProtobufWriter().Add(1, key).Add(2, value);
        ProtobufWriter tensor = new();
        foreach (long size in shape) tensor.Add(1, size);
        tensor.Add(2, Float32).Add(8, name);
        tensor.Add(13, External("location", Path.GetFileName(weights.Name)));
        tensor.Add(13, External("offset", FormattableString.Invariant($"{weights.Position}")));
        tensor.Add(13, External("length", FormattableString.Invariant($"{values.Length * 4L}")));
        tensor.Add(14, 1L);
        weights.Write(MemoryMarshal.AsBytes(values));
        graph.Add(5, tensor);
        return name;
    }

    /// <summary>Adds a small constant of integers, such as a shape, and returns its name.</summary>
    public string Constant(params ReadOnlySpan<long> values)
    {
        string name = $"constant{nodes++}";
        graph.Add(5, new ProtobufWriter().Add(1, values.Length).Add(2, Int64).Add(8, name).Add(9, MemoryMarshal.AsBytes(values)));
        return name;
    }

    /// <summary>Adds a single number and returns its name.</summary>
    public string Scalar(float value)
    {
        string name = $"constant{nodes++}";
        graph.Add(5, new ProtobufWriter().Add(2, Float32).Add(8, name).Add(9, BitConverter.GetBytes(value)));
        return name;
    }

    /// <summary>Adds a node with one output and returns the output's name.</summary>
    public string Node(string type, ReadOnlySpan<string> inputs, params ReadOnlySpan<ProtobufWriter> attributes) => Nodes(type, inputs, 1, "", attributes)[0];

    /// <summary>Adds a node and returns the names of its outputs.</summary>
    public string[] Nodes(string type, ReadOnlySpan<string> inputs, int outputs, string domain, params ReadOnlySpan<ProtobufWriter> attributes)
    {
        ProtobufWriter node = new();
        string name = $"{type}{nodes++}";
        string[] results = [.. Enumerable.Range(0, outputs).Select(i => $"{name}.{i}")];
        foreach (string input in inputs) node.Add(1, input);
        foreach (string result in results) node.Add(2, result);
        node.Add(3, name).Add(4, type);
        foreach (ProtobufWriter attribute in attributes) node.Add(5, attribute);
        if (domain.Length > 0) node.Add(7, domain);
        graph.Add(1, node);
        return results;
    }

    /// <summary>An integer attribute.</summary>
    public static ProtobufWriter Attribute(string name, long value) => new ProtobufWriter().Add(1, name).Add(3, value).Add(20, 2);

    /// <summary>A single-precision attribute.</summary>
    public static ProtobufWriter Attribute(string name, float value) => new ProtobufWriter().Add(1, name).Add(2, value).Add(20, 1);

    /// <summary>An attribute that is a list of integers.</summary>
    public static ProtobufWriter Attribute(string name, params ReadOnlySpan<long> values)
    {
        ProtobufWriter attribute = new ProtobufWriter().Add(1, name);
        foreach (long value in values) attribute.Add(8, value);
        return attribute.Add(20, 7);
    }

    /// <summary>Names the input of the model.</summary>
    public string Input(string name, params ReadOnlySpan<long> shape)
    {
        graph.Add(11, Value(name, shape));
        return name;
    }

    /// <summary>Makes a result the output of the model.</summary>
    public void Output(string name, params ReadOnlySpan<long> shape) => graph.Add(12, Value(name, shape));

    /// <summary>Writes the file.</summary>
    public void Save()
    {
        weights.Flush();
        ProtobufWriter model = new ProtobufWriter().Add(1, IrVersion).Add(2, "patching benchmarks").Add(7, graph);
        model.Add(8, new ProtobufWriter().Add(1, "").Add(2, OperatorSet));
        model.Add(8, new ProtobufWriter().Add(1, MicrosoftDomain).Add(2, 1L));
        File.WriteAllBytes(path, model.ToArray());
    }

    /// <inheritdoc/>
    public void Dispose() => weights.Dispose();

    private static ProtobufWriter Value(string name, ReadOnlySpan<long> shape)
    {
        ProtobufWriter dimensions = new();
        foreach (long size in shape) dimensions.Add(1, new ProtobufWriter().Add(1, size));
        ProtobufWriter type = new ProtobufWriter().Add(1, new ProtobufWriter().Add(1, Float32).Add(2, dimensions));
        return new ProtobufWriter().Add(1, name).Add(2, type);
    }
}
