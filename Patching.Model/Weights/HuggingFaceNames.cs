using System.Collections.Frozen;
using System.Collections.Immutable;
using Patching.Model.Clip;

namespace Patching.Model.Weights;

/// <summary>
/// The names of transformers' CLIPModel and CLIPVisionModelWithProjection. Queries, keys and values are three tensors there, the thirds of
/// our <c>in_proj</c>; <c>pre_layrnorm</c> is spelt so in the original.
/// </summary>
public static class HuggingFaceNames
{
    private const string Blocks = "transformer.resblocks.";

    /// <summary>Canonical name to stored name, for everything outside the blocks.</summary>
    private static readonly FrozenDictionary<string, string> Tops = new Dictionary<string, string>
    {
        ["visual.conv1.weight"] = "vision_model.embeddings.patch_embedding.weight",
        ["visual.class_embedding"] = "vision_model.embeddings.class_embedding",
        ["visual.positional_embedding"] = "vision_model.embeddings.position_embedding.weight",
        ["visual.ln_pre.weight"] = "vision_model.pre_layrnorm.weight",
        ["visual.ln_pre.bias"] = "vision_model.pre_layrnorm.bias",
        ["visual.ln_post.weight"] = "vision_model.post_layernorm.weight",
        ["visual.ln_post.bias"] = "vision_model.post_layernorm.bias",
        ["visual.proj"] = "visual_projection.weight",
        ["token_embedding.weight"] = "text_model.embeddings.token_embedding.weight",
        ["positional_embedding"] = "text_model.embeddings.position_embedding.weight",
        ["ln_final.weight"] = "text_model.final_layer_norm.weight",
        ["ln_final.bias"] = "text_model.final_layer_norm.bias",
        ["text_projection"] = "text_projection.weight",
        ["logit_scale"] = "logit_scale",
    }.ToFrozenDictionary(StringComparer.Ordinal);

    /// <summary>Canonical to stored layer name inside a block, for everything but in_proj.</summary>
    private static readonly FrozenDictionary<string, string> Layers = new Dictionary<string, string>
    {
        ["ln_1"] = "layer_norm1",
        ["attn.out_proj"] = "self_attn.out_proj",
        ["ln_2"] = "layer_norm2",
        ["mlp.c_fc"] = "mlp.fc1",
        ["mlp.c_proj"] = "mlp.fc2",
    }.ToFrozenDictionary(StringComparer.Ordinal);

    /// <summary>The stored tensors that make up a canonical parameter, in the order of its elements.</summary>
    public static ImmutableArray<StoredTensor> Stored(ParameterSpec spec)
    {
        if (Tops.TryGetValue(spec.Name, out string? top)) return [StoredTensor.Whole(top, spec)];
        int start = spec.Name.IndexOf(Blocks, StringComparison.Ordinal) + Blocks.Length;
        // "3.mlp.c_fc.weight": the block's index, the layer, the kind.
        int afterIndex = spec.Name.IndexOf('.', start);
        string block = $"{(start == Blocks.Length ? "text_model" : "vision_model")}.encoder.layers.{spec.Name[start..afterIndex]}";
        string leaf = spec.Name[(afterIndex + 1)..];
        if (leaf is "attn.in_proj_weight" or "attn.in_proj_bias")
            return StoredTensor.Thirds(spec, $"{block}.self_attn", leaf == "attn.in_proj_weight" ? "weight" : "bias");
        int beforeKind = leaf.LastIndexOf('.');
        return [StoredTensor.Whole($"{block}.{Layers[leaf[..beforeKind]]}{leaf[beforeKind..]}", spec)];
    }

    /// <summary>Whether a tensor carries no weights: the position ids 0, 1, 2, ... that older versions saved.</summary>
    public static bool IsBuffer(string name) => name is "vision_model.embeddings.position_ids" or "text_model.embeddings.position_ids";

    /// <summary>Whether a name occurs only in this convention.</summary>
    public static bool IsTypical(string name) => name.StartsWith("vision_model.", StringComparison.Ordinal);
}
