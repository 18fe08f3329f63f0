using System.Runtime.CompilerServices;
using ILGPU;

// ILGPU generates its launchers in an assembly of this name, and they take the coefficients of a step as an argument.
[assembly: InternalsVisibleTo("ILGPURuntime")]

namespace Patching.Kernels;

/// <summary>
/// Hyper-parameters of <see cref="AdamW"/>. They are doubles because coefficients such as 1 - beta2 are derived from them in double
/// precision.
/// </summary>
/// <param name="LearningRate">Step size at this step.</param>
/// <param name="Beta1">Decay of the first moment.</param>
/// <param name="Beta2">Decay of the second moment.</param>
/// <param name="Epsilon">Added to the root of the second moment.</param>
/// <param name="WeightDecay">Decoupled weight decay, multiplied by the learning rate.</param>
public readonly record struct AdamWSettings(
    double LearningRate, double Beta1 = 0.9, double Beta2 = 0.999, double Epsilon = 1e-8, double WeightDecay = 0.1);

/// <summary>
/// Adam with decoupled weight decay (Loshchilov and Hutter 2019) as PyTorch computes it. With gradient <c>g</c> times the clip coefficient
/// and step <c>t</c> from 1: <c>p = p (1 - lr wd)</c>, <c>m = b1 m + (1 - b1) g</c>, <c>v = b2 v + (1 - b2) g^2</c>, <c>p = p - lr / (1 -
/// b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps)</c>.
/// </summary>
public static partial class AdamW
{
    /// <summary>
    /// Updates <paramref name="parameter"/>, <paramref name="m"/> and <paramref name="v"/> in one pass over memory. All have the same
    /// number of elements.
    /// </summary>
    /// <param name="device">Where to run.</param>
    /// <param name="parameter">Weights, updated.</param>
    /// <param name="m">First moment, updated; zero before the first step.</param>
    /// <param name="v">Second moment, updated; zero before the first step.</param>
    /// <param name="gradient">Gradient before clipping; not changed.</param>
    /// <param name="clip">[2], result of <see cref="GradientNorm"/>, whose coefficient multiplies the gradient; or no tensor for no
    /// clipping. A NaN coefficient makes everything NaN: check the norm before a step whose outcome matters.</param>
    /// <param name="settings">Hyper-parameters.</param>
    /// <param name="step">Number of this step, from 1.</param>
    public static void Step(
        Device device, Tensor parameter, Tensor m, Tensor v, Tensor gradient, Tensor clip, in AdamWSettings settings, int step)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(step, 1);
        Require.SameCount(parameter, m);
        Require.SameCount(parameter, v);
        Require.SameCount(parameter, gradient);
        if (clip.Exists) Require.Count(clip, "clip", 2);
        Coefficients coefficients = new(settings, step);
        if (device.IsHost)
            StepHost(device.Threads, parameter, m, v, gradient, clip, coefficients);
        else
            device.Load(a => a.LoadAutoGroupedStreamKernel<
                Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>,
                int, Coefficients>(StepKernel))(
                Require.Extent(parameter.Count), parameter.Floats, m.Floats, v.Floats, gradient.Floats,
                clip.Exists ? clip.Floats : gradient.Floats, clip.Exists ? 1 : 0, coefficients);
    }

    /// <summary>Everything about a step that is the same for all elements, computed in double precision and rounded once.</summary>
    internal readonly struct Coefficients
    {
        public readonly float Decay;
        public readonly float Beta1;
        public readonly float OneMinusBeta1;
        public readonly float Beta2;
        public readonly float OneMinusBeta2;
        public readonly float StepSize;
        public readonly float InverseRootCorrection2;
        public readonly float Epsilon;

        public Coefficients(in AdamWSettings settings, int step)
        {
            Decay = (float)(1 - settings.LearningRate * settings.WeightDecay);
            Beta1 = (float)settings.Beta1;
            OneMinusBeta1 = (float)(1 - settings.Beta1);
            Beta2 = (float)settings.Beta2;
            OneMinusBeta2 = (float)(1 - settings.Beta2);
            StepSize = (float)(settings.LearningRate / (1 - Math.Pow(settings.Beta1, step)));
            InverseRootCorrection2 = (float)(1 / Math.Sqrt(1 - Math.Pow(settings.Beta2, step)));
            Epsilon = (float)settings.Epsilon;
        }
    }
}
