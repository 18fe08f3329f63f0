using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
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
    /// <summary>Elements of the tensor that holds a step's coefficients on the device.</summary>
    public const int CoefficientCount = 8;

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
    /// <param name="rounded">The updated weights in bfloat16 as well, written, as <see cref="Rounding"/> rounds them; or no tensor.</param>
    public static void Step(
        Device device, Tensor parameter, Tensor m, Tensor v, Tensor gradient, Tensor clip, in AdamWSettings settings, int step, Tensor rounded = default) =>
        Step(device, parameter, m, v, gradient, clip, new Coefficients(settings, step), default, rounded);

    /// <summary>
    /// The same with coefficients that <see cref="WriteCoefficients(Tensor, in AdamWSettings, int)"/> has put into device memory, so that a launch recorded once
    /// can be repeated with the learning rate and the number of every step.
    /// </summary>
    /// <param name="device">Where to run.</param>
    /// <param name="parameter">Weights, updated.</param>
    /// <param name="m">First moment, updated.</param>
    /// <param name="v">Second moment, updated.</param>
    /// <param name="gradient">Gradient before clipping; not changed.</param>
    /// <param name="clip">[2], result of <see cref="GradientNorm"/>, or no tensor for no clipping.</param>
    /// <param name="coefficients">[<see cref="CoefficientCount"/>].</param>
    /// <param name="rounded">The updated weights in bfloat16 as well, written; or no tensor.</param>
    public static void Step(
        Device device, Tensor parameter, Tensor m, Tensor v, Tensor gradient, Tensor clip, Tensor coefficients, Tensor rounded = default)
    {
        Require.Count(coefficients, "coefficients", CoefficientCount);
        // On CUDA the kernel reads them: when this launch is recorded, they need not be there yet.
        Coefficients known = device.Kind == DeviceKind.Cuda ? default : new Coefficients(coefficients);
        Step(device, parameter, m, v, gradient, clip, known, coefficients, rounded);
    }

    /// <summary>
    /// Writes what is the same for all elements of a step, in the order that <see cref="Step(Device, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor)"/>
    /// reads.
    /// </summary>
    /// <param name="coefficients">[<see cref="CoefficientCount"/>], written.</param>
    /// <param name="settings">Hyper-parameters.</param>
    /// <param name="step">Number of the step, from 1.</param>
    public static void WriteCoefficients(Tensor coefficients, in AdamWSettings settings, int step)
    {
        Span<float> values = stackalloc float[CoefficientCount];
        WriteCoefficients(values, settings, step);
        coefficients.CopyFrom(values);
    }

    /// <summary>The same into the processor's memory, from where the caller copies it to the device.</summary>
    public static void WriteCoefficients(Span<float> coefficients, in AdamWSettings settings, int step) => new Coefficients(settings, step).CopyTo(coefficients);

    private static void Step(
        Device device, Tensor parameter, Tensor m, Tensor v, Tensor gradient, Tensor clip, in Coefficients known, Tensor stored, Tensor rounded)
    {
        Require.SameCount(parameter, m);
        Require.SameCount(parameter, v);
        Require.SameCount(parameter, gradient);
        if (clip.Exists) Require.Count(clip, "clip", 2);
        if (rounded.Exists) Require.Rounded(rounded, parameter);
        if (device.Kind == DeviceKind.Cuda)
        {
            StepCuda(device, parameter, m, v, gradient, clip, known, stored, rounded);
            return;
        }
        if (device.IsHost)
            StepHost(device.Threads, parameter, m, v, gradient, clip, known);
        else
            device.Load(a => a.LoadAutoGroupedStreamKernel<
                Index1D, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>, ArrayView<float>,
                int, Coefficients>(StepKernel))(
                Require.Extent(parameter.Count), parameter.Floats, m.Floats, v.Floats, gradient.Floats,
                clip.Exists ? clip.Floats : gradient.Floats, clip.Exists ? 1 : 0, known);
        if (rounded.Exists) Rounding.Forward(device, rounded, parameter);
    }

    /// <summary>Everything about a step that is the same for all elements, computed in double precision and rounded once.</summary>
    [StructLayout(LayoutKind.Sequential)]
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
            ArgumentOutOfRangeException.ThrowIfLessThan(step, 1);
            Decay = (float)(1 - settings.LearningRate * settings.WeightDecay);
            Beta1 = (float)settings.Beta1;
            OneMinusBeta1 = (float)(1 - settings.Beta1);
            Beta2 = (float)settings.Beta2;
            OneMinusBeta2 = (float)(1 - settings.Beta2);
            StepSize = (float)(settings.LearningRate / (1 - Math.Pow(settings.Beta1, step)));
            InverseRootCorrection2 = (float)(1 / Math.Sqrt(1 - Math.Pow(settings.Beta2, step)));
            Epsilon = (float)settings.Epsilon;
        }

        /// <summary>Reads what <see cref="CopyTo"/> wrote, on devices whose memory is the processor's.</summary>
        public unsafe Coefficients(Tensor stored) => this = MemoryMarshal.Read<Coefficients>(new ReadOnlySpan<byte>(stored.HostFloats, sizeof(Coefficients)));

        /// <summary>The fields in their order.</summary>
        public void CopyTo(Span<float> values) => MemoryMarshal.Write(MemoryMarshal.AsBytes(values[..CoefficientCount]), this);
    }
}
