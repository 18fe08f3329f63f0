using Patching.Model.Data;
using Patching.Model.Evaluation;

namespace Patching.Model.Choosing;

/// <summary>Evaluates some alphas on some data sets: a score per data set and alpha.</summary>
/// <param name="datasets">The data sets.</param>
/// <param name="alphas">The alphas.</param>
public delegate EvaluationScore[][] AlphaEvaluation(IReadOnlyList<ImageDataset> datasets, IReadOnlyList<double> alphas);

/// <summary>
/// Chooses alpha on held-out images and says how it does on the test images, which are looked at once, when nothing is left to decide.
/// </summary>
/// <param name="settings">How to choose.</param>
/// <param name="evaluate">Evaluates alphas.</param>
public sealed class AlphaChooser(ChoiceSettings settings, AlphaEvaluation evaluate)
{
    private readonly SortedDictionary<double, EvaluationScore[]> heldOutScores = [];

    /// <summary>Chooses among given alphas or by a search.</summary>
    /// <param name="heldOut">The held-out part of every task.</param>
    /// <param name="isPatched">Whether a task is one that is learnt.</param>
    /// <param name="alphas">The alphas to choose among; not used by a search.</param>
    /// <returns>The best alpha, the lowest of equals.</returns>
    public double Choose(IReadOnlyList<ImageDataset> heldOut, IReadOnlyList<bool> isPatched, IReadOnlyList<double> alphas)
    {
        if (settings.Search) return settings.AlphaAt(LatticeSearch.Run(settings.Steps, places => Values(heldOut, isPatched, [.. places.Select(settings.AlphaAt)])));
        // Drops are measured from alpha 0, which is always one of the choices.
        double[] all = [.. alphas.Append(0).Distinct().Order()];
        IReadOnlyList<double> values = Values(heldOut, isPatched, all);
        return all[LatticeSearch.Best(values.Select((value, i) => KeyValuePair.Create(i, value)))];
    }

    /// <summary>Tests what was chosen and puts everything together.</summary>
    /// <param name="alpha">What <see cref="Choose"/> returned.</param>
    /// <param name="heldOut">What it chose on.</param>
    /// <param name="test">The same tasks' test images.</param>
    /// <param name="isPatched">Whether a task is one that is learnt.</param>
    /// <param name="tested">Alphas to test; they include 0 and the chosen one.</param>
    /// <param name="budget">The most alphas that could have been evaluated.</param>
    public ChoiceOutcome Test(
        double alpha, IReadOnlyList<ImageDataset> heldOut, IReadOnlyList<ImageDataset> test, IReadOnlyList<bool> isPatched, IReadOnlyList<double> tested, int budget)
    {
        EvaluationScore[][] scores = evaluate(test, tested);
        int zero = IndexOf(tested, 0), chosen = IndexOf(tested, alpha);
        EvaluationScore[] before = [.. scores.Select(ofDataset => ofDataset[zero])], after = [.. scores.Select(ofDataset => ofDataset[chosen])];
        bool? holds = settings.Rule.MaxDrop is null ? null : settings.Rule.Holds(Accuracies(after), Accuracies(before), isPatched);
        return new ChoiceOutcome(
            settings.Rule.Description, alpha, heldOutScores.Count, budget, Tasks(heldOut, isPatched, heldOutScores[0], heldOutScores[alpha]),
            Tasks(test, isPatched, before, after), holds);
    }

    /// <summary>The most alphas that choosing evaluates.</summary>
    /// <param name="alphas">The alphas given; not used by a search.</param>
    public int Budget(IReadOnlyList<double> alphas) => settings.Search ? LatticeSearch.Budget(settings.Steps) : alphas.Append(0).Distinct().Count();

    private double[] Values(IReadOnlyList<ImageDataset> heldOut, IReadOnlyList<bool> isPatched, double[] alphas)
    {
        EvaluationScore[][] scores = evaluate(heldOut, alphas);
        for (int i = 0; i < alphas.Length; i++) heldOutScores[alphas[i]] = [.. scores.Select(ofDataset => ofDataset[i])];
        double[] before = Accuracies(heldOutScores[0]);
        return [.. alphas.Select(alpha => settings.Rule.Value(Accuracies(heldOutScores[alpha]), before, isPatched))];
    }

    private ChoiceTask[] Tasks(IReadOnlyList<ImageDataset> datasets, IReadOnlyList<bool> isPatched, EvaluationScore[] before, EvaluationScore[] after) =>
    [
        .. datasets.Select((dataset, i) => new ChoiceTask(
            dataset.Name, isPatched[i],
            PairedBootstrap.Compare([.. Enumerable.Range(0, dataset.Count).Select(dataset.Label)], before[i].Predictions, after[i].Predictions, isPatched[i] ? null : settings.Rule.MaxDrop))),
    ];

    private static double[] Accuracies(EvaluationScore[] scores) => [.. scores.Select(score => score.Top1)];

    private static int IndexOf(IReadOnlyList<double> alphas, double alpha) => alphas.ToList().IndexOf(alpha);
}
