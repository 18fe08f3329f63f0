namespace Patching.Model.Reports;

/// <summary>An accuracy, a mean or a difference of accuracies, and how sure it is, as shares of 1.</summary>
/// <param name="Value">The accuracy.</param>
/// <param name="Low">Lower end of the 95 % interval.</param>
/// <param name="High">Upper end of the 95 % interval.</param>
public readonly record struct AccuracyInterval(double Value, double Low, double High)
{
    /// <summary>The standard normal distribution has 95 % of its mass within plus and minus this.</summary>
    private const double Z = 1.959963984540054;

    /// <summary>
    /// Wilson's score interval of p = correct / n: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)
    /// (Wilson 1927, "Probable inference, the law of succession, and statistical inference").
    /// </summary>
    public static AccuracyInterval Wilson(int correct, int count)
    {
        double p = (double)correct / count, z2 = Z * Z / count;
        double centre = (p + z2 / 2) / (1 + z2);
        double half = Z * Math.Sqrt(p * (1 - p) / count + z2 / (4 * count)) / (1 + z2);
        return new(p, Math.Min(p, Math.Max(0, centre - half)), Math.Max(p, Math.Min(1, centre + half)));
    }

    /// <summary>
    /// The mean over independent tasks. Distances of the ends from the accuracies add in squares
    /// (Zou and Donner 2008, "Construction of confidence limits about effect measures", MOVER); of one task it is that task's own interval.
    /// </summary>
    public static AccuracyInterval Mean(IReadOnlyList<AccuracyInterval> tasks)
    {
        double mean = tasks.Average(task => task.Value);
        double down = Math.Sqrt(tasks.Sum(task => Square(task.Value - task.Low))) / tasks.Count;
        double up = Math.Sqrt(tasks.Sum(task => Square(task.High - task.Value))) / tasks.Count;
        return new(mean, mean - down, mean + up);
    }

    /// <summary>
    /// <paramref name="after"/> - <paramref name="before"/> by MOVER, as if they had been measured on different images (Newcombe 1998,
    /// "Interval estimation for the difference between independent proportions", method 10). On the same images mistakes go together, so this is
    /// wider than a paired interval.
    /// </summary>
    public static AccuracyInterval Difference(AccuracyInterval after, AccuracyInterval before)
    {
        double difference = after.Value - before.Value;
        double down = Math.Sqrt(Square(after.Value - after.Low) + Square(before.High - before.Value));
        double up = Math.Sqrt(Square(after.High - after.Value) + Square(before.Value - before.Low));
        return new(difference, difference - down, difference + up);
    }

    private static double Square(double value) => value * value;
}
