using System.Numerics;
using static Patching.Kernels.Precision;

namespace Patching.Kernels;

/// <summary><see cref="Prediction"/> from its definition: the classes put in order, confidence in the precision of the type argument.</summary>
internal static class PredictionReference
{
    public static (int[] Classes, int[] Ranks, double[] Confidences) Forward<T>(double[] logits, int[] labels)
        where T : IFloatingPointIeee754<T>
    {
        int count = logits.Length / labels.Length;
        int[] classes = new int[labels.Length], ranks = new int[labels.Length];
        T[] confidences = new T[labels.Length];
        for (int n = 0; n < labels.Length; n++)
        {
            double[] row = logits[(n * count)..((n + 1) * count)];
            // A stable sort: among equals, and among NaN, the first stays first.
            int[] order = [.. Enumerable.Range(0, count).OrderBy(k => double.IsNaN(row[k])).ThenByDescending(k => row[k])];
            classes[n] = order[0];
            int rank = Array.IndexOf(order, labels[n]);
            ranks[n] = rank < 0 ? count : rank;
            T[] z = As<T>(row);
            T sum = T.Zero;
            foreach (T v in z) sum += T.Exp(v - z[order[0]]);
            confidences[n] = T.One / sum;
        }
        return (classes, ranks, Wide(confidences));
    }
}
