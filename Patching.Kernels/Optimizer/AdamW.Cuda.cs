using System.Runtime.CompilerServices;
using ILGPU;
using ILGPU.Runtime;

namespace Patching.Kernels;

/// <content>
/// The CUDA kernel: one pass over all parameters of the model, bound by memory: 28 bytes per element (16 read, 12 written), 30 with the bfloat16 weights. A thread
/// has four reads of 16 bytes under way, a multiprocessor of 1536 threads 96 KiB. Every operation is an explicit instruction, multiply-adds where the host has
/// them, so the results are those of the host to the bit.
/// </content>
public static partial class AdamW
{
    private const int Threads = 256;

    private static readonly CudaKernel StepCudaKernel = new(Update, Threads);

    private static void StepCuda(
        Device device, Tensor parameter, Tensor m, Tensor v, Tensor gradient, Tensor clip, in Coefficients known, Tensor stored, Tensor rounded)
    {
        foreach (Tensor tensor in (ReadOnlySpan<Tensor>)[parameter, m, v, gradient]) Require.Type(tensor, "AdamW", ElementType.Float32);
        if (stored.Exists && !stored.IsAligned(16)) throw new ArgumentException("coefficients: the tensor's address must be a multiple of 16");
        bool isAligned = parameter.IsAligned(16) && m.IsAligned(16) && v.IsAligned(16) && gradient.IsAligned(16) && (!rounded.Exists || rounded.IsAligned(8));
        ArrayView<byte> p = parameter.Pieces<byte>();
        device.Load<Action<
            AcceleratorStream, KernelConfig, ArrayView<byte>, ArrayView<byte>, ArrayView<byte>, ArrayView<byte>, ArrayView<byte>, ArrayView<float>,
            ArrayView<byte>, Coefficients, StepOptions>>(StepCudaKernel)(
            device.Stream, FlatLaunch.Groups(parameter.Count, Threads * 4, Threads), p, m.Pieces<byte>(), v.Pieces<byte>(), gradient.Pieces<byte>(),
            rounded.Exists ? rounded.Pieces<byte>() : p, clip.Exists ? clip.Floats : gradient.Floats, stored.Exists ? stored.Pieces<byte>() : p, known,
            new StepOptions
            {
                Fours = FlatLaunch.Pieces(parameter.Count, 4, isAligned),
                Count = checked((int)parameter.Count),
                HasRounded = rounded.Exists ? 1 : 0,
                HasClip = clip.Exists ? 1 : 0,
                HasStored = stored.Exists ? 1 : 0,
            });
    }

    private static void Update(
        ArrayView<byte> parameter, ArrayView<byte> m, ArrayView<byte> v, ArrayView<byte> gradient, ArrayView<byte> rounded, ArrayView<float> clip,
        ArrayView<byte> stored, Coefficients known, StepOptions options)
    {
        int i = FlatLaunch.FirstPiece(1), fours = options.Fours;
        long at = i * 16L;
        Float4 p = GlobalMemoryAccess.LoadFloat4(ref parameter[at], default, i, fours), g = GlobalMemoryAccess.LoadFloat4(ref gradient[at], default, i, fours);
        Float4 m0 = GlobalMemoryAccess.LoadFloat4(ref m[at], default, i, fours), v0 = GlobalMemoryAccess.LoadFloat4(ref v[at], default, i, fours);
        StepScales scales = new(
            GlobalMemoryAccess.LoadFloat4(ref stored[0], new Float4(known.Decay, known.Beta1, known.OneMinusBeta1, known.Beta2), 0, options.HasStored),
            GlobalMemoryAccess.LoadFloat4(
                ref stored[16 * options.HasStored], new Float4(known.OneMinusBeta2, known.StepSize, known.InverseRootCorrection2, known.Epsilon), 0,
                options.HasStored),
            options.HasClip != 0 ? clip[1] : 1);

        StepElement x = scales.Apply(p.X, m0.X, v0.X, g.X), y = scales.Apply(p.Y, m0.Y, v0.Y, g.Y);
        StepElement z = scales.Apply(p.Z, m0.Z, v0.Z, g.Z), w = scales.Apply(p.W, m0.W, v0.W, g.W);
        Float4 updated = new(x.Parameter, y.Parameter, z.Parameter, w.Parameter);
        GlobalMemoryAccess.StoreFloat4(ref parameter[at], updated, i, fours);
        GlobalMemoryAccess.StoreFloat4(ref m[at], new Float4(x.M, y.M, z.M, w.M), i, fours);
        GlobalMemoryAccess.StoreFloat4(ref v[at], new Float4(x.V, y.V, z.V, w.V), i, fours);
        GlobalMemoryAccess.StoreWord2(ref rounded[i * 8L], BFloatPacking.Pack(updated), i, fours * options.HasRounded);

        for (int k = FlatLaunch.FirstLoose(options.Fours * 4); k < options.Count; k += FlatLaunch.AllThreads)
        {
            StepElement e = scales.Apply(
                GlobalMemoryAccess.LoadFloat(ref parameter[k * 4L]), GlobalMemoryAccess.LoadFloat(ref m[k * 4L]), GlobalMemoryAccess.LoadFloat(ref v[k * 4L]),
                GlobalMemoryAccess.LoadFloat(ref gradient[k * 4L]));
            GlobalMemoryAccess.StoreFloat(ref parameter[k * 4L], e.Parameter);
            GlobalMemoryAccess.StoreFloat(ref m[k * 4L], e.M);
            GlobalMemoryAccess.StoreFloat(ref v[k * 4L], e.V);
            if (options.HasRounded != 0) GlobalMemoryAccess.StoreBFloat(ref rounded[k * 2L], e.Parameter);
        }
    }

    /// <summary>What the kernel must know besides its tensors.</summary>
    internal struct StepOptions
    {
        public int Fours;
        public int Count;
        public int HasRounded;
        public int HasClip;
        public int HasStored;
    }

    /// <summary>One element after the step.</summary>
    private readonly record struct StepElement(float Parameter, float M, float V);

    /// <summary>The coefficients in registers.</summary>
    /// <param name="first">Decay, beta1, 1 - beta1, beta2.</param>
    /// <param name="second">1 - beta2, step size, reciprocal root of the second correction, epsilon.</param>
    /// <param name="clip">Multiplies the gradient.</param>
    private readonly struct StepScales(Float4 first, Float4 second, float clip)
    {
        private readonly Float4 first = first;
        private readonly Float4 second = second;
        private readonly float clip = clip;

        // The operations of the host's VectorStep, one for one.
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public StepElement Apply(float p, float m, float v, float gradient)
        {
            float g = RoundedMath.Multiply(gradient, clip);
            float m1 = PtxMath.Fma(first.Y, m, RoundedMath.Multiply(first.Z, g));
            float v1 = PtxMath.Fma(first.W, v, RoundedMath.Multiply(RoundedMath.Multiply(second.X, g), g));
            float denominator = PtxMath.Fma(RoundedMath.SquareRoot(v1), second.Z, second.W);
            float p1 = PtxMath.Fma(-second.Y, RoundedMath.Divide(m1, denominator), RoundedMath.Multiply(p, first.X));
            return new StepElement(p1, m1, v1);
        }
    }
}
