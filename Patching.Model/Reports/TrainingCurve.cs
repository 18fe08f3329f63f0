using Patching.Model.Training;

namespace Patching.Model.Reports;

/// <summary>What a fine-tune logged, thinned out for drawing.</summary>
internal static class TrainingCurve
{
    /// <summary>Most points of a curve.</summary>
    public const int MostPoints = 240;

    /// <summary>Means of so many steps in a row that at most <see cref="MostPoints"/> remain; the step is the last of each.</summary>
    public static IReadOnlyList<StepReport> Thin(IReadOnlyList<StepReport> steps)
    {
        int group = (steps.Count + MostPoints - 1) / MostPoints;
        return group <= 1 ? steps : [.. steps.Chunk(group).Select(part => new StepReport(
            part[^1].Step, part.Average(step => step.Loss), part.Average(step => step.GradientNorm), part.Average(step => step.LearningRate)))];
    }
}
