using ILGPU.IR.Intrinsics;

namespace Patching.Kernels;

/// <summary>
/// Reads and writes of global memory by the address of their first byte, as wide as the instructions go. The compiler makes wide accesses of views only where it can
/// prove alignment; here the launcher has checked it. Accesses with a condition are predicated instructions: a run of them stays free of branches, so that all
/// their loads are under way at once.
/// </summary>
internal static class GlobalMemoryAccess
{
    /// <summary>Four single-precision numbers at an address divisible by 16; <paramref name="otherwise"/> where <paramref name="condition"/> is zero.</summary>
    [IntrinsicImplementation, Ptx("{ .reg .pred %p; setp.ne.s32 %p, $2, 0; @%p ld.global.v4.f32 $r, [$g0]; }", Tied = 1)]
    public static Float4 LoadFloat4(ref byte address, Float4 otherwise, int condition) => throw NoAddresses();

    /// <summary>Two words at an address divisible by 8; <paramref name="otherwise"/> where <paramref name="condition"/> is zero.</summary>
    [IntrinsicImplementation, Ptx("{ .reg .pred %p; setp.ne.s32 %p, $2, 0; @%p ld.global.v2.b32 $r, [$g0]; }", Tied = 1)]
    public static Word2 LoadWord2(ref byte address, Word2 otherwise, int condition) => throw NoAddresses();

    /// <summary>Four words at an address divisible by 16; <paramref name="otherwise"/> where <paramref name="condition"/> is zero.</summary>
    [IntrinsicImplementation, Ptx("{ .reg .pred %p; setp.ne.s32 %p, $2, 0; @%p ld.global.v4.b32 $r, [$g0]; }", Tied = 1)]
    public static Word4 LoadWord4(ref byte address, Word4 otherwise, int condition) => throw NoAddresses();

    /// <summary>One single-precision number.</summary>
    [IntrinsicImplementation, Ptx("ld.global.f32 $r, [$g0];")]
    public static float LoadFloat(ref byte address) => throw NoAddresses();

    /// <summary>One bfloat16 number, widened.</summary>
    [IntrinsicImplementation, Ptx("{ .reg .b16 %zero, %half; mov.b16 %zero, 0; ld.global.b16 %half, [$g0]; mov.b32 $r, {%zero, %half}; }")]
    public static float LoadBFloat(ref byte address) => throw NoAddresses();

    /// <summary>Writes four single-precision numbers to an address divisible by 16 unless <paramref name="condition"/> is zero.</summary>
    [IntrinsicImplementation, Ptx("{ .reg .pred %p; setp.ne.s32 %p, $2, 0; @%p st.global.v4.f32 [$g0], $1; }")]
    public static void StoreFloat4(ref byte address, Float4 value, int condition) => throw NoAddresses();

    /// <summary>Writes two words to an address divisible by 8 unless <paramref name="condition"/> is zero.</summary>
    [IntrinsicImplementation, Ptx("{ .reg .pred %p; setp.ne.s32 %p, $2, 0; @%p st.global.v2.b32 [$g0], $1; }")]
    public static void StoreWord2(ref byte address, Word2 value, int condition) => throw NoAddresses();

    /// <summary>Writes four words to an address divisible by 16 unless <paramref name="condition"/> is zero.</summary>
    [IntrinsicImplementation, Ptx("{ .reg .pred %p; setp.ne.s32 %p, $2, 0; @%p st.global.v4.b32 [$g0], $1; }")]
    public static void StoreWord4(ref byte address, Word4 value, int condition) => throw NoAddresses();

    /// <summary>Writes one single-precision number.</summary>
    [IntrinsicImplementation, Ptx("st.global.f32 [$g0], $1;")]
    public static void StoreFloat(ref byte address, float value) => throw NoAddresses();

    /// <summary>Writes one number, rounded to bfloat16.</summary>
    [IntrinsicImplementation, Ptx("{ .reg .b16 %half; cvt.rn.bf16.f32 %half, $1; st.global.b16 [$g0], %half; }")]
    public static void StoreBFloat(ref byte address, float value) => throw NoAddresses();

    private static NotSupportedException NoAddresses() => new("memory has no addresses on the simulator");
}
