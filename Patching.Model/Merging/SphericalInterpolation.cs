using System.Globalization;
using Patching.Model.Clip;

namespace Patching.Model.Merging;

/// <summary>
/// Spherical linear interpolation (Shoemake 1985) of two models, tensor by tensor: <c>theta = (sin((1-t) W) a + sin(t W) b) / sin W</c> with W the angle between the tensors a and b
/// taken as vectors. It goes along an arc instead of the chord, so that norms do not shrink on the way. Where there is no arc (a zero tensor, or the same or opposite directions)
/// it goes straight.
/// </summary>
public sealed class SphericalInterpolation : MergeMethod
{
    // Beyond this cosine, directions are the same (or opposite) up to rounding, and sin W is noise.
    private const double Parallel = 1 - 1e-12;

    private readonly double t;

    /// <summary>Prepares the interpolation.</summary>
    /// <param name="t">0 gives the first model, 1 the second, each with its bits.</param>
    /// <exception cref="InputException">It is outside [0, 1].</exception>
    public SphericalInterpolation(double t)
    {
        if (!(t is >= 0 and <= 1)) throw new InputException(FormattableString.Invariant($"--alpha {t}: must be between 0 and 1"));
        this.t = t;
    }

    /// <inheritdoc/>
    public override string Description => string.Create(CultureInfo.InvariantCulture, $"slerp alpha={t:R}");

    /// <inheritdoc/>
    public override void Merge(ParameterSpec spec, float[][] inputs, float[] result)
    {
        (double wa, double wb) = Weights(inputs[0].AsSpan(0, spec.Length), inputs[1].AsSpan(0, spec.Length), t);
        new LinearCombination("", _ => [wa, wb]).Merge(spec, inputs, result);
    }

    /// <summary>The factors of two vectors.</summary>
    internal static (double A, double B) Weights(ReadOnlySpan<float> a, ReadOnlySpan<float> b, double t)
    {
        if (t is 0 or 1) return (1 - t, t);
        double aa = 0, bb = 0, ab = 0;
        for (int i = 0; i < a.Length; i++)
        {
            aa += (double)a[i] * a[i];
            bb += (double)b[i] * b[i];
            ab += (double)a[i] * b[i];
        }
        double cosine = ab / Math.Sqrt(aa * bb);
        if (!(Math.Abs(cosine) < Parallel)) return (1 - t, t);
        double angle = Math.Acos(cosine), sine = Math.Sin(angle);
        return (Math.Sin((1 - t) * angle) / sine, Math.Sin(t * angle) / sine);
    }
}
