using System.Collections.Immutable;
using Patching.Model.Clip;

namespace Patching.Model.Merging;

/// <summary>
/// TIES-merging (Yadav et al. 2023) of a base and n models fine-tuned from it. Trim: of each task vector <c>tau_i = theta_i - theta_0</c> only the largest share by magnitude,
/// counted over the whole model, stays; the rest is zero. Elect: an element's sign is that of the sum of what stayed. Disjoint merge: the mean of those that have this sign.
/// <c>theta = theta_0 + scale * mean</c>. Where the sum is exactly zero the base stays.
/// </summary>
public sealed class TiesMerge : MergeMethod
{
    private readonly double density;
    private readonly double scale;
    private float[] thresholds = [];

    /// <summary>Prepares the method.</summary>
    /// <param name="density">Share of every task vector that stays; 0.2 in the paper.</param>
    /// <param name="scale">Factor of the merged task vector.</param>
    /// <exception cref="InputException">A number is impossible.</exception>
    public TiesMerge(double density, double scale)
    {
        if (!(density is > 0 and <= 1)) throw new InputException(FormattableString.Invariant($"--density {density}: must be above 0 and at most 1"));
        if (!double.IsFinite(scale)) throw new InputException("--scale: must be a finite number");
        this.density = density;
        this.scale = scale;
    }

    /// <inheritdoc/>
    public override string Description => $"ties density={LinearCombination.List([density])} scale={LinearCombination.List([scale])}";

    /// <inheritdoc/>
    public override void Prepare(ImmutableArray<ParameterSpec> table, IReadOnlyList<MergeInput> inputs)
    {
        thresholds = new float[inputs.Count - 1];
        Parallel.For(0, thresholds.Length, i => thresholds[i] = MagnitudeThreshold.Find(table, inputs[0], inputs[i + 1], density));
    }

    /// <inheritdoc/>
    public override void Merge(ParameterSpec spec, float[][] inputs, float[] result) => ForPieces(spec.Length, (first, end) =>
    {
        for (int i = first; i < end; i++) result[i] = Element(inputs, i);
    });

    private float Element(float[][] inputs, int i)
    {
        float zero = inputs[0][i];
        double sum = 0, agreeing = 0;
        for (int t = 0; t < thresholds.Length; t++) sum += Trimmed(inputs[t + 1][i] - zero, thresholds[t]);
        if (sum == 0) return zero;
        int count = 0;
        for (int t = 0; t < thresholds.Length; t++)
        {
            float tau = Trimmed(inputs[t + 1][i] - zero, thresholds[t]);
            if (tau == 0 || tau > 0 != sum > 0) continue;
            agreeing += tau;
            count++;
        }
        return (float)(zero + scale * (agreeing / count));
    }

    private static float Trimmed(float tau, float threshold) => Math.Abs(tau) >= threshold ? tau : 0;
}
