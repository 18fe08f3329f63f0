namespace Patching.Model.Reports;

/// <summary>An accuracy and how sure it is, as shares of 1.</summary>
/// <param name="Value">The accuracy.</param>
/// <param name="Low">Lower end of the 95 % interval.</param>
/// <param name="High">Upper end of the 95 % interval.</param>
public readonly record struct WilsonInterval(double Value, double Low, double High)
{
    /// <summary>The standard normal distribution has 95 % of its mass within plus and minus this.</summary>
    private const double Z = 1.959963984540054;

    /// <summary>
    /// Wilson's score interval of p = correct / n: (p + z^2/2n -+ z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n)
    /// (Wilson 1927, "Probable inference, the law of succession, and statistical inference").
    /// </summary>
    public static WilsonInterval Of(int correct, int count)
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
    public static WilsonInterval Mean(IReadOnlyList<WilsonInterval> tasks)
    {
        double mean = tasks.Average(task => task.Value);
        double down = Math.Sqrt(tasks.Sum(task => Square(task.Value - task.Low))) / tasks.Count;
        double up = Math.Sqrt(tasks.Sum(task => Square(task.High - task.Value))) / tasks.Count;
        return new(mean, mean - down, mean + up);
    }

    private static double Square(double value) => value * value;
}
