using System.Globalization;
using System.Numerics;
using System.Runtime.CompilerServices;
using Patching.Model.Clip;

namespace Patching.Model.Merging;

/// <summary>
/// <c>theta = sum_i w_i theta_i</c> with weights that add up to one: the weighted mean of models, uniform soups (Wortsman et al. 2022), parallel patching
/// <c>(1 - sum a_i) theta_0 + sum a_i theta_i</c> (Ilharco et al. 2022), task arithmetic (Ilharco et al. 2023), and all of them with coefficients of their own for every layer.
/// A model with weight 1 among zeros comes out with its bits.
/// </summary>
public sealed class LinearCombination : MergeMethod
{
    private readonly Func<ParameterSpec, double[]> weightsOf;

    /// <summary>Weights that differ between parameters.</summary>
    /// <param name="description">Name and numbers, for the record.</param>
    /// <param name="weightsOf">A weight per model; they add up to one, up to rounding.</param>
    public LinearCombination(string description, Func<ParameterSpec, double[]> weightsOf)
    {
        Description = description;
        this.weightsOf = weightsOf;
    }

    /// <inheritdoc/>
    public override string Description { get; }

    /// <summary>The weighted mean: weights are divided by their sum.</summary>
    /// <exception cref="InputException">They add up to zero, or one is no number.</exception>
    public static LinearCombination Mean(IReadOnlyList<double> weights)
    {
        Require(weights, "--weights");
        double sum = weights.Sum();
        if (Math.Abs(sum) < 1e-9) throw new InputException("--weights: add up to zero, so they have no mean; give weights with another sum");
        double[] shares = [.. weights.Select(weight => weight / sum)];
        return new LinearCombination($"linear weights={List(shares)}", _ => shares);
    }

    /// <summary>
    /// Task arithmetic: <c>theta_0 + sum_i s_i (theta_i - theta_0)</c>, the base first among the models. A positive s_i adds a task, a negative one makes the model forget it.
    /// </summary>
    /// <exception cref="InputException">A number is not finite.</exception>
    public static LinearCombination Tasks(IReadOnlyList<double> scales)
    {
        Require(scales, "--scale");
        double[] weights = [1 - scales.Sum(), .. scales];
        return new LinearCombination($"task scales={List(scales)}", _ => weights);
    }

    /// <summary>
    /// Task analogy, "A is to B as C is to the result": <c>theta_0 + s ((theta_C - theta_0) + (theta_B - theta_A))</c>, for the models base, A, B, C.
    /// </summary>
    /// <exception cref="InputException">The scale is no number.</exception>
    public static LinearCombination Analogy(double scale)
    {
        Require([scale], "--scale");
        double[] weights = [1 - scale, -scale, scale, scale];
        return new LinearCombination($"analogy scale={List([scale])}", _ => weights);
    }

    /// <inheritdoc/>
    public override void Merge(ParameterSpec spec, float[][] inputs, float[] result)
    {
        double[] all = weightsOf(spec);
        int[] used = [.. Enumerable.Range(0, all.Length).Where(i => all[i] != 0)];
        if (used.Length == 1 && all[used[0]] == 1)
        {
            inputs[used[0]].AsSpan(0, spec.Length).CopyTo(result);
            return;
        }
        double[] weights = [.. used.Select(i => all[i])];
        float[][] terms = [.. used.Select(i => inputs[i])];
        ForPieces(spec.Length, (first, end) => Sum(terms, weights, result, first, end));
    }

    /// <summary>Numbers as they read back, separated by commas.</summary>
    internal static string List(IEnumerable<double> numbers) => string.Join(',', numbers.Select(number => number.ToString("R", CultureInfo.InvariantCulture)));

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static void Sum(float[][] terms, double[] weights, float[] result, int first, int end)
    {
        int i = first;
        for (; i + Vector<float>.Count <= end; i += Vector<float>.Count)
        {
            Vector<double> low = default, high = default;
            for (int t = 0; t < terms.Length; t++)
            {
                Vector.Widen(new Vector<float>(terms[t], i), out Vector<double> l, out Vector<double> h);
                low += l * weights[t];
                high += h * weights[t];
            }
            Vector.Narrow(low, high).CopyTo(result, i);
        }
        for (; i < end; i++)
        {
            double sum = 0;
            for (int t = 0; t < terms.Length; t++) sum += terms[t][i] * weights[t];
            result[i] = (float)sum;
        }
    }

    private static void Require(IReadOnlyList<double> numbers, string flag)
    {
        if (numbers.Any(number => !double.IsFinite(number))) throw new InputException($"{flag}: every one must be a finite number");
    }
}
