using System.Collections.Immutable;
using Patching.Model.Clip;
using Patching.Model.Weights;

namespace Patching.Model.Merging;

/// <summary>What keeps two models from being merged: every mismatch is found before anything is computed or written.</summary>
public static class ModelComparison
{
    private const int MaxListed = 20;

    /// <summary>Refuses models that do not fit together.</summary>
    /// <param name="first">The model the others must be like.</param>
    /// <param name="others">The others.</param>
    /// <exception cref="InputException">One line with every difference of the first one that differs.</exception>
    public static void RequireSame(ClipCheckpoint first, params IEnumerable<ClipCheckpoint> others)
    {
        foreach (ClipCheckpoint other in others)
        {
            string[] differences = [.. Differences(first, other)];
            if (differences.Length == 0) continue;
            string rest = differences.Length > MaxListed ? $"; and {differences.Length - MaxListed} more" : "";
            throw new InputException(
                $"{other.Path}: not of the same architecture as {first.Path}, {differences.Length} differences: {string.Join("; ", differences.Take(MaxListed))}{rest}");
        }
    }

    /// <summary>Differences that do not matter to the result but that a user should know: element types, sentence by sentence.</summary>
    public static IEnumerable<string> Notes(ClipCheckpoint first, params IEnumerable<ClipCheckpoint> others)
    {
        foreach (ClipCheckpoint other in others)
        {
            if (Types(first) != Types(other)) yield return $"{other.Path}: its tensors are {Types(other)}, those of {first.Path} {Types(first)}; all are computed with as F32";
        }
    }

    private static IEnumerable<string> Differences(ClipCheckpoint a, ClipCheckpoint b)
    {
        IEnumerable<(string, object, object)> settings =
        [
            ("activation", a.Config.Activation, b.Config.Activation),
            ("LayerNorm epsilon", a.Config.LayerNormEpsilon, b.Config.LayerNormEpsilon),
            ("image tower", a.Config.Image.Describe(), b.Config.Image.Describe()),
            ("text heads", a.Config.Text?.Heads ?? 0, b.Config.Text?.Heads ?? 0),
            ("text pooling", a.Config.Text?.Pooling.ToString() ?? "none", b.Config.Text?.Pooling.ToString() ?? "none"),
            ("end-of-text id", a.Config.Text?.EndOfTextId ?? -1, b.Config.Text?.EndOfTextId ?? -1),
            ("preprocessing", Describe(a.Preprocess), Describe(b.Preprocess)),
        ];
        foreach ((string name, object of0, object of1) in settings)
            if (!of0.Equals(of1)) yield return FormattableString.Invariant($"{name} {of0} and {of1}");
        Dictionary<string, ParameterSpec> mine = ParameterTable.All(a.Config).ToDictionary(spec => spec.Name);
        ImmutableArray<ParameterSpec> theirs = ParameterTable.All(b.Config);
        foreach (ParameterSpec spec in theirs)
        {
            if (!mine.Remove(spec.Name, out ParameterSpec? same)) yield return $"only the second has {spec}";
            else if (!same.Equals(spec)) yield return $"{same} and [{string.Join(", ", spec.Shape)}]";
        }
        foreach (ParameterSpec spec in mine.Values) yield return $"only the first has {spec}";
    }

    private static string Describe(PreprocessConfig preprocess) =>
        FormattableString.Invariant($"{preprocess.Resize} mean {string.Join('/', preprocess.Mean)} std {string.Join('/', preprocess.Std)}");

    private static string Types(ClipCheckpoint model) => TensorSurvey.Types(model.Tensors.Values.Where(tensor => TensorEntry.IsFloat(tensor.DType)));
}
