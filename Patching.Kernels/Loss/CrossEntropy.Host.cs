using System.Numerics;
using System.Runtime.CompilerServices;

namespace Patching.Kernels;

/// <content>
/// The host implementation: three passes over a row in cache. The exponentials of the second pass are kept in the gradient's row, where the
/// third scales them.
/// </content>
public static partial class CrossEntropy
{
    private static unsafe void ForwardHost(
        HostThreads threads, Tensor loss, Tensor dlogits, Tensor logits, Tensor labels, float smoothing, float gradientScale)
    {
        int classes = logits.Columns;
        float* pLoss = loss.HostFloats, pLogits = logits.HostFloats, pGradient = dlogits.Exists ? dlogits.HostFloats : null;
        int* pLabels = labels.HostInts;
        threads.For(logits.Rows, (first, end) =>
        {
            for (long row = first; row < end; row++)
            {
                float* gradient = pGradient == null ? null : pGradient + row * classes;
                pLoss[row] = Row(gradient, pLogits + row * classes, pLabels[row], classes, smoothing, gradientScale);
            }
        });
    }

    private static unsafe float Row(float* gradient, float* logits, int label, int classes, float smoothing, float gradientScale)
    {
        if (label < 0 || label >= classes)
        {
            if (gradient != null) new Span<float>(gradient, classes).Fill(float.NaN);
            return float.NaN;
        }
        float largest = Largest(logits, classes);
        float labelBelow = largest - logits[label];
        (float sum, float below) = Exponentials(gradient, logits, classes, largest);
        if (gradient != null)
        {
            Shift(gradient, classes, gradientScale / sum, -gradientScale * smoothing / classes);
            gradient[label] -= gradientScale * (1 - smoothing);
        }
        float logSum = MathF.Log(sum);
        float loss = (1 - smoothing) * (logSum + labelBelow);
        // Without smoothing a logit of minus infinity elsewhere must not matter.
        return smoothing > 0 ? loss + smoothing * (logSum + below / classes) : loss;
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe float Largest(float* logits, int classes)
    {
        Vector<float> largest = Vector.Create(logits[0]);
        int k = 0;
        for (; k + Vector<float>.Count <= classes; k += Vector<float>.Count) largest = Vector.Max(largest, Vector.Load(logits + k));
        float value = logits[0];
        for (int lane = 0; lane < Vector<float>.Count; lane++) value = MathF.Max(value, largest[lane]);
        for (; k < classes; k++) value = MathF.Max(value, logits[k]);
        return value;
    }

    /// <summary>Sum of exp(z - largest), whose terms go to <paramref name="terms"/> where that exists, and sum of largest - z.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    internal static unsafe (float Sum, float Below) Exponentials(float* terms, float* logits, int classes, float largest)
    {
        Vector<float> top = Vector.Create(largest), sums = default, belows = default;
        int k = 0;
        for (; k + Vector<float>.Count <= classes; k += Vector<float>.Count)
        {
            Vector<float> below = top - Vector.Load(logits + k), term = VectorMath.Exp(-below);
            sums += term;
            belows += below;
            if (terms != null) term.Store(terms + k);
        }
        if (k < classes)
        {
            Vector<int> isClass = Vector.LessThan(Vector<int>.Indices, Vector.Create(classes - k));
            Vector<float> below = Vector.ConditionalSelect(isClass, top - HostTail.Load(logits + k, classes - k), Vector<float>.Zero);
            Vector<float> term = Vector.ConditionalSelect(isClass, VectorMath.Exp(-below), Vector<float>.Zero);
            sums += term;
            belows += below;
            if (terms != null) HostTail.Store(term, terms + k, classes - k);
        }
        return (Vector.Sum(sums), Vector.Sum(belows));
    }

    /// <summary>Writes <c>g = g scale + offset</c>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void Shift(float* gradient, int classes, float scale, float offset)
    {
        Vector<float> s = Vector.Create(scale), o = Vector.Create(offset);
        int k = 0;
        for (; k + Vector<float>.Count <= classes; k += Vector<float>.Count)
            Vector.FusedMultiplyAdd(Vector.Load(gradient + k), s, o).Store(gradient + k);
        for (; k < classes; k++) gradient[k] = MathF.FusedMultiplyAdd(gradient[k], scale, offset);
    }
}
