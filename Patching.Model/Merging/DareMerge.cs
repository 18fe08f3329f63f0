using System.Collections.Immutable;
using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Patching.Model.Clip;
using Patching.Model.Images;

namespace Patching.Model.Merging;

/// <summary>
/// DARE (Yu et al. 2024): every element of a task vector <c>theta_i - theta_0</c> is dropped with probability p and multiplied by 1/(1-p) otherwise, which keeps its expectation;
/// <c>theta = theta_0 + sum_i s_i kept_i / (1 - p)</c>. What is dropped depends on the seed, the model's hash, the parameter's name and the element: not on the order of the models,
/// the device or the threads.
/// </summary>
public sealed class DareMerge : MergeMethod
{
    private readonly double drop;
    private readonly double[] scales;
    private readonly int seed;
    private string[] models = [];

    /// <summary>Prepares the method.</summary>
    /// <param name="drop">p, at least 0 and below 1.</param>
    /// <param name="scales">s_i, one per fine-tuned model.</param>
    /// <param name="seed">Decides what is dropped.</param>
    /// <exception cref="InputException">A number is impossible.</exception>
    public DareMerge(double drop, IReadOnlyList<double> scales, int seed)
    {
        if (!(drop is >= 0 and < 1)) throw new InputException(FormattableString.Invariant($"--drop {drop}: must be at least 0 and below 1"));
        if (scales.Any(scale => !double.IsFinite(scale))) throw new InputException("--scale: every one must be a finite number");
        this.drop = drop;
        this.scales = [.. scales];
        this.seed = seed;
    }

    /// <inheritdoc/>
    public override string Description => string.Create(CultureInfo.InvariantCulture, $"dare drop={drop:R} scales={LinearCombination.List(scales)} seed={seed}");

    /// <inheritdoc/>
    public override void Prepare(ImmutableArray<ParameterSpec> table, IReadOnlyList<MergeInput> inputs) =>
        models = [.. inputs.Skip(1).Select(input => input.Sha256)];

    /// <inheritdoc/>
    public override void Merge(ParameterSpec spec, float[][] inputs, float[] result)
    {
        long[] streams = [.. models.Select(model => Stream(model, spec.Name))];
        ForPieces(spec.Length, (first, end) =>
        {
            Span<double> sums = stackalloc double[PieceLength];
            sums = sums[..(end - first)];
            sums.Clear();
            for (int t = 0; t < scales.Length; t++) AddKept(sums, inputs[0], inputs[t + 1], first, streams[t], scales[t] / (1 - drop));
            for (int i = first; i < end; i++) result[i] = sums[i - first] == 0 ? inputs[0][i] : (float)(inputs[0][i] + sums[i - first]);
        });
    }

    private void AddKept(Span<double> sums, float[] zero, float[] one, int first, long stream, double factor)
    {
        SampleRandom random = SampleRandom.ForSample(stream, seed, first / PieceLength);
        for (int i = 0; i < sums.Length; i++)
        {
            if (random.NextDouble() >= drop) sums[i] += factor * ((double)one[first + i] - zero[first + i]);
        }
    }

    private static long Stream(string model, string parameter) => BitConverter.ToInt64(SHA256.HashData(Encoding.UTF8.GetBytes($"{model}/{parameter}")));
}
