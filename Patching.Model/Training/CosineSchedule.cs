namespace Patching.Model.Training;

/// <summary>
/// The original's learning rate: linear warm-up, then half a cosine down to zero at the end of the run, one value per step.
/// Warm-up: <c>base (step + 1) / warmup</c>; afterwards <c>base (1 + cos(pi e / n)) / 2</c> with e = step - warmup, n = total - warmup.
/// </summary>
/// <param name="BaseRate">Highest learning rate.</param>
/// <param name="WarmupSteps">Steps of the warm-up.</param>
/// <param name="TotalSteps">Steps of the whole run.</param>
public sealed record CosineSchedule(double BaseRate, long WarmupSteps, long TotalSteps)
{
    /// <summary>Learning rate of a step, counted from 0.</summary>
    public double At(long step)
    {
        if (step < WarmupSteps) return BaseRate * (step + 1) / WarmupSteps;
        // In the original's order of operations, so that every value agrees to the last bit.
        return 0.5 * (1 + Math.Cos(Math.PI * (step - WarmupSteps) / (TotalSteps - WarmupSteps))) * BaseRate;
    }
}
