using Patching.Benchmarks.EndToEnd;
using Patching.Model.Clip;
using static TorchSharp.torch;
using F = TorchSharp.torch.nn.functional;
using Parameter = TorchSharp.Modules.Parameter;

namespace Patching.Benchmarks.Peers;

/// <summary>The image tower as a PyTorch user writes it, in single precision, with the same weights as ours.</summary>
internal sealed class TorchTower
{
    private readonly VisionConfig vision;
    private readonly double epsilon;
    private readonly Dictionary<string, Parameter> parameters = [];

    /// <summary>Makes the parameters.</summary>
    public TorchTower(BenchmarkModel model, bool requiresGradient)
    {
        vision = model.Config.Vision;
        epsilon = model.Config.LayerNormEpsilon;
        foreach (ParameterSpec spec in ParameterTable.Vision(model.Config))
        {
            float[] values = new float[spec.Length];
            model.Fill(spec, values);
            parameters[spec.Name] = new Parameter(tensor(values, [.. spec.Shape.Select(size => (long)size)]), requiresGradient);
        }
    }

    /// <summary>All parameters in the order of the table.</summary>
    public IEnumerable<Parameter> Parameters => parameters.Values;

    /// <summary>One parameter by its canonical name.</summary>
    public Parameter this[string name] => parameters[name];

    /// <summary>The pixels of a model's benchmark batch as normalised planes [B, 3, S, S].</summary>
    public static Tensor Planes(BenchmarkModel model, int batch)
    {
        int size = model.Config.Vision.ImageSize;
        return tensor(model.Planes(batch), [batch, 3, size, size]);
    }

    /// <summary>Features [B, E] of planes [B, 3, S, S].</summary>
    public Tensor Forward(Tensor planes)
    {
        long batch = planes.shape[0], width = vision.Width;
        Tensor patches = F.conv2d(planes, this["visual.conv1.weight"], strides: [vision.PatchSize, vision.PatchSize]);
        patches = patches.reshape(batch, width, vision.Patches).transpose(1, 2);
        Tensor token = this["visual.class_embedding"].view(1, 1, width).expand(batch, 1, width);
        Tensor x = cat([token, patches], 1) + this["visual.positional_embedding"];
        x = Normalize(x, "visual.ln_pre");
        for (int layer = 0; layer < vision.Layers; layer++) x = Block(x, $"visual.transformer.resblocks.{layer}");
        return F.linear(Normalize(x.select(1, 0), "visual.ln_post"), this["visual.proj"]);
    }

    private Tensor Block(Tensor x, string block)
    {
        long batch = x.shape[0], tokens = x.shape[1];
        Tensor qkv = Linear(Normalize(x, $"{block}.ln_1"), $"{block}.attn.in_proj_weight", $"{block}.attn.in_proj_bias");
        qkv = qkv.view(batch, tokens, 3, vision.Heads, vision.HeadSize).permute(2, 0, 3, 1, 4);
        Tensor attended = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2]).transpose(1, 2).reshape(batch, tokens, vision.Width);
        x = x + Linear(attended, $"{block}.attn.out_proj.weight", $"{block}.attn.out_proj.bias");
        Tensor hidden = Linear(Normalize(x, $"{block}.ln_2"), $"{block}.mlp.c_fc.weight", $"{block}.mlp.c_fc.bias");
        hidden = hidden * sigmoid(1.702f * hidden);
        return x + Linear(hidden, $"{block}.mlp.c_proj.weight", $"{block}.mlp.c_proj.bias");
    }

    private Tensor Normalize(Tensor x, string layer) =>
        F.layer_norm(x, [vision.Width], this[$"{layer}.weight"], this[$"{layer}.bias"], epsilon);

    private Tensor Linear(Tensor x, string weight, string bias) => F.linear(x, this[weight], this[bias]);
}
