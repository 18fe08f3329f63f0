using Patching.Model.Weights;

namespace Patching.Model.Merging;

/// <summary>One of the models that are merged.</summary>
/// <param name="Name">What the user calls it, for messages.</param>
/// <param name="Sha256">Hash of its weights: the model's identity, whatever it is called and wherever it stands in a list.</param>
/// <param name="Read">Supplies its parameters; safe to call from several threads.</param>
public sealed record MergeInput(string Name, string Sha256, ParameterSource Read);
