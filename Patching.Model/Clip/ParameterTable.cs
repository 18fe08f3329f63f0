using System.Collections.Immutable;

namespace Patching.Model.Clip;

/// <summary>What a tensor of a model is to those who read, write and train it.</summary>
public enum ParameterKind
{
    /// <summary>Trained.</summary>
    Weight,

    /// <summary>Trained: a convolution's weight in the order of <see cref="Patching.Kernels.Convolution"/>, [out, k, k, in]; files hold [out, in, k, k].</summary>
    Kernel,

    /// <summary>A running statistic of a batch normalisation: no gradient and no optimizer, but saved and interpolated like everything else.</summary>
    Statistic,
}

/// <summary>One tensor of a model: what it is called and how large it is. Elements are in row-major order.</summary>
/// <param name="Name">Canonical name (OpenAI's).</param>
/// <param name="Shape">Canonical shape; empty for a scalar.</param>
/// <param name="Kind">What it is.</param>
public sealed record ParameterSpec(string Name, ImmutableArray<int> Shape, ParameterKind Kind = ParameterKind.Weight)
{
    /// <summary>Number of elements: the product of the shape, 1 for a scalar.</summary>
    public int Length { get; } = Count(Shape);

    /// <summary>Equal names and shapes.</summary>
    public bool Equals(ParameterSpec? other) =>
        other is not null && Name == other.Name && Kind == other.Kind && Shape.AsSpan().SequenceEqual(other.Shape.AsSpan());

    /// <inheritdoc/>
    public override int GetHashCode() => Name.GetHashCode(StringComparison.Ordinal);

    /// <summary>The name and the shape, <c>visual.proj [512, 768]</c>.</summary>
    public override string ToString() => $"{Name} [{string.Join(", ", Shape)}]";

    private static int Count(ImmutableArray<int> shape)
    {
        int count = 1;
        foreach (int size in shape) count = checked(count * size);
        return count;
    }
}

/// <summary>
/// The one table of a model's parameters, in the order the forward pass meets them. It allocates, loads, makes gradients, drives the
/// optimizer, interpolates, saves and labels test failures; nothing else in the project lists parameters.
/// </summary>
/// <remarks>
/// <para>Names are OpenAI's. The layout of every matrix is [out, in], so that <c>y = x W^T + b</c> holds for all of them. That differs from
/// OpenAI's files in two places: <c>visual.proj</c> is [E, C] here and [C, E] there, <c>text_projection</c> is [E, C] here and [C, E]
/// there; Hugging Face stores them as we do.
/// Of a ResNet's attention pooling, <c>in_proj</c> is three tensors there. <see cref="Weights.OpenAiNames"/> and
/// <see cref="Weights.HuggingFaceNames"/> translate.</para>
/// <para>The rows of <c>attn.in_proj_weight</c> [3C, C] and <c>attn.in_proj_bias</c> [3C] are C rows of queries, C of keys, C of values;
/// head h owns rows h*D to (h+1)*D of each.</para>
/// </remarks>
public static class ParameterTable
{
    /// <summary>The parameters of the image tower; statistics come last.</summary>
    public static ImmutableArray<ParameterSpec> Vision(ClipConfig config) =>
        config.Image is ResNetConfig resNet ? ResNet(resNet, config.EmbeddingWidth) : Transformer(config);

    /// <summary>How many parameters of a table are trained: all before the first statistic.</summary>
    public static int TrainedCount(ImmutableArray<ParameterSpec> table) => table.Count(spec => spec.Kind != ParameterKind.Statistic);

    private static ImmutableArray<ParameterSpec> Transformer(ClipConfig config)
    {
        VisionConfig vision = config.Vision;
        int width = vision.Width;
        var table = ImmutableArray.CreateBuilder<ParameterSpec>();
        table.Add(new("visual.conv1.weight", [width, 3, vision.PatchSize, vision.PatchSize]));
        table.Add(new("visual.class_embedding", [width]));
        table.Add(new("visual.positional_embedding", [vision.Tokens, width]));
        AddPair(table, "visual.ln_pre", width);
        for (int layer = 0; layer < vision.Layers; layer++)
            AddBlock(table, $"visual.transformer.resblocks.{layer}", width, vision.MlpWidth);
        AddPair(table, "visual.ln_post", width);
        table.Add(new("visual.proj", [config.EmbeddingWidth, width]));
        return table.ToImmutable();
    }

    /// <summary>
    /// The parameters of the text tower, then <c>logit_scale</c> (the logarithm of the factor of the logits, shape []). Empty where there
    /// is no text tower.
    /// </summary>
    public static ImmutableArray<ParameterSpec> Text(ClipConfig config)
    {
        if (config.Text is not { } text) return [];
        int width = text.Width;
        var table = ImmutableArray.CreateBuilder<ParameterSpec>();
        table.Add(new("token_embedding.weight", [text.VocabularySize, width]));
        table.Add(new("positional_embedding", [text.ContextLength, width]));
        for (int layer = 0; layer < text.Layers; layer++)
            AddBlock(table, $"transformer.resblocks.{layer}", width, text.MlpWidth);
        AddPair(table, "ln_final", width);
        table.Add(new("text_projection", [config.EmbeddingWidth, width]));
        table.Add(new("logit_scale", []));
        return table.ToImmutable();
    }

    /// <summary>The image tower's parameters, then the text tower's: what a checkpoint holds.</summary>
    public static ImmutableArray<ParameterSpec> All(ClipConfig config) => [.. Vision(config), .. Text(config)];

    private static ImmutableArray<ParameterSpec> ResNet(ResNetConfig config, int embedding)
    {
        var table = ImmutableArray.CreateBuilder<ParameterSpec>();
        ResNetLayout layout = new(config);
        foreach (ConvolutionLayout layer in layout.Convolutions)
        {
            table.Add(new($"{layer.Convolution}.weight", [layer.Outputs, layer.Window, layer.Window, layer.Inputs], ParameterKind.Kernel));
            AddPair(table, layer.Norm, layer.Outputs);
        }
        int width = config.FeatureWidth;
        table.Add(new("visual.attnpool.positional_embedding", [config.Tokens, width]));
        table.Add(new("visual.attnpool.in_proj_weight", [3 * width, width]));
        table.Add(new("visual.attnpool.in_proj_bias", [3 * width]));
        AddPair(table, "visual.attnpool.c_proj", embedding, width);
        foreach (ConvolutionLayout layer in layout.Convolutions)
        {
            table.Add(new($"{layer.Norm}.running_mean", [layer.Outputs], ParameterKind.Statistic));
            table.Add(new($"{layer.Norm}.running_var", [layer.Outputs], ParameterKind.Statistic));
        }
        return table.ToImmutable();
    }

    private static void AddBlock(ImmutableArray<ParameterSpec>.Builder table, string block, int width, int mlpWidth)
    {
        AddPair(table, $"{block}.ln_1", width);
        table.Add(new($"{block}.attn.in_proj_weight", [3 * width, width]));
        table.Add(new($"{block}.attn.in_proj_bias", [3 * width]));
        AddPair(table, $"{block}.attn.out_proj", width, width);
        AddPair(table, $"{block}.ln_2", width);
        AddPair(table, $"{block}.mlp.c_fc", mlpWidth, width);
        AddPair(table, $"{block}.mlp.c_proj", width, mlpWidth);
    }

    /// <summary>A weight and its bias: a LayerNorm's [out] and [out], or a linear layer's [out, in] and [out].</summary>
    private static void AddPair(ImmutableArray<ParameterSpec>.Builder table, string layer, int outputs, int? inputs = null)
    {
        table.Add(new($"{layer}.weight", inputs is { } columns ? [outputs, columns] : [outputs]));
        table.Add(new($"{layer}.bias", [outputs]));
    }
}
