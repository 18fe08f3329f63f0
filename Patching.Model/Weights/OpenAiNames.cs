using System.Collections.Immutable;
using Patching.Model.Clip;

namespace Patching.Model.Weights;

/// <summary>
/// OpenAI's state_dict, which open_clip keeps. The names are the canonical ones; the two projections are stored as the transpose, because
/// the original multiplies from the other side (<c>x @ proj</c>).
/// </summary>
public static class OpenAiNames
{
    /// <summary>Scalar I64 buffer: the image size. Only OpenAI's own exports have the three buffers.</summary>
    public const string InputResolution = "input_resolution";

    /// <summary>Scalar I64 buffer: the tokens of a text.</summary>
    public const string ContextLength = "context_length";

    /// <summary>Scalar I64 buffer: the rows of the token embedding.</summary>
    public const string VocabularySize = "vocab_size";

    /// <summary>The stored tensors that make up a canonical parameter.</summary>
    public static ImmutableArray<StoredTensor> Stored(ParameterSpec spec) => spec.Name is "visual.proj" or "text_projection"
        ? [new(spec.Name, [spec.Shape[1], spec.Shape[0]], 0, Transposed: true)]
        : [StoredTensor.Whole(spec.Name, spec)];

    /// <summary>Whether a tensor carries no weights: OpenAI's three scalars and the causal mask.</summary>
    public static bool IsBuffer(string name) => name is InputResolution or ContextLength or VocabularySize or "attn_mask";

    /// <summary>Whether a tensor belongs to the text tower.</summary>
    public static bool IsText(string name) =>
        name is "token_embedding.weight" or "positional_embedding" or "text_projection" or "ln_final.weight" or "ln_final.bias"
        || name.StartsWith("transformer.", StringComparison.Ordinal);

    /// <summary>Whether a name occurs only in this convention.</summary>
    public static bool IsTypical(string name) => name.StartsWith("visual.", StringComparison.Ordinal);
}
