using System.Numerics;
using System.Runtime.CompilerServices;

namespace Patching.Kernels;

/// <content>The host implementation: four streams in, three out, each element touched once.</content>
public static partial class AdamW
{
    private static unsafe void StepHost(
        HostThreads threads, Tensor parameter, Tensor m, Tensor v, Tensor gradient, Tensor clip, Coefficients coefficients)
    {
        float* pp = parameter.HostFloats, pm = m.HostFloats, pv = v.HostFloats, pg = gradient.HostFloats;
        float scale = clip.Exists ? clip.HostFloats[1] : 1;
        threads.For(parameter.Count,
            (first, end) => StepRange(pp + first, pm + first, pv + first, pg + first, end - first, scale, coefficients), 64);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void StepRange(
        float* parameter, float* m, float* v, float* gradient, long count, float scale, in Coefficients coefficients)
    {
        VectorStep step = new(coefficients, scale);
        long i = 0;
        for (; i + Vector<float>.Count <= count; i += Vector<float>.Count)
        {
            Vector<float> p = Vector.Load(parameter + i), m1 = Vector.Load(m + i), v1 = Vector.Load(v + i);
            step.Apply(ref p, ref m1, ref v1, Vector.Load(gradient + i));
            m1.Store(m + i);
            v1.Store(v + i);
            p.Store(parameter + i);
        }
        if (i < count)
        {
            long rest = count - i;
            Vector<float> p = HostTail.Load(parameter + i, rest), m1 = HostTail.Load(m + i, rest), v1 = HostTail.Load(v + i, rest);
            step.Apply(ref p, ref m1, ref v1, HostTail.Load(gradient + i, rest));
            HostTail.Store(m1, m + i, rest);
            HostTail.Store(v1, v + i, rest);
            HostTail.Store(p, parameter + i, rest);
        }
    }

    /// <summary>The update of one vector of elements, with the coefficients spread over vectors once.</summary>
    private readonly struct VectorStep(in Coefficients c, float scale)
    {
        private readonly Vector<float> scale = Vector.Create(scale);
        private readonly Vector<float> decay = Vector.Create(c.Decay);
        private readonly Vector<float> beta1 = Vector.Create(c.Beta1);
        private readonly Vector<float> oneMinusBeta1 = Vector.Create(c.OneMinusBeta1);
        private readonly Vector<float> beta2 = Vector.Create(c.Beta2);
        private readonly Vector<float> oneMinusBeta2 = Vector.Create(c.OneMinusBeta2);
        private readonly Vector<float> stepSize = Vector.Create(-c.StepSize);
        private readonly Vector<float> inverseRootCorrection2 = Vector.Create(c.InverseRootCorrection2);
        private readonly Vector<float> epsilon = Vector.Create(c.Epsilon);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public void Apply(ref Vector<float> p, ref Vector<float> m, ref Vector<float> v, Vector<float> gradient)
        {
            Vector<float> g = gradient * scale;
            m = Vector.FusedMultiplyAdd(beta1, m, oneMinusBeta1 * g);
            v = Vector.FusedMultiplyAdd(beta2, v, oneMinusBeta2 * g * g);
            Vector<float> denominator = Vector.FusedMultiplyAdd(Vector.SquareRoot(v), inverseRootCorrection2, epsilon);
            p = Vector.FusedMultiplyAdd(stepSize, m / denominator, p * decay);
        }
    }
}
