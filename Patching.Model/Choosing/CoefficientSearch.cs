namespace Patching.Model.Choosing;

/// <summary>What a search found.</summary>
/// <param name="Coefficients">The best coefficients.</param>
/// <param name="Value">Their value.</param>
/// <param name="Evaluations">Vectors that were evaluated.</param>
public sealed record FoundCoefficients(IReadOnlyList<double> Coefficients, double Value, int Evaluations);

/// <summary>
/// Searches several coefficients, of tasks or of layers, on multiples of 1/n: first the best one for all together (<see cref="LatticeSearch"/>), then compass search (Hooke and Jeeves 1961):
/// each coefficient a step up and down, kept where better, until none is; then half the step, down to 1/n. Never more evaluations than the budget.
/// </summary>
public static class CoefficientSearch
{
    private const int FirstSteps = 8;

    /// <summary>Searches.</summary>
    /// <param name="count">How many coefficients.</param>
    /// <param name="steps">n.</param>
    /// <param name="limit">The largest sum of all; infinity where there is none.</param>
    /// <param name="budget">The most vectors that may be evaluated.</param>
    /// <param name="value">How good a vector is.</param>
    public static FoundCoefficients Run(int count, int steps, double limit, int budget, Func<IReadOnlyList<double>, double> value)
    {
        Dictionary<string, double> known = [];
        int mostShared = (int)Math.Min(steps, Math.Floor(limit * steps / count + 1e-9));
        int[] best = new int[count];
        double bestValue = double.NegativeInfinity;
        LatticeSearch.Run(mostShared, places =>
        {
            double[] values = [.. places.Select(place => Try([.. Enumerable.Repeat(place, count)]))];
            return values;
        });
        for (int step = Math.Max(1, steps / FirstSteps); count > 1 && known.Count < budget; step /= 2)
        {
            while (Improve(step) && known.Count < budget)
            {
            }
            if (step == 1) break;
        }
        return new FoundCoefficients(Real(best), bestValue, known.Count);

        bool Improve(int step)
        {
            double before = bestValue;
            for (int i = 0; i < count; i++)
            {
                int[] origin = [.. best];
                foreach (int move in (int[])[step, -step])
                {
                    int[] moved = [.. origin];
                    moved[i] = Math.Clamp(moved[i] + move, 0, steps);
                    if (moved.Sum() <= limit * steps + 1e-9) Try(moved);
                }
            }
            return bestValue > before;
        }

        double Try(int[] places)
        {
            string key = string.Join(' ', places);
            if (known.TryGetValue(key, out double seen)) return seen;
            if (known.Count >= budget) return double.NegativeInfinity;
            double found = known[key] = value(Real(places));
            if (found > bestValue) (best, bestValue) = (places, found);
            return found;
        }

        double[] Real(int[] places) => [.. places.Select(place => (double)((decimal)place / steps))];
    }
}
