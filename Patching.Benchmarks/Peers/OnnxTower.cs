using Patching.Benchmarks.EndToEnd;
using Patching.Model.Clip;

namespace Patching.Benchmarks.Peers;

/// <summary>
/// The image tower as an ONNX file for one batch size: what an exporter writes, or the same with ONNX Runtime's own attention operator,
/// what its optimizer
/// script for transformers makes of it.
/// </summary>
internal sealed class OnnxTower
{
    /// <summary>Name of the input [B, 3, S, S].</summary>
    public const string InputName = "planes";

    private readonly BenchmarkModel model;
    private readonly VisionConfig vision;
    private readonly int batch;
    private readonly bool fusedAttention;
    private readonly OnnxGraph graph;
    private readonly Dictionary<string, ParameterSpec> table;

    private OnnxTower(OnnxGraph graph, BenchmarkModel model, int batch, bool fusedAttention)
    {
        this.graph = graph;
        this.model = model;
        this.batch = batch;
        this.fusedAttention = fusedAttention;
        vision = model.Config.Vision;
        table = ParameterTable.Vision(model.Config).ToDictionary(spec => spec.Name);
    }

    /// <summary>Writes the file and, beside it, its weights; returns the name of the output [B, E].</summary>
    public static string Write(string path, BenchmarkModel model, int batch, bool fusedAttention)
    {
        using OnnxGraph graph = new(path);
        string output = new OnnxTower(graph, model, batch, fusedAttention).Build();
        graph.Save();
        return output;
    }

    private string Build()
    {
        int width = vision.Width, size = vision.ImageSize, patch = vision.PatchSize;
        string planes = graph.Input(InputName, batch, 3, size, size);
        string x = graph.Node(
            "Conv", [planes, graph.Weight("conv", Values("visual.conv1.weight"), width, 3, patch, patch)],
            OnnxGraph.Attribute("kernel_shape", patch, patch), OnnxGraph.Attribute("strides", patch, patch));
        x = graph.Node("Reshape", [x, graph.Constant(batch, width, vision.Patches)]);
        x = graph.Node("Transpose", [x], OnnxGraph.Attribute("perm", 0, 2, 1));
        float[] token = Values("visual.class_embedding");
        string tokens = graph.Weight("class_tokens", [.. Enumerable.Repeat(token, batch).SelectMany(values => values)], batch, 1, width);
        x = graph.Node("Concat", [tokens, x], OnnxGraph.Attribute("axis", 1));
        x = graph.Node("Add", [x, graph.Weight("positions", Values("visual.positional_embedding"), vision.Tokens, width)]);
        x = Normalize(x, "visual.ln_pre");
        for (int layer = 0; layer < vision.Layers; layer++) x = Block(x, $"visual.transformer.resblocks.{layer}");
        x = graph.Node("Gather", [x, ScalarIndex()], OnnxGraph.Attribute("axis", 1));
        x = graph.Node("MatMul", [Normalize(x, "visual.ln_post"), Transposed("visual.proj")]);
        graph.Output(x, batch, model.Config.EmbeddingWidth);
        return x;
    }

    /// <summary>Index 0 without a dimension, so that Gather removes the axis.</summary>
    private string ScalarIndex() => graph.Node("Squeeze", [graph.Constant(0)]);

    private string Block(string x, string block)
    {
        string qkv = Linear(Normalize(x, $"{block}.ln_1"), $"{block}.attn.in_proj_weight", $"{block}.attn.in_proj_bias");
        string[] parts = graph.Nodes("Split", [qkv, graph.Constant(vision.Width, vision.Width, vision.Width)], 3, "", OnnxGraph.Attribute("axis", 2));
        string attended = fusedAttention ? FusedAttention(parts) : Attention(parts);
        x = graph.Node("Add", [x, Linear(attended, $"{block}.attn.out_proj.weight", $"{block}.attn.out_proj.bias")]);
        string hidden = Linear(Normalize(x, $"{block}.ln_2"), $"{block}.mlp.c_fc.weight", $"{block}.mlp.c_fc.bias");
        hidden = graph.Node("Mul", [hidden, graph.Node("Sigmoid", [graph.Node("Mul", [hidden, graph.Scalar(1.702f)])])]);
        return graph.Node("Add", [x, Linear(hidden, $"{block}.mlp.c_proj.weight", $"{block}.mlp.c_proj.bias")]);
    }

    private string FusedAttention(string[] qkv) =>
        graph.Nodes("MultiHeadAttention", qkv, 1, OnnxGraph.MicrosoftDomain, OnnxGraph.Attribute("num_heads", vision.Heads))[0];

    private string Attention(string[] qkv)
    {
        string heads = graph.Constant(batch, vision.Tokens, vision.Heads, vision.HeadSize);
        string Part(string part, params ReadOnlySpan<long> order) =>
            graph.Node("Transpose", [graph.Node("Reshape", [part, heads])], OnnxGraph.Attribute("perm", order));
        string q = Part(qkv[0], 0, 2, 1, 3), keysTransposed = Part(qkv[1], 0, 2, 3, 1), v = Part(qkv[2], 0, 2, 1, 3);
        string scores = graph.Node("Mul", [graph.Node("MatMul", [q, keysTransposed]), graph.Scalar(1 / MathF.Sqrt(vision.HeadSize))]);
        string probabilities = graph.Node("Softmax", [scores], OnnxGraph.Attribute("axis", -1));
        string attended = graph.Node("Transpose", [graph.Node("MatMul", [probabilities, v])], OnnxGraph.Attribute("perm", 0, 2, 1, 3));
        return graph.Node("Reshape", [attended, graph.Constant(batch, vision.Tokens, vision.Width)]);
    }

    private string Normalize(string x, string layer) => graph.Node(
        "LayerNormalization",
        [x, graph.Weight($"{layer}.weight", Values($"{layer}.weight"), vision.Width), graph.Weight($"{layer}.bias", Values($"{layer}.bias"), vision.Width)],
        OnnxGraph.Attribute("axis", -1), OnnxGraph.Attribute("epsilon", model.Config.LayerNormEpsilon));

    private string Linear(string x, string weight, string bias) =>
        graph.Node("Add", [graph.Node("MatMul", [x, Transposed(weight)]), graph.Weight(bias, Values(bias), table[bias].Length)]);

    private float[] Values(string name)
    {
        float[] values = new float[table[name].Length];
        model.Fill(table[name], values);
        return values;
    }

    /// <summary>A matrix [out, in] as [in, out], the layout of MatMul's second operand.</summary>
    private string Transposed(string name)
    {
        int rows = table[name].Shape[0], columns = table[name].Shape[1];
        float[] values = Values(name), transposed = new float[values.Length];
        for (int r = 0; r < rows; r++)
        {
            for (int c = 0; c < columns; c++) transposed[c * rows + r] = values[r * columns + c];
        }
        return graph.Weight(name, transposed, columns, rows);
    }
}
