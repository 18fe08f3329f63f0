namespace Patching.Model.Choosing;

/// <summary>
/// Finds where a function on 0, 1 ... n is largest without trying every place: five places evenly spread, then the middles between the best place and its evaluated neighbours, again and
/// again until these are next to it. For a function that rises to its largest value and falls behind it, that is the place a search of the whole lattice finds; for any other, it is a
/// place that is at least as good as its neighbours. Of equal values the lowest place wins.
/// </summary>
public static class LatticeSearch
{
    private const int Starts = 4;

    /// <summary>The most places that <see cref="Run"/> looks at.</summary>
    public static int Budget(int steps)
    {
        int budget = FirstPlaces(steps).Length;
        for (int gap = (steps + Starts - 1) / Starts; gap > 1; gap = (gap + 1) / 2) budget += 2;
        return Math.Min(budget, steps + 1);
    }

    /// <summary>Searches.</summary>
    /// <param name="steps">n, the last place.</param>
    /// <param name="evaluate">Gives the values of several places at once; never asked for a place twice.</param>
    /// <returns>The best place.</returns>
    public static int Run(int steps, Func<IReadOnlyList<int>, IReadOnlyList<double>> evaluate)
    {
        SortedDictionary<int, double> known = [];
        for (int[] wanted = FirstPlaces(steps); wanted.Length > 0; wanted = Between(known))
        {
            IReadOnlyList<double> values = evaluate(wanted);
            for (int i = 0; i < wanted.Length; i++) known.Add(wanted[i], values[i]);
        }
        return Best(known);
    }

    /// <summary>The key with the largest value, the lowest of several.</summary>
    public static int Best(IEnumerable<KeyValuePair<int, double>> known) => known.OrderByDescending(pair => pair.Value).ThenBy(pair => pair.Key).First().Key;

    private static int[] FirstPlaces(int steps) => [.. Enumerable.Range(0, Starts + 1).Select(i => (int)((long)steps * i / Starts)).Distinct()];

    private static int[] Between(SortedDictionary<int, double> known)
    {
        int best = Best(known);
        int[] places = [.. known.Keys];
        int at = Array.IndexOf(places, best);
        List<int> middles = [];
        if (at > 0 && best - places[at - 1] > 1) middles.Add((best + places[at - 1]) / 2);
        if (at + 1 < places.Length && places[at + 1] - best > 1) middles.Add((best + places[at + 1]) / 2);
        return [.. middles];
    }
}
