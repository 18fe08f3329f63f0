using System.Numerics;
using static Patching.Kernels.Precision;

namespace Patching.Kernels;

/// <summary><see cref="CrossEntropy"/> from its definition, in the precision of its type argument.</summary>
internal static class CrossEntropyReference
{
    public static (double[] Loss, double[] Gradient) Forward<T>(double[] logits, int[] labels, float smoothingFloat, float scaleFloat)
        where T : IFloatingPointIeee754<T>
    {
        T[] z = As<T>(logits), loss = new T[labels.Length], gradient = new T[logits.Length];
        int classes = z.Length / labels.Length;
        T count = T.CreateTruncating(classes), smoothing = T.CreateTruncating(smoothingFloat), scale = T.CreateTruncating(scaleFloat);
        for (int n = 0; n < labels.Length; n++)
        {
            T[] row = z[(n * classes)..((n + 1) * classes)];
            T largest = row.Max()!, sum = T.Zero, all = T.Zero;
            foreach (T v in row) sum += T.Exp(v - largest);
            foreach (T v in row) all -= v - largest - T.Log(sum);
            loss[n] = (T.One - smoothing) * (largest - row[labels[n]] + T.Log(sum)) + smoothing * (all / count);
            for (int k = 0; k < classes; k++)
            {
                T target = smoothing / count + (k == labels[n] ? T.One - smoothing : T.Zero);
                gradient[n * classes + k] = scale * (T.Exp(row[k] - largest) / sum - target);
            }
        }
        return (Wide(loss), Wide(gradient));
    }
}
