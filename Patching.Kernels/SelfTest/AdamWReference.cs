using System.Numerics;
using static Patching.Kernels.Precision;

namespace Patching.Kernels;

/// <summary><see cref="AdamW"/> from its definition, in the precision of its type argument.</summary>
internal static class AdamWReference
{
    public static void Step<T>(double[][] state, double[] gradient, float clip, AdamWSettings settings, int step)
        where T : IFloatingPointIeee754<T>
    {
        T[] p = As<T>(state[0]), m = As<T>(state[1]), v = As<T>(state[2]), g = As<T>(gradient);
        T Of(double value) => T.CreateTruncating(value);
        for (int i = 0; i < p.Length; i++)
        {
            g[i] *= Of(clip);
            p[i] *= Of(1 - settings.LearningRate * settings.WeightDecay);
            m[i] = Of(settings.Beta1) * m[i] + Of(1 - settings.Beta1) * g[i];
            v[i] = Of(settings.Beta2) * v[i] + Of(1 - settings.Beta2) * g[i] * g[i];
            T denominator = T.Sqrt(v[i]) / Of(Math.Sqrt(1 - Math.Pow(settings.Beta2, step))) + Of(settings.Epsilon);
            p[i] -= Of(settings.LearningRate / (1 - Math.Pow(settings.Beta1, step))) * (m[i] / denominator);
        }
        (state[0], state[1], state[2]) = (Wide(p), Wide(m), Wide(v));
    }
}
