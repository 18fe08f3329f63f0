using Patching.Kernels;
using static Patching.Kernels.Precision;

namespace Patching.Tests.Kernels;

/// <summary>Random features, head and labels, and what <see cref="HeadLoss"/> must make of them.</summary>
/// <param name="Features">[B, E].</param>
/// <param name="Head">[K, E].</param>
/// <param name="Labels">[B].</param>
/// <param name="Smoothing">Label smoothing.</param>
internal sealed record HeadLossCase(float[] Features, float[] Head, int[] Labels, float Smoothing)
{
    private int Batch => Labels.Length;

    private int Width => Features.Length / Batch;

    private int Classes => Head.Length / Width;

    /// <summary>From the definitions, in double precision or in plain single precision: losses, gradient.</summary>
    public (double[] Losses, double[] Gradient) Reference<T>()
        where T : System.Numerics.IFloatingPointIeee754<T>
    {
        (double[] unit, double[] inverse) = L2NormalizeReference.Forward<T>(Wide(Features), Width);
        T[] units = As<T>(unit), head = As<T>(Wide(Head)), logits = new T[Batch * Classes], dunit = new T[Features.Length];
        for (int i = 0; i < logits.Length; i++)
        {
            for (int e = 0; e < Width; e++) logits[i] += units[i / Classes * Width + e] * head[i % Classes * Width + e];
        }
        (double[] losses, double[] dlogits) = CrossEntropyReference.Forward<T>(Wide(logits), Labels, Smoothing, 1f / Batch);
        T[] dz = As<T>(dlogits);
        for (int i = 0; i < dunit.Length; i++)
        {
            for (int k = 0; k < Classes; k++) dunit[i] += dz[i / Width * Classes + k] * head[k * Width + i % Width];
        }
        return (losses, L2NormalizeReference.Backward<T>(Wide(dunit), unit, inverse));
    }
}
