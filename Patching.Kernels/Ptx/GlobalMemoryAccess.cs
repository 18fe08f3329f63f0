using ILGPU.IR.Intrinsics;

namespace Patching.Kernels;

/// <summary>
/// Reads and writes of global memory by the address of their first byte, as wide as the instructions go. The compiler makes wide accesses of views only where it can
/// prove alignment; here the launcher has checked it. The accesses happen only where an index lies before an end: predicated instructions, so that a run of them
/// stays free of branches and all their loads are under way at once.
/// <para>
/// Conditions and distances are part of the instructions' text and not arguments computed outside for a second reason: the compiler moves what does not change out of
/// loops and keeps each copy in registers of its own, hundreds of them in a kernel with written-out rows.
/// </para>
/// </summary>
internal static class GlobalMemoryAccess
{
    private const string IfBefore = "{ .reg .pred %p; setp.lt.s32 %p, $2, $3; @%p ";
    private const string IfFurtherBefore = "{ .reg .pred %p; .reg .s32 %i; add.s32 %i, $2, $i4; setp.lt.s32 %p, %i, $3; @%p ";

    /// <summary>Four single-precision numbers at an address divisible by 16 if <paramref name="index"/> is less than <paramref name="end"/>.</summary>
    [IntrinsicImplementation, Ptx(IfBefore + "ld.global.v4.f32 $r, [$g0]; }", Tied = 1)]
    public static Float4 LoadFloat4(ref byte address, Float4 otherwise, int index, int end) => throw NoAddresses();

    /// <summary>The same <paramref name="bytes"/> further on if the index is less than the end even with <paramref name="skip"/> more; both literals.</summary>
    [IntrinsicImplementation, Ptx(IfFurtherBefore + "ld.global.v4.f32 $r, [$g0+$i5]; }", Tied = 1)]
    public static Float4 LoadFloat4(ref byte address, Float4 otherwise, int index, int end, int skip, int bytes) => throw NoAddresses();

    /// <summary>Two words at an address divisible by 8 if <paramref name="index"/> is less than <paramref name="end"/>.</summary>
    [IntrinsicImplementation, Ptx(IfBefore + "ld.global.v2.b32 $r, [$g0]; }", Tied = 1)]
    public static Word2 LoadWord2(ref byte address, Word2 otherwise, int index, int end) => throw NoAddresses();

    /// <summary>The same <paramref name="bytes"/> further on if the index is less than the end even with <paramref name="skip"/> more; both literals.</summary>
    [IntrinsicImplementation, Ptx(IfFurtherBefore + "ld.global.v2.b32 $r, [$g0+$i5]; }", Tied = 1)]
    public static Word2 LoadWord2(ref byte address, Word2 otherwise, int index, int end, int skip, int bytes) => throw NoAddresses();

    /// <summary>Four words at an address divisible by 16 if <paramref name="index"/> is less than <paramref name="end"/>.</summary>
    [IntrinsicImplementation, Ptx(IfBefore + "ld.global.v4.b32 $r, [$g0]; }", Tied = 1)]
    public static Word4 LoadWord4(ref byte address, Word4 otherwise, int index, int end) => throw NoAddresses();

    /// <summary>One single-precision number.</summary>
    [IntrinsicImplementation, Ptx("ld.global.f32 $r, [$g0];")]
    public static float LoadFloat(ref byte address) => throw NoAddresses();

    /// <summary>One bfloat16 number, widened.</summary>
    [IntrinsicImplementation, Ptx("{ .reg .b16 %zero, %half; mov.b16 %zero, 0; ld.global.b16 %half, [$g0]; mov.b32 $r, {%zero, %half}; }")]
    public static float LoadBFloat(ref byte address) => throw NoAddresses();

    /// <summary>Writes four single-precision numbers to an address divisible by 16 if <paramref name="index"/> is less than <paramref name="end"/>.</summary>
    [IntrinsicImplementation, Ptx(IfBefore + "st.global.v4.f32 [$g0], $1; }")]
    public static void StoreFloat4(ref byte address, Float4 value, int index, int end) => throw NoAddresses();

    /// <summary>The same <paramref name="bytes"/> further on if the index is less than the end even with <paramref name="skip"/> more; both literals.</summary>
    [IntrinsicImplementation, Ptx(IfFurtherBefore + "st.global.v4.f32 [$g0+$i5], $1; }")]
    public static void StoreFloat4(ref byte address, Float4 value, int index, int end, int skip, int bytes) => throw NoAddresses();

    /// <summary>Writes two words to an address divisible by 8 if <paramref name="index"/> is less than <paramref name="end"/>.</summary>
    [IntrinsicImplementation, Ptx(IfBefore + "st.global.v2.b32 [$g0], $1; }")]
    public static void StoreWord2(ref byte address, Word2 value, int index, int end) => throw NoAddresses();

    /// <summary>The same <paramref name="bytes"/> further on if the index is less than the end even with <paramref name="skip"/> more; both literals.</summary>
    [IntrinsicImplementation, Ptx(IfFurtherBefore + "st.global.v2.b32 [$g0+$i5], $1; }")]
    public static void StoreWord2(ref byte address, Word2 value, int index, int end, int skip, int bytes) => throw NoAddresses();

    /// <summary>Writes four words to an address divisible by 16 if <paramref name="index"/> is less than <paramref name="end"/>.</summary>
    [IntrinsicImplementation, Ptx(IfBefore + "st.global.v4.b32 [$g0], $1; }")]
    public static void StoreWord4(ref byte address, Word4 value, int index, int end) => throw NoAddresses();

    /// <summary>Writes one single-precision number.</summary>
    [IntrinsicImplementation, Ptx("st.global.f32 [$g0], $1;")]
    public static void StoreFloat(ref byte address, float value) => throw NoAddresses();

    /// <summary>Writes one number, rounded to bfloat16.</summary>
    [IntrinsicImplementation, Ptx("{ .reg .b16 %half; cvt.rn.bf16.f32 %half, $1; st.global.b16 [$g0], %half; }")]
    public static void StoreBFloat(ref byte address, float value) => throw NoAddresses();

    /// <summary><c>row columns + column</c>, computed where it is used.</summary>
    [IntrinsicImplementation, Ptx("{ .reg .s64 %c; cvt.s64.s32 %c, $2; mad.wide.s32 $r, $0, $1, %c; }")]
    public static long Index(int row, int columns, int column) => ((long)row * columns) + column;

    /// <summary>The value if <paramref name="index"/> plus <paramref name="skip"/> (a literal) is less than <paramref name="end"/>, otherwise zero.</summary>
    [IntrinsicImplementation, Ptx("{ .reg .pred %p; .reg .s32 %i; add.s32 %i, $1, $i3; setp.lt.s32 %p, %i, $2; selp.f32 $r, $0, 0f00000000, %p; }")]
    public static float ValueBefore(float value, int index, int end, int skip) => index + skip < end ? value : 0;

    private static NotSupportedException NoAddresses() => new("memory has no addresses on the simulator");
}
