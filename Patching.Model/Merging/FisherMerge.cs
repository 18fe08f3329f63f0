using Patching.Model.Clip;

namespace Patching.Model.Merging;

/// <summary>
/// Fisher-weighted averaging (Matena and Raffel 2022): <c>theta = sum_i w_i F_i theta_i / sum_i w_i F_i</c> element by element, with F_i the diagonal of model i's Fisher information
/// (<see cref="FisherInformation"/>): what a model's predictions depend on counts for more. Where no model has any information about an element, and for parameters without Fisher
/// information (the text tower), it is the plain weighted mean.
/// </summary>
public sealed class FisherMerge : MergeMethod
{
    private readonly IReadOnlyList<FisherFile> information;
    private readonly double[] weights;
    private readonly LinearCombination mean;
    private float[][] buffers = [];

    /// <summary>Prepares the method.</summary>
    /// <param name="information">A Fisher file per model.</param>
    /// <param name="weights">A weight of 0 or more per model.</param>
    /// <exception cref="InputException">A weight is negative, or all are zero.</exception>
    public FisherMerge(IReadOnlyList<FisherFile> information, IReadOnlyList<double> weights)
    {
        if (weights.Any(weight => weight < 0)) throw new InputException("--weights: Fisher-weighted averaging takes none below zero");
        this.information = information;
        mean = LinearCombination.Mean(weights);
        this.weights = [.. weights];
    }

    /// <inheritdoc/>
    public override string Description => $"fisher weights={LinearCombination.List(weights)} samples={string.Join(',', information.Select(file => file.Samples))}";

    /// <inheritdoc/>
    public override void Merge(ParameterSpec spec, float[][] inputs, float[] result)
    {
        mean.Merge(spec, inputs, result);
        if (information.Any(file => !file.Has(spec)) || weights.Count(weight => weight != 0) == 1) return;
        if (buffers.Length == 0 || buffers[0].Length < spec.Length) buffers = [.. information.Select(_ => new float[inputs[0].Length])];
        for (int t = 0; t < weights.Length; t++) information[t].Read(spec, buffers[t].AsSpan(0, spec.Length));
        ForPieces(spec.Length, (first, end) =>
        {
            for (int i = first; i < end; i++)
            {
                double sum = 0, total = 0;
                for (int t = 0; t < weights.Length; t++)
                {
                    double weight = weights[t] * buffers[t][i];
                    sum += weight * inputs[t][i];
                    total += weight;
                }
                if (total > 0) result[i] = (float)(sum / total);
            }
        });
    }
}
