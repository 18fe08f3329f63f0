using System.Globalization;

namespace Patching.Model.Choosing;

/// <summary>What makes one candidate better than another, from its accuracies on held-out images.</summary>
/// <param name="MaxDrop">The most that a supported task may lose, 0 to 1; null for the rule of the paper, the best mean.</param>
public sealed record ChoiceRule(double? MaxDrop)
{
    // A drop that is the bound up to rounding is within it.
    private const double Rounding = 1e-12;

    /// <summary>The rule in words, for the record.</summary>
    public string Description => MaxDrop is { } bound ? string.Create(CultureInfo.InvariantCulture, $"max-drop {bound * 100:R}") : "mean";

    /// <summary>
    /// How good a candidate is. Mean: half the mean accuracy of the supported tasks plus half that of the patched ones (Ilharco et al. 2022). Bound: the mean accuracy of the patched tasks
    /// where no supported task loses more than the bound; elsewhere less than zero, the further the more it loses, so that a search finds its way back.
    /// </summary>
    /// <param name="accuracies">Accuracy per task.</param>
    /// <param name="before">The same of the original model.</param>
    /// <param name="isPatched">Whether a task is one that is learnt.</param>
    public double Value(IReadOnlyList<double> accuracies, IReadOnlyList<double> before, IReadOnlyList<bool> isPatched)
    {
        int[] patched = [.. Enumerable.Range(0, accuracies.Count).Where(i => isPatched[i])], supported = [.. Enumerable.Range(0, accuracies.Count).Where(i => !isPatched[i])];
        double learnt = patched.Average(i => accuracies[i]);
        if (MaxDrop is not { } bound) return supported.Length == 0 ? learnt : (learnt + supported.Average(i => accuracies[i])) / 2;
        double beyond = supported.Length == 0 ? 0 : supported.Max(i => before[i] - accuracies[i]) - bound;
        return beyond > Rounding ? -beyond : learnt;
    }

    /// <summary>Whether no supported task loses more than the bound; always, where there is no bound.</summary>
    public bool Holds(IReadOnlyList<double> accuracies, IReadOnlyList<double> before, IReadOnlyList<bool> isPatched) =>
        MaxDrop is not { } bound || Enumerable.Range(0, accuracies.Count).All(i => isPatched[i] || before[i] - accuracies[i] <= bound + Rounding);
}
