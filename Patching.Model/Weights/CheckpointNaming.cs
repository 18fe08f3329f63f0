using System.Collections.Immutable;
using Patching.Model.Clip;

namespace Patching.Model.Weights;

/// <summary>The conventions by which files name and lay out CLIP's tensors.</summary>
public enum CheckpointNaming
{
    /// <summary>Hugging Face transformers: <see cref="HuggingFaceNames"/>.</summary>
    HuggingFace,

    /// <summary>OpenAI's code and open_clip: <see cref="OpenAiNames"/>.</summary>
    OpenAi,
}

/// <summary>A tensor of a file that holds a canonical parameter or a run of its elements.</summary>
/// <param name="Name">Name in the file.</param>
/// <param name="Shape">Shape in the file.</param>
/// <param name="First">The element of the canonical parameter where it begins; the parts of a parameter follow each other.</param>
/// <param name="Transposed">Whether the file holds the transpose [in, out] of the canonical [out, in], or of a convolution [out, in, k, k] instead of the canonical
/// [out, k, k, in].</param>
public readonly record struct StoredTensor(string Name, ImmutableArray<int> Shape, int First, bool Transposed)
{
    /// <summary>Number of elements.</summary>
    public int Length => Shape.Aggregate(1, (count, size) => count * size);

    /// <summary>Of a transposed tensor: how many matrices are transposed, and the rows and columns that each has in the file.</summary>
    internal (int Matrices, int Rows, int Columns) Matrices => Shape.Length == 2 ? (1, Shape[0], Shape[1]) : (Shape[0], Shape[1], Shape[2] * Shape[3]);

    /// <summary>A parameter that a file holds as it is, under another name.</summary>
    internal static StoredTensor Whole(string name, ParameterSpec spec) => new(name, spec.Shape, 0, false);

    /// <summary>Queries, keys and values, which a file holds as three tensors.</summary>
    internal static ImmutableArray<StoredTensor> Thirds(ParameterSpec spec, string attention, string kind)
    {
        ImmutableArray<int> shape = spec.Shape.SetItem(0, spec.Shape[0] / 3);
        int third = spec.Length / 3;
        return [
            new($"{attention}.q_proj.{kind}", shape, 0, false),
            new($"{attention}.k_proj.{kind}", shape, third, false),
            new($"{attention}.v_proj.{kind}", shape, 2 * third, false)];
    }
}

/// <summary>Chooses between the name maps.</summary>
internal static class NameMap
{
    /// <summary>The stored tensors that make up a canonical parameter, in the order of its elements.</summary>
    public static ImmutableArray<StoredTensor> Stored(CheckpointNaming naming, ParameterSpec spec) =>
        naming == CheckpointNaming.HuggingFace ? HuggingFaceNames.Stored(spec) : OpenAiNames.Stored(spec);

    /// <summary>Whether a tensor of the file carries no weights and is skipped.</summary>
    public static bool IsBuffer(CheckpointNaming naming, string name) =>
        naming == CheckpointNaming.HuggingFace ? HuggingFaceNames.IsBuffer(name) : OpenAiNames.IsBuffer(name);

    /// <summary>Tells the convention from the names of the tensors.</summary>
    public static CheckpointNaming Detect(string path, IEnumerable<string> names)
    {
        string[] sorted = [.. names.Order(StringComparer.Ordinal)];
        bool huggingFace = sorted.Any(HuggingFaceNames.IsTypical);
        bool openAi = sorted.Any(OpenAiNames.IsTypical);
        if (huggingFace != openAi) return huggingFace ? CheckpointNaming.HuggingFace : CheckpointNaming.OpenAi;
        if (huggingFace)
            throw new InputException($"{path}: mixes Hugging Face (vision_model.) and OpenAI (visual.) names; use the original file");
        string first = sorted.Length == 0 ? "it is empty" : $"the first is '{HostileText.Show(sorted[0])}'";
        throw new InputException(
            $"{path}: none of its {sorted.Length} tensors is of a CLIP image tower (vision_model. or visual.; {first}); give a CLIP model");
    }
}
