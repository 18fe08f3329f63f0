using ILGPU.IR.Intrinsics;

namespace Patching.Kernels;

/// <summary>
/// Arithmetic rounded once per operation. ILGPU's own <c>a * b + c</c> becomes <c>mul.f32</c> and <c>add.f32</c>, which the driver's assembler may contract into one
/// instruction with one rounding; with <c>.rn</c> written out it must not. Kernels whose results are promised to the bit use these and <see cref="PtxMath.Fma"/>.
/// Subnormal numbers are kept. Source: PTX ISA, "Floating Point Instructions".
/// </summary>
internal static class RoundedMath
{
    /// <summary><c>a b</c>, rounded.</summary>
    [IntrinsicImplementation, Ptx("mul.rn.f32 $r, $0, $1;")]
    public static float Multiply(float a, float b) => a * b;

    /// <summary><c>a + b</c>, rounded.</summary>
    [IntrinsicImplementation, Ptx("add.rn.f32 $r, $0, $1;")]
    public static float Add(float a, float b) => a + b;

    /// <summary><c>a / b</c>, correctly rounded.</summary>
    [IntrinsicImplementation, Ptx("div.rn.f32 $r, $0, $1;")]
    public static float Divide(float a, float b) => a / b;

    /// <summary>The square root, correctly rounded.</summary>
    [IntrinsicImplementation, Ptx("sqrt.rn.f32 $r, $0;")]
    public static float SquareRoot(float x) => MathF.Sqrt(x);
}
