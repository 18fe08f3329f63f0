using System.Text.Json.Nodes;
using Patching.Kernels;

namespace Patching.Benchmarks.Gpu;

/// <summary>
/// Matrix products and attention in the shapes of the models, each many times in one CUDA graph, as the script does it too, so that nobody's launches count.
/// </summary>
internal static class KernelWork
{
    private const int GemmCalls = 20;
    private const int AttentionCalls = 10;

    private enum Form
    {
        Forward,
        BackwardInput,
        BackwardWeight,
    }

    /// <summary>The five layers of a model in three forms.</summary>
    public static IEnumerable<GpuWork> Gemms(ModelShape model, int batch, ElementType type) =>
        from layer in model.LinearLayers(batch)
        from form in Enum.GetValues<Form>()
        select Multiply(model, layer, form, type);

    /// <summary>Attention forward, and forward and backward.</summary>
    public static IEnumerable<GpuWork> Attentions(ModelShape model, int batch, ElementType type) =>
        from backward in (bool[])[false, true]
        select Attend(model, batch, backward, type);

    private static GpuWork Multiply(ModelShape model, LinearShape layer, Form form, ElementType type)
    {
        string name = form switch { Form.Forward => "forward", Form.BackwardInput => "backward input", _ => "backward weight" };
        JsonObject job = new() { ["work"] = "gemm", ["rows"] = layer.Rows, ["inputs"] = layer.Inputs, ["outputs"] = layer.Outputs, ["form"] = name };
        string what = layer.Name[(model.Name.Length + 1)..];
        return new GpuWork("gemm", model.Name, $"{what}, {name}", layer.Operations, null, device => PrepareGemm(device, layer, form, type), [new("torch", job)])
        {
            // What runs is chosen when the launches are captured.
            ByTensorCores = true,
        };
    }

    private static PreparedWork PrepareGemm(Device device, LinearShape layer, Form form, ElementType type)
    {
        Tensor x = default, w = default, dy = default, result = default, workspace = default;
        long length = type == ElementType.BFloat16 && form == Form.BackwardWeight ? Gemm.WorkspaceLength(layer.Rows, layer.Outputs, layer.Inputs) : 0;
        Arena arena = Arena.Allocate(device, "gemm", a =>
        {
            x = a.Take("x", type, layer.Rows, layer.Inputs);
            w = a.Take("w", type, layer.Outputs, layer.Inputs);
            dy = a.Take("dy", type, layer.Rows, layer.Outputs);
            result = form switch
            {
                Form.Forward => a.Take("y", type, layer.Rows, layer.Outputs),
                Form.BackwardInput => a.Take("dx", type, layer.Rows, layer.Inputs),
                _ => a.Take("dw", layer.Outputs, layer.Inputs),
            };
            if (length > 0) workspace = a.Take("workspace", checked((int)length));
        });
        foreach ((Tensor tensor, int seed) in ((Tensor, int)[])[(x, 1), (w, 2), (dy, 3)]) RandomNumbers.Fill(tensor, seed);
        Action once = form switch
        {
            Form.Forward => () => Gemm.Forward(device, result, x, w),
            Form.BackwardInput => () => Gemm.BackwardInput(device, result, dy, w),
            _ => () => Gemm.BackwardWeight(device, result, default, dy, x, workspace),
        };
        return PreparedWork.Repeated(device, once, GemmCalls, [arena]);
    }

    private static GpuWork Attend(ModelShape model, int batch, bool backward, ElementType type)
    {
        AttentionShape shape = new(batch, model.Tokens, model.Heads, model.Width / model.Heads);
        // Two products forward; backward computes the scores again and has four more.
        double products = backward ? 7 : 2;
        double operations = products * 2 * shape.Pairs * shape.Tokens * shape.Tokens * shape.HeadSize;
        JsonObject job = new()
        {
            ["work"] = "attention",
            ["batch"] = batch,
            ["tokens"] = shape.Tokens,
            ["heads"] = shape.Heads,
            ["head_size"] = shape.HeadSize,
            ["backward"] = backward,
        };
        return new GpuWork(
            "attention", model.Name, backward ? "forward and backward" : "forward", operations, null, device => PrepareAttention(device, shape, backward, type),
            [new("torch", job)]);
    }

    private static PreparedWork PrepareAttention(Device device, AttentionShape shape, bool backward, ElementType type)
    {
        Tensor qkv = default, y = default, dy = default, dqkv = default, saved = default, delta = default;
        Arena arena = Arena.Allocate(device, "attention", a =>
        {
            qkv = a.Take("qkv", type, shape.Rows, 3 * shape.Width);
            y = a.Take("y", type, shape.Rows, shape.Width);
            dy = a.Take("dy", type, shape.Rows, shape.Width);
            dqkv = a.Take("dqkv", type, shape.Rows, 3 * shape.Width);
            saved = a.Take("log_sum_exp", shape.Batch, shape.Heads, shape.Tokens);
            delta = a.Take("delta", shape.Batch, shape.Heads, shape.Tokens);
        });
        RandomNumbers.Fill(qkv, 1);
        RandomNumbers.Fill(dy, 2);
        return PreparedWork.Repeated(device, Once, AttentionCalls, [arena]);

        void Once()
        {
            Attention.Forward(device, y, backward ? saved : default, qkv, shape, causal: false);
            if (backward) Attention.Backward(device, dqkv, dy, y, qkv, saved, delta, shape, causal: false);
        }
    }
}
