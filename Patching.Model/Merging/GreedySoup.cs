using System.Globalization;
using Patching.Model.Clip;
using Patching.Model.Evaluation;

namespace Patching.Model.Merging;

/// <summary>
/// Greedy model soup (Wortsman et al. 2022): the models in the order of their held-out accuracy; each one joins the mean if the mean with it is at least as accurate as the mean without.
/// </summary>
public static class GreedySoup
{
    /// <summary>Chooses the ingredients.</summary>
    /// <param name="merge">The models.</param>
    /// <param name="scorer">Held-out data; the accuracy is the mean over its data sets.</param>
    /// <param name="note">Gets a line per model.</param>
    /// <param name="cancellation">Ends the search.</param>
    /// <returns>Indices of the models whose uniform mean is the soup, in canonical order.</returns>
    public static IReadOnlyList<int> Choose(ModelMerge merge, ModelScorer scorer, Action<string>? note, CancellationToken cancellation)
    {
        double[] alone = new double[merge.Inputs.Length];
        for (int i = 0; i < alone.Length; i++)
        {
            alone[i] = Accuracy(scorer.Score(merge.Inputs[i].Read, cancellation));
            note?.Invoke(string.Create(CultureInfo.InvariantCulture, $"{merge.Inputs[i].Name}: {alone[i] * 100:0.00} % alone"));
        }
        int[] canonical = merge.CanonicalOrder(0, alone), byAccuracy = [.. canonical.OrderByDescending(i => alone[i])];
        List<int> soup = [byAccuracy[0]];
        double best = alone[byAccuracy[0]];
        foreach (int candidate in byAccuracy.Skip(1))
        {
            int[] with = [.. canonical.Where(i => soup.Contains(i) || i == candidate)];
            double accuracy = Accuracy(scorer.Score(merge.Merge(Mean(with.Length), with, ParameterTable.Vision(merge.Config)).Read, cancellation));
            bool joins = accuracy >= best;
            note?.Invoke(string.Create(
                CultureInfo.InvariantCulture, $"{merge.Inputs[candidate].Name}: {accuracy * 100:0.00} % in the soup, {best * 100:0.00} % without: {(joins ? "joins" : "left out")}"));
            if (!joins) continue;
            soup.Add(candidate);
            best = accuracy;
        }
        return [.. canonical.Where(soup.Contains)];
    }

    /// <summary>The mean of this many models.</summary>
    public static LinearCombination Mean(int models) => LinearCombination.Mean([.. Enumerable.Repeat(1.0, models)]);

    private static double Accuracy(EvaluationScore[] scores) => scores.Average(score => score.Top1);
}
