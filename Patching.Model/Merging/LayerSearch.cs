using Patching.Model.Choosing;
using Patching.Model.Clip;
using Patching.Model.Evaluation;

namespace Patching.Model.Merging;

/// <summary>
/// Searches a coefficient for every layer of the image tower on held-out images: the best one for all of them first, so the result is never worse there than one alpha is, then each by
/// itself. The text tower stays the base's.
/// </summary>
public static class LayerSearch
{
    /// <summary>Searches.</summary>
    /// <param name="merge">Base and fine-tuned model.</param>
    /// <param name="scorer">Held-out images.</param>
    /// <param name="rule">What makes coefficients better: the mean, or the patched task under a bound on what the others lose.</param>
    /// <param name="isPatched">Whether a data set of the scorer is a task that is learnt.</param>
    /// <param name="steps">Coefficients are multiples of one over this.</param>
    /// <param name="budget">The most models that are evaluated.</param>
    /// <param name="cancellation">Ends the search.</param>
    public static (LayerCoefficients Layers, FoundCoefficients Found) Run(
        ModelMerge merge, ModelScorer scorer, ChoiceRule rule, IReadOnlyList<bool> isPatched, int steps, int budget, CancellationToken cancellation)
    {
        string[] layers = [.. LayerCoefficients.Layers(merge.Config).Where(layer => layer.StartsWith("visual.", StringComparison.Ordinal))];
        double[] before = Accuracies(scorer.Score(merge.Inputs[0].Read, cancellation));
        FoundCoefficients found = CoefficientSearch.Run(layers.Length, steps, double.PositiveInfinity, budget, coefficients =>
        {
            MergedParameters merged = merge.Merge(LayerCoefficients.Of(layers, coefficients).Method(), [0, 1], ParameterTable.Vision(merge.Config));
            return rule.Value(Accuracies(scorer.Score(merged.Read, cancellation)), before, isPatched);
        });
        return (LayerCoefficients.Of(layers, found.Coefficients), found);
    }

    private static double[] Accuracies(EvaluationScore[] scores) => [.. scores.Select(score => score.Top1)];
}
