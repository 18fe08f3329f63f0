using System.Collections.Immutable;
using Patching.Model.Clip;

namespace Patching.Model.Weights;

/// <summary>
/// OpenAI's state_dict, which open_clip keeps. The names are the canonical ones; the two projections are stored as the transpose, because
/// the original multiplies from the other side (<c>x @ proj</c>); convolutions of ResNets are stored [out, in, k, k], and their attention pooling's queries, keys and
/// values as three tensors.
/// </summary>
public static class OpenAiNames
{
    private const string AttentionPooling = "visual.attnpool";
    private const string MeanSuffix = ".running_mean";
    private const string CounterSuffix = ".num_batches_tracked";

    /// <summary>Scalar I64 buffer: the image size. Only OpenAI's own exports have the three buffers.</summary>
    public const string InputResolution = "input_resolution";

    /// <summary>Scalar I64 buffer: the tokens of a text.</summary>
    public const string ContextLength = "context_length";

    /// <summary>Scalar I64 buffer: the rows of the token embedding.</summary>
    public const string VocabularySize = "vocab_size";

    /// <summary>The stored tensors that make up a canonical parameter.</summary>
    public static ImmutableArray<StoredTensor> Stored(ParameterSpec spec) => spec switch
    {
        { Kind: ParameterKind.Kernel, Shape: [int outputs, int window, _, int inputs] } =>
            [new(spec.Name, [outputs, inputs, window, window], 0, Transposed: window > 1)],
        { Name: "visual.proj" or "text_projection" } => [new(spec.Name, [spec.Shape[1], spec.Shape[0]], 0, Transposed: true)],
        { Name: $"{AttentionPooling}.in_proj_weight" } => StoredTensor.Thirds(spec, AttentionPooling, "weight"),
        { Name: $"{AttentionPooling}.in_proj_bias" } => StoredTensor.Thirds(spec, AttentionPooling, "bias"),
        _ => [StoredTensor.Whole(spec.Name, spec)],
    };

    /// <summary>Whether a tensor carries no weights: OpenAI's three scalars, the causal mask and the counters of batch normalisations.</summary>
    public static bool IsBuffer(string name) => name is InputResolution or ContextLength or VocabularySize or "attn_mask" || IsCounter(name);

    /// <summary>Whether a tensor is a batch normalisation's I64 number of training steps, which nothing computes with.</summary>
    public static bool IsCounter(string name) => name.EndsWith(CounterSuffix, StringComparison.Ordinal);

    /// <summary>The counters that PyTorch expects beside a model's running statistics.</summary>
    public static IEnumerable<string> Counters(IEnumerable<ParameterSpec> table) =>
        table.Where(spec => spec.Kind == ParameterKind.Statistic && spec.Name.EndsWith(MeanSuffix, StringComparison.Ordinal))
            .Select(spec => spec.Name[..^MeanSuffix.Length] + CounterSuffix);

    /// <summary>Whether a tensor belongs to the text tower.</summary>
    public static bool IsText(string name) =>
        name is "token_embedding.weight" or "positional_embedding" or "text_projection" or "ln_final.weight" or "ln_final.bias"
        || name.StartsWith("transformer.", StringComparison.Ordinal);

    /// <summary>Whether a name occurs only in this convention.</summary>
    public static bool IsTypical(string name) => name.StartsWith("visual.", StringComparison.Ordinal);
}
