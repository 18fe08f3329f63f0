using NUnit.Framework;

namespace Patching.Tests.Ptx;

/// <summary>What the instructions compute, with the values at which PTX and C# differ or kernels go wrong.</summary>
internal sealed class ArithmeticTests
{
    // Operands are input words 0, 1 and 2 in %a0, %a1, %a2 (as bits), and in %f0, %f1, %f2; the result is %a9.
    [TestCase("add.s32 %a9, %a0, %a1;", 0xFFFFFFFFu, 2u, 0u, 1u)]
    [TestCase("sub.u32 %a9, %a0, %a1;", 1u, 2u, 0u, 0xFFFFFFFFu)]
    [TestCase("mul.lo.s32 %a9, %a0, %a1;", 0x10001u, 0x10001u, 0u, 0x20001u)]
    [TestCase("mul.hi.u32 %a9, %a0, %a1;", 0xFFFFFFFFu, 0xFFFFFFFFu, 0u, 0xFFFFFFFEu)]
    [TestCase("mul.hi.s32 %a9, %a0, %a1;", 0xFFFFFFFFu, 2u, 0u, 0xFFFFFFFFu)]
    [TestCase("mad.lo.s32 %a9, %a0, %a1, %a2;", 7u, 6u, 5u, 47u)]
    [TestCase("mul.wide.s32 %w0, %a0, %a1; shr.u64 %w0, %w0, 32; cvt.u32.u64 %a9, %w0;", 0xFFFFFFFFu, 2u, 0u, 0xFFFFFFFFu)]
    [TestCase("mul.wide.u32 %w0, %a0, %a1; shr.u64 %w0, %w0, 32; cvt.u32.u64 %a9, %w0;", 0xFFFFFFFFu, 2u, 0u, 1u)]
    [TestCase("div.s32 %a9, %a0, %a1;", 0xFFFFFFF9u, 2u, 0u, 0xFFFFFFFDu)]
    [TestCase("rem.s32 %a9, %a0, %a1;", 0xFFFFFFF9u, 2u, 0u, 0xFFFFFFFFu)]
    [TestCase("div.s32 %a9, %a0, %a1;", 0x80000000u, 0xFFFFFFFFu, 0u, 0x80000000u)]
    [TestCase("rem.u32 %a9, %a0, %a1;", 7u, 4u, 0u, 3u)]
    [TestCase("min.s32 %a9, %a0, %a1;", 0xFFFFFFFFu, 1u, 0u, 0xFFFFFFFFu)]
    [TestCase("min.u32 %a9, %a0, %a1;", 0xFFFFFFFFu, 1u, 0u, 1u)]
    [TestCase("abs.s32 %a9, %a0;", 0xFFFFFFFBu, 0u, 0u, 5u)]
    [TestCase("neg.s32 %a9, %a0;", 5u, 0u, 0u, 0xFFFFFFFBu)]
    [TestCase("not.b32 %a9, %a0;", 5u, 0u, 0u, 0xFFFFFFFAu)]
    [TestCase("xor.b32 %a9, %a0, %a1;", 5u, 3u, 0u, 6u)]
    [TestCase("shl.b32 %a9, %a0, %a1;", 1u, 31u, 0u, 0x80000000u)]
    [TestCase("shl.b32 %a9, %a0, %a1;", 1u, 32u, 0u, 0u)]
    [TestCase("shr.u32 %a9, %a0, %a1;", 0x80000000u, 40u, 0u, 0u)]
    [TestCase("shr.s32 %a9, %a0, %a1;", 0x80000000u, 40u, 0u, 0xFFFFFFFFu)]
    [TestCase("bfe.u32 %a9, %a0, 8, 8;", 0x12345678u, 0u, 0u, 0x56u)]
    [TestCase("bfe.s32 %a9, %a0, 4, 4;", 0x12345688u, 0u, 0u, 0xFFFFFFF8u)]
    [TestCase("bfe.s32 %a9, %a0, 28, 8;", 0x82345688u, 0u, 0u, 0xFFFFFFF8u)]
    [TestCase("bfi.b32 %a9, %a0, %a1, 8, 8;", 0xABu, 0x12345678u, 0u, 0x1234AB78u)]
    [TestCase("prmt.b32 %a9, %a0, %a1, 0x5410;", 0x33221100u, 0x77665544u, 0u, 0x55441100u)]
    [TestCase("prmt.b32 %a9, %a0, %a1, 0xFEDC;", 0u, 0x80FF7F00u, 0u, 0xFFFF0000u)]
    [TestCase("popc.b32 %a9, %a0;", 0xF0F0F0F0u, 0u, 0u, 16u)]
    [TestCase("clz.b32 %a9, %a0;", 0u, 0u, 0u, 32u)]
    [TestCase("clz.b32 %a9, %a0;", 0x00010000u, 0u, 0u, 15u)]
    [TestCase("brev.b32 %a9, %a0;", 1u, 0u, 0u, 0x80000000u)]
    [TestCase("bfind.u32 %a9, %a0;", 0x00010000u, 0u, 0u, 16u)]
    [TestCase("lop3.b32 %a9, %a0, %a1, %a2, 0x96;", 12u, 10u, 7u, 12u ^ 10u ^ 7u)]
    [TestCase("shf.l.wrap.b32 %a9, %a0, %a1, 8;", 0xAA000000u, 0x00112233u, 0u, 0x112233AAu)]
    [TestCase("selp.b32 %a9, %a0, %a1, %p0;", 3u, 4u, 0u, 4u)]
    [TestCase("slct.u32.s32 %a9, %a0, %a1, %a2;", 3u, 4u, 0xFFFFFFFFu, 4u)]
    [TestCase("slct.b32.f32 %a9, %a0, %a1, %f2;", 3u, 4u, 0x80000000u, 3u)]
    [TestCase("mov.b64 %w0, {%a0, %a1}; mov.b64 {%a8, %a9}, %w0;", 3u, 4u, 0u, 4u)]
    [TestCase("mov.b32 {%h0, %h1}, %a0; mov.b32 %a9, {%h1, %h0};", 0x12345678u, 0u, 0u, 0x56781234u)]
    [TestCase("cvt.s32.s16 %a9, %h2;", 0u, 0u, 0u, 0xFFFF8000u)]
    [TestCase("cvt.u32.u16 %a9, %h2;", 0u, 0u, 0u, 0x8000u)]
    [TestCase("cvt.s32.s8 %a9, %a0;", 0x1280u, 0u, 0u, 0xFFFFFF80u)]
    [TestCase("cvt.u32.u8 %a9, %a0;", 0x1280u, 0u, 0u, 0x80u)]
    [TestCase("cvt.sat.u8.s32 %a9, %a0;", 0xFFFFFFFFu, 0u, 0u, 0u)]
    [TestCase("cvt.sat.s8.s32 %a9, %a0;", 300u, 0u, 0u, 127u)]
    public void ComputesWithIntegers(string instruction, uint a, uint b, uint c, uint expected) => Check(instruction, a, b, c, expected);

    [TestCase("fma.rn.f32 %f9, %f0, %f1, %f2;", 1.0000001f, 1.0000001f, -1f, 2.3841858E-07f)]
    [TestCase("mul.f32 %f9, %f0, %f1; add.f32 %f9, %f9, %f2;", 1.0000001f, 1.0000001f, -1f, 2.3841858E-07f)]
    [TestCase("div.rn.f32 %f9, %f0, %f1;", 1f, 3f, 0f, 0.33333334f)]
    [TestCase("sub.f32 %f9, %f0, %f1;", 1f, 3f, 0f, -2f)]
    [TestCase("min.f32 %f9, %f0, %f1;", float.NaN, 3f, 0f, 3f)]
    [TestCase("max.NaN.f32 %f9, %f0, %f1;", float.NaN, 3f, 0f, float.NaN)]
    [TestCase("max.f32 %f9, %f0, %f1;", -0f, 0f, 0f, 0f)]
    [TestCase("sqrt.rn.f32 %f9, %f0;", 2f, 0f, 0f, 1.4142135f)]
    [TestCase("rsqrt.approx.f32 %f9, %f0;", 4f, 0f, 0f, 0.5f)]
    [TestCase("rcp.rn.f32 %f9, %f0;", 4f, 0f, 0f, 0.25f)]
    [TestCase("ex2.approx.ftz.f32 %f9, %f0;", 10f, 0f, 0f, 1024f)]
    [TestCase("ex2.approx.ftz.f32 %f9, %f0;", -130f, 0f, 0f, 0f)]
    [TestCase("ex2.approx.f32 %f9, %f0;", -130f, 0f, 0f, 7.3468396926392969E-40f)]
    [TestCase("ex2.approx.ftz.f32 %f9, %f0;", float.NegativeInfinity, 0f, 0f, 0f)]
    [TestCase("lg2.approx.f32 %f9, %f0;", 8f, 0f, 0f, 3f)]
    [TestCase("abs.f32 %f9, %f0;", -8f, 0f, 0f, 8f)]
    [TestCase("neg.f32 %f9, %f0;", -8f, 0f, 0f, 8f)]
    [TestCase("copysign.f32 %f9, %f0, %f1;", -8f, 3f, 0f, -3f)]
    [TestCase("cvt.rni.f32.f32 %f9, %f0;", 2.5f, 0f, 0f, 2f)]
    [TestCase("cvt.rzi.s32.f32 %a0, %f0; cvt.rn.f32.s32 %f9, %a0;", -2.5f, 0f, 0f, -2f)]
    [TestCase("cvt.rzi.s32.f32 %a0, %f0; cvt.rn.f32.s32 %f9, %a0;", 1e20f, 0f, 0f, 2147483648f)]
    [TestCase("cvt.rzi.u32.f32 %a0, %f0; cvt.rn.f32.u32 %f9, %a0;", -3f, 0f, 0f, 0f)]
    [TestCase("cvt.rmi.s32.f32 %a0, %f0; cvt.rn.f32.s32 %f9, %a0;", -2.5f, 0f, 0f, -3f)]
    [TestCase("cvt.f64.f32 %d0, %f0; mul.f64 %d0, %d0, %d0; cvt.rn.f32.f64 %f9, %d0;", 3f, 0f, 0f, 9f)]
    [TestCase("cvt.sat.f32.f32 %f9, %f0;", 3f, 0f, 0f, 1f)]
    [TestCase("cvt.rn.f16.f32 %h0, %f0; cvt.f32.f16 %f9, %h0;", 2049f, 0f, 0f, 2048f)]
    [TestCase("cvt.rn.bf16.f32 %h0, %f0; mov.b32 %a0, {%h5, %h0}; mov.b32 %f9, %a0;", 257f, 0f, 0f, 256f)]
    [TestCase("selp.f32 %f9, %f0, %f1, %p1;", 3f, 4f, 0f, 3f)]
    public void ComputesWithFloats(string instruction, float a, float b, float c, float expected) =>
        Check(instruction + " mov.b32 %a9, %f9;", Bits(a), Bits(b), Bits(c), Bits(expected));

    [Test]
    public void PacksTheFirstOperandHigh() => Check("cvt.rn.bf16x2.f32 %a9, %f0, %f1;", Bits(1f), Bits(2f), 0, 0x3F804000);

    [Test]
    public void RoundsBFloatTiesToEven()
    {
        Check("cvt.rn.bf16x2.f32 %a9, %f0, %f1;", 0x3F808000, 0x3F818000, 0, 0x3F803F82);
        Check("cvt.rn.bf16x2.f32 %a9, %f0, %f1;", 0x7F7FFFFF, 0x7FC00001, 0, 0x7F807FFF);
    }

    [Test]
    public void ComputesPairsOfBFloats() => Check("fma.rn.bf16x2 %a9, %a0, %a1, %a2;", 0x40003F80, 0x40404040, 0x3F803F80, 0x40E04080);

    [TestCase("eq.s32", 1u, 1u, true)]
    [TestCase("lt.s32", 0xFFFFFFFFu, 1u, true)]
    [TestCase("lt.u32", 0xFFFFFFFFu, 1u, false)]
    [TestCase("hi.u32", 0xFFFFFFFFu, 1u, true)]
    [TestCase("ge.s32", 1u, 1u, true)]
    [TestCase("ne.b32", 1u, 1u, false)]
    public void ComparesIntegers(string comparison, uint a, uint b, bool expected) =>
        Check($"setp.{comparison} %p2, %a0, %a1; selp.b32 %a9, 1, 0, %p2;", a, b, 0, expected ? 1u : 0u);

    [TestCase("lt", 1f, 2f, true)]
    [TestCase("lt", float.NaN, 2f, false)]
    [TestCase("ltu", float.NaN, 2f, true)]
    [TestCase("geu", 1f, 2f, false)]
    [TestCase("ne", float.NaN, 2f, false)]
    [TestCase("neu", float.NaN, 2f, true)]
    [TestCase("eq", 0f, -0f, true)]
    [TestCase("equ", 1f, 2f, false)]
    [TestCase("num", 1f, 2f, true)]
    [TestCase("nan", 1f, float.NaN, true)]
    public void ComparesFloats(string comparison, float a, float b, bool expected) =>
        Check($"setp.{comparison}.f32 %p2, %f0, %f1; selp.b32 %a9, 1, 0, %p2;", Bits(a), Bits(b), 0, expected ? 1u : 0u);

    [Test]
    public void CombinesComparisons()
    {
        Check("setp.lt.and.u32 %p2|%p3, %a0, %a1, !%p0; selp.b32 %a9, 1, 0, %p2; @%p3 add.u32 %a9, %a9, 2;", 1, 2, 0, 1);
        Check("setp.lt.and.u32 %p2|%p3, %a0, %a1, !%p0; selp.b32 %a9, 1, 0, %p2; @%p3 add.u32 %a9, %a9, 2;", 2, 1, 0, 2);
        Check("setp.lt.or.u32 %p2, %a0, %a1, %p1; and.pred %p2, %p2, %p1; not.pred %p2, %p2; selp.b32 %a9, 1, 0, %p2;", 2, 1, 0, 0);
    }

    [TestCase("adc.u32 %a9, %a0, %a1;", "not supported")]
    [TestCase("add.rz.f32 %f9, %f0, %f1;", "modifier .rz not supported")]
    [TestCase("add.s32 %a9, %a0, %f1;", "is .f32, the instruction wants .s32")]
    [TestCase("add.f32 %f9, %f0, 1;", "integer constant")]
    [TestCase("add.s32 %a9, %a0, %a99;", "not declared")]
    [TestCase("add.s32 %a9, %a0;", "3 operands expected")]
    [TestCase("mov.u32 %tid.x, %a0;", "cannot be written")]
    [TestCase("cvt.bf16.f32 %h0, %f0;", "rounding missing")]
    [TestCase("shl.b32 %a9, %a0, %w0;", "the instruction wants .u32")]
    [TestCase("bra NOWHERE;", "label NOWHERE is not defined")]
    [TestCase("ld.global.v2.u64 {%w0, %w1, %w2}, [%in];", "2 values expected")]
    [TestCase("ld.global.u32 %a0, [%a1];", "an address is wanted")]
    [TestCase("call foo;", "not supported")]
    public void RefusesWhatTheAssemblerRefuses(string instruction, string reason) => Assert.That(Snippet.Fault(instruction), Does.Contain(reason));

    private static uint Bits(float value) => BitConverter.SingleToUInt32Bits(value);

    private static void Check(string instruction, uint a, uint b, uint c, uint expected)
    {
        string body = $"""
            ld.global.b32 %a0, [%in]; ld.global.b32 %a1, [%in+4]; ld.global.b32 %a2, [%in+8];
            mov.b32 %f0, %a0; mov.b32 %f1, %a1; mov.b32 %f2, %a2;
            setp.ne.u32 %p0, %a0, %a0; setp.eq.u32 %p1, %a0, %a0; cvt.u16.u32 %h2, 0x8000; cvt.u16.u32 %h5, 0;
            {instruction}
            st.global.b32 [%mine], %a9;
            """;
        uint[] results = Snippet.Run<uint>(body, [a, b, c], threads: 40);
        Assert.That(results, Has.All.EqualTo(expected).Or.All.Matches<uint>(bits => expected == 0xFFC00000 && float.IsNaN(BitConverter.UInt32BitsToSingle(bits))), instruction);
    }
}
