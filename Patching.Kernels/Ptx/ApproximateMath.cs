using ILGPU.IR.Intrinsics;

namespace Patching.Kernels;

/// <summary>Single instructions where ILGPU would emit several or a branch. They run under the simulator too.</summary>
internal static class ApproximateMath
{
    /// <summary><c>1 / x</c>, relative error at most 2^-23; 0 for infinite x, and subnormal results are flushed to zero.</summary>
    [IntrinsicImplementation, Ptx("rcp.approx.ftz.f32 $r, $0;")]
    public static float Reciprocal(float x) => 1 / x;

    /// <summary>|x|.</summary>
    [IntrinsicImplementation, Ptx("abs.f32 $r, $0;")]
    public static float Abs(float x) => MathF.Abs(x);

    /// <summary><paramref name="positive"/> where <paramref name="x"/> is at least zero, otherwise <paramref name="negative"/>.</summary>
    [IntrinsicImplementation, Ptx("{ .reg .pred %positive; setp.ge.f32 %positive, $2, 0f00000000; selp.f32 $r, $0, $1, %positive; }")]
    public static float Select(float positive, float negative, float x) => x >= 0 ? positive : negative;
}
