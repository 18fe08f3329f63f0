using System.Globalization;
using Patching.Model.Evaluation;

namespace Patching.Model.Demo;

/// <summary>What the table of a demo says: how much of the patching task can be had for how little of the supported one.</summary>
/// <param name="Alpha">The alpha with the best score on the patching task among those that lose at most <see cref="Tolerance"/> of the supported task.</param>
/// <param name="Patched">Score on the patching task there, 0 to 1.</param>
/// <param name="Before">Score on the patching task at alpha 0.</param>
/// <param name="Lost">What the supported task lost there.</param>
/// <param name="LostByFinetuning">What it lost at alpha 1.</param>
public sealed record DemoFinding(double Alpha, double Patched, double Before, double Lost, double LostByFinetuning)
{
    /// <summary>The most that the supported task may lose: two points.</summary>
    public const double Tolerance = 0.02;

    /// <summary>Reads the finding off the scores of both tasks, which include alpha 0 and 1.</summary>
    public static DemoFinding Of(IReadOnlyList<ResultRecord> results, string supportedTask, string patchingTask)
    {
        Dictionary<double, double> supported = Scores(results, supportedTask), patched = Scores(results, patchingTask);
        // The slack is for the rounding of a loss of exactly two points.
        double alpha = patched.Keys.Where(a => supported[0] - supported[a] <= Tolerance + 1e-9).MaxBy(a => patched[a]);
        return new DemoFinding(alpha, patched[alpha], patched[0], supported[0] - supported[alpha], supported[0] - supported[1]);
    }

    /// <summary>The finding in a sentence.</summary>
    public override string ToString() => string.Create(
        CultureInfo.InvariantCulture,
        $"alpha {Alpha:R}: {Before * 100:0.0} % -> {Patched * 100:0.0} % of the patching task for {Lost * 100:0.0} points of the supported one; fine-tuning alone costs {LostByFinetuning * 100:0.0} points");

    private static Dictionary<double, double> Scores(IReadOnlyList<ResultRecord> results, string task) =>
        results.Where(record => record.EvalDataset == task).ToDictionary(record => record.Alpha!.Value, record => record.Top1);
}
