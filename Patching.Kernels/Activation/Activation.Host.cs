using System.Numerics;
using System.Runtime.CompilerServices;

namespace Patching.Kernels;

/// <content>The host implementation: whole vectors, then the ragged tail through a zero-padded vector so that every element sees the same arithmetic.</content>
public static partial class Activation
{
    /// <summary>A non-linearity on vectors; implemented by structs so that loops over it compile to straight code.</summary>
    internal interface IFunction
    {
        /// <summary>f(x).</summary>
        static abstract Vector<float> Value(Vector<float> x);

        /// <summary>f'(x).</summary>
        static abstract Vector<float> Derivative(Vector<float> x);
    }

    private static unsafe void ForwardHost(HostThreads threads, Tensor y, Tensor x, ActivationKind kind)
    {
        float* py = y.HostFloats, px = x.HostFloats;
        if (kind == ActivationKind.QuickGelu)
            threads.For(y.Count, (first, end) => ForwardRange<QuickGelu>(py + first, px + first, end - first), Vector<float>.Count);
        else
            threads.For(y.Count, (first, end) => ForwardRange<Gelu>(py + first, px + first, end - first), Vector<float>.Count);
    }

    private static unsafe void BackwardHost(HostThreads threads, Tensor dx, Tensor dy, Tensor x, ActivationKind kind)
    {
        float* pdx = dx.HostFloats, pdy = dy.HostFloats, px = x.HostFloats;
        if (kind == ActivationKind.QuickGelu)
            threads.For(dx.Count, (first, end) => BackwardRange<QuickGelu>(pdx + first, pdy + first, px + first, end - first), Vector<float>.Count);
        else
            threads.For(dx.Count, (first, end) => BackwardRange<Gelu>(pdx + first, pdy + first, px + first, end - first), Vector<float>.Count);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void ForwardRange<TFunction>(float* y, float* x, long count)
        where TFunction : struct, IFunction
    {
        long i = 0;
        for (; i + Vector<float>.Count <= count; i += Vector<float>.Count) TFunction.Value(Vector.Load(x + i)).Store(y + i);
        if (i < count) HostTail.Store(TFunction.Value(HostTail.Load(x + i, count - i)), y + i, count - i);
    }

    [MethodImpl(MethodImplOptions.AggressiveOptimization)]
    private static unsafe void BackwardRange<TFunction>(float* dx, float* dy, float* x, long count)
        where TFunction : struct, IFunction
    {
        long i = 0;
        for (; i + Vector<float>.Count <= count; i += Vector<float>.Count)
            (Vector.Load(dy + i) * TFunction.Derivative(Vector.Load(x + i))).Store(dx + i);
        if (i < count)
            HostTail.Store(HostTail.Load(dy + i, count - i) * TFunction.Derivative(HostTail.Load(x + i, count - i)), dx + i, count - i);
    }

    /// <summary>QuickGELU on vectors.</summary>
    internal readonly struct QuickGelu : IFunction
    {
        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector<float> Value(Vector<float> x) => x * VectorMath.Sigmoid(x * QuickGeluSlope);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector<float> Derivative(Vector<float> x)
        {
            Vector<float> s = VectorMath.Sigmoid(x * QuickGeluSlope);
            return Vector.FusedMultiplyAdd(x * QuickGeluSlope * s, Vector<float>.One - s, s);
        }
    }

    /// <summary>Exact GELU on vectors.</summary>
    internal readonly struct Gelu : IFunction
    {
        private const float InverseRootTwoPi = 0.39894228f;

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector<float> Value(Vector<float> x) => x * VectorMath.NormalCdf(x);

        [MethodImpl(MethodImplOptions.AggressiveInlining)]
        public static Vector<float> Derivative(Vector<float> x) =>
            Vector.FusedMultiplyAdd(x * InverseRootTwoPi, VectorMath.Exp(x * x * -0.5f), VectorMath.NormalCdf(x));
    }
}
