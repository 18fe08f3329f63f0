using ILGPU.IR.Intrinsics;

namespace Patching.Kernels;

/// <summary>Arithmetic that ILGPU has no instruction for. All of it runs under the simulator too.</summary>
internal static class PtxMath
{
    /// <summary><c>a b + c</c>, rounded once.</summary>
    [IntrinsicImplementation, Ptx("fma.rn.f32 $r, $0, $1, $2;")]
    public static float Fma(float a, float b, float c) => MathF.FusedMultiplyAdd(a, b, c);

    /// <summary><c>2^x</c>; relative error at most 2^-22.5, subnormal results are flushed to zero.</summary>
    [IntrinsicImplementation, Ptx("ex2.approx.ftz.f32 $r, $0;")]
    public static float Exp2(float x) => MathF.Pow(2, x);

    /// <summary><c>log2(x)</c>; absolute error at most 2^-22.6 near 1.</summary>
    [IntrinsicImplementation, Ptx("lg2.approx.ftz.f32 $r, $0;")]
    public static float Log2(float x) => MathF.Log2(x);

    /// <summary><c>1 / x</c>, correctly rounded.</summary>
    [IntrinsicImplementation, Ptx("rcp.rn.f32 $r, $0;")]
    public static float Reciprocal(float x) => 1 / x;

    /// <summary>Two numbers rounded to bfloat16 (to nearest, ties to even) in one word: <paramref name="low"/> in the lower half, where memory has the first.</summary>
    [IntrinsicImplementation, Ptx("cvt.rn.bf16x2.f32 $r, $1, $0;")]
    public static uint PackBFloats(float low, float high) => BFloat16.FromSingle(low) | ((uint)BFloat16.FromSingle(high) << 16);

    /// <summary>The bfloat16 in the lower half of a word; exact.</summary>
    [IntrinsicImplementation, Ptx("{ .reg .b32 %t; shl.b32 %t, $0, 16; mov.b32 $r, %t; }")]
    public static float LowBFloat(uint pair) => BitConverter.UInt32BitsToSingle(pair << 16);

    /// <summary>The bfloat16 in the upper half of a word; exact.</summary>
    [IntrinsicImplementation, Ptx("{ .reg .b32 %t; and.b32 %t, $0, 0xFFFF0000; mov.b32 $r, %t; }")]
    public static float HighBFloat(uint pair) => BitConverter.UInt32BitsToSingle(pair & 0xFFFF0000);
}
