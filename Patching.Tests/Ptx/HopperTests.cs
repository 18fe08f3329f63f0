using System.Runtime.InteropServices;
using NUnit.Framework;

namespace Patching.Tests.Ptx;

/// <summary>Barriers in memory, bulk and tensor copies, and matrix products of four warps.</summary>
internal sealed unsafe class HopperTests
{
    private const string Wait = "WAIT{0}: mbarrier.try_wait.parity.shared::cta.b64 %p9, [tile+4088], {0}; @!%p9 bra WAIT{0};";
    private const string Copy = """
        setp.eq.u32 %p0, %i, 0;
        @%p0 mbarrier.init.shared::cta.b64 [tile+4088], 1;
        fence.mbarrier_init.release.cluster;
        bar.sync 0;
        @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [tile+4088], 256;
        @%p0 cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [tile], [%in], 256, [tile+4088];
        """;
    private const string Use = " shl.b32 %a0, %i, 2; ld.shared.u32 %a1, [%a0]; st.global.u32 [%mine], %a1;";

    private static string WaitFor(int phase) => Wait.Replace("{0}", $"{phase}", StringComparison.Ordinal);

    [Test]
    public void BulkCopyArrives()
    {
        uint[] input = [.. Enumerable.Range(0, 64).Select(i => (uint)(i * i))];
        Assert.That(Snippet.Run<uint>(Copy + WaitFor(0) + Use, input, threads: 64), Is.EqualTo(input));
    }

    [Test]
    public void ReadsWithoutAWaitAreSeen() => Assert.That(Snippet.Fault(Copy + "bar.sync 0;" + Use, 64), Does.Contain("not waited for"));

    [Test]
    public void ABarrierMustBeMadeKnownToTheCopyEngine() => Assert.That(
        Snippet.Fault(Copy.Replace("fence.mbarrier_init.release.cluster;", "", StringComparison.Ordinal) + WaitFor(0) + Use, 64), Does.Contain("without fence.mbarrier_init"));

    [Test]
    public void RegistersThatNobodyGivesBackAreSeen()
    {
        // Twelve warps have 168 each; 2048 of each lane are there.
        const string body = "setp.lt.u32 %p0, %i, 128; @!%p0 bra MORE; setmaxnreg.dec.sync.aligned.u32 40; bra DONE; MORE: setmaxnreg.inc.sync.aligned.u32 COUNT; DONE:";
        const string use = " st.global.u32 [%mine], %i;";
        string With(int count) => body.Replace("COUNT", $"{count}", StringComparison.Ordinal) + use;
        Assert.That(Snippet.Run<uint>(With(232), new uint[1], threads: 384), Has.Length.EqualTo(384));
        Assert.That(Snippet.Fault(With(240), 384), Does.Contain("one waits forever"));
        Assert.That(Snippet.Fault(With(160), 384), Does.Contain("168 registers before"));
    }

    [Test]
    public void WaitsOfOtherWarpsDoNotCount() => Assert.That(
        Snippet.Fault(Copy + "setp.lt.u32 %p1, %i, 32; @!%p1 bra OVER;" + WaitFor(0) + "OVER:" + Use, 64), Does.Match("data race|nothing was written"));

    [Test]
    public void PhasesThatNeverCompleteAreSeen()
    {
        Assert.That(Snippet.Fault(Copy.Replace("_, [tile+4088], 256", "_, [tile+4088], 272", StringComparison.Ordinal) + WaitFor(0) + Use, 64), Does.Contain("never completes"));
        Assert.That(Snippet.Fault(Copy + WaitFor(0) + WaitFor(1) + Use, 64), Does.Contain("never completes"));
    }

    [Test]
    public void UnknownBarriersAreSeen() => Assert.That(Snippet.Fault(WaitFor(0)), Does.Contain("no mbarrier"));

    [Test]
    public void ArrivalsOrderWarps()
    {
        const string body = """
            setp.eq.u32 %p0, %i, 0;
            @%p0 mbarrier.init.shared::cta.b64 [tile+4088], 32;
            bar.sync 0;
            shl.b32 %a0, %i, 2;
            setp.lt.u32 %p1, %i, 32;
            @!%p1 bra CONSUMER;
            st.shared.u32 [%a0], %i;
            mbarrier.arrive.shared::cta.b64 %w0, [tile+4088];
            bra DONE;
            CONSUMER:
            WAIT
            xor.b32 %a0, %a0, 128;
            ld.shared.u32 %a1, [%a0];
            st.global.u32 [%mine], %a1;
            DONE:
            """;
        uint[] result = Snippet.Run<uint>(body.Replace("WAIT", WaitFor(0), StringComparison.Ordinal), new uint[1], threads: 64);
        Assert.That(result[32..], Is.EqualTo(Enumerable.Range(0, 32)));
        Assert.That(Snippet.Fault(body.Replace("WAIT", "", StringComparison.Ordinal), 64), Does.Match("data race|nothing was written"));
    }

    [TestCase(TensorSwizzle.None)]
    [TestCase(TensorSwizzle.Bytes128)]
    public void TensorCopySwizzlesAndFillsWithZero(TensorSwizzle swizzle)
    {
        // A tensor of 10 rows of 72 elements; the box of 8 rows of 64 begins at column 16 of row 4, so that 8 columns and 2 rows are outside.
        ushort[] tensor = [.. Enumerable.Range(0, 720).Select(i => (ushort)(i + 1))];
        using TestMemory memory = new();
        nint data = memory.Upload<ushort>(tensor), output = memory.Allocate(1024);
        TensorMap map = TensorMap.Encode(data, 2, [72, 10], [144], [64, 8], swizzle);
        nint place = memory.Upload<byte>(MemoryMarshal.AsBytes(new ReadOnlySpan<TensorMap>(ref map)));
        string body = """
            setp.eq.u32 %p0, %i, 0;
            @%p0 mbarrier.init.shared::cta.b64 [tile+4088], 1;
            fence.mbarrier_init.release.cluster;
            bar.sync 0;
            @%p0 mbarrier.arrive.expect_tx.shared::cta.b64 _, [tile+4088], 1024;
            mov.u32 %a4, 16; mov.u32 %a5, 4;
            @%p0 cp.async.bulk.tensor.2d.shared::cluster.global.mbarrier::complete_tx::bytes [tile], [%in, {%a4, %a5}], [tile+4088];
            """ + WaitFor(0) + "shl.b32 %a0, %i, 4; ld.shared.v4.u32 {%a0, %a1, %a2, %a3}, [%a0]; st.global.v4.u32 [%mine], {%a0, %a1, %a2, %a3};";
        PtxEntry entry = PtxModule.Parse(Snippet.Module(body, elementBytes: 16).Replace("align 16", "align 1024", StringComparison.Ordinal)).Entries["Snippet"];
        nint[] parameters = [output, place];
        PtxMachine.Launch(entry, new Dim3(1), new Dim3(64), 0, MemoryMarshal.AsBytes(parameters.AsSpan()), memory.Device);
        ushort[] result = TestMemory.Download<ushort>(output, 512);
        for (int row = 0; row < 8; row++)
        {
            for (int column = 0; column < 64; column++)
            {
                int chunk = swizzle == TensorSwizzle.None ? column / 8 : (column / 8) ^ row;
                int expected = row < 6 && column < 56 ? ((row + 4) * 72) + column + 17 : 0;
                Assert.That(result[(64 * row) + (8 * chunk) + (column % 8)], Is.EqualTo(expected), $"row {row} column {column}");
            }
        }
    }

    /// <summary>
    /// A product of 64 x 16 and 16 x 16 from shared memory without swizzle: rows of eight elements, 128 bytes for a block of 8 x 8.
    /// </summary>
    [Test]
    public void MultipliesWithFourWarps()
    {
        (float[] got, float[] expected) = Product(Wgmma());
        Assert.That(got, Is.EqualTo(expected).Within(1e-5));
    }

    [TestCase("fence.proxy.async;", "without fence.proxy.async")]
    [TestCase("wgmma.fence.sync.aligned;", "without wgmma.fence")]
    [TestCase("wgmma.wait_group.sync.aligned 0;", "wgmma still computes")]
    [TestCase("bar.sync 0;", "data race|nothing was written")]
    public void WhatAProductNeedsIsMissed(string dropped, string reason) =>
        Assert.That(() => Product(Wgmma().Replace(dropped, "", StringComparison.Ordinal)), Throws.TypeOf<PtxFault>().With.Message.Matches(reason));

    [Test]
    public void OverwritingOperandsBeforeTheWaitIsARace() => Assert.That(
        () => Product(Wgmma().Replace("wgmma.wait_group", "st.shared.u32 [%a0], 0; wgmma.wait_group", StringComparison.Ordinal)),
        Throws.TypeOf<PtxFault>().With.Message.Contains("data race"));

    // A (64 x 16) lies at 0, B (16 columns, 16 deep) at 2048. Blocks of 8 rows follow each other, first all for depth 0..7: leading offset = 64 * 16 and 16 * 16 bytes, stride 128.
    private static string Wgmma()
    {
        const ulong a = 0 | (1024UL >> 4 << 16) | (128UL >> 4 << 32), b = (2048UL >> 4) | (256UL >> 4 << 16) | (128UL >> 4 << 32);
        return $$"""
            mad.wide.u32 %w0, %i, 16, %in; ld.global.v4.u32 {%a4, %a5, %a6, %a7}, [%w0]; shl.b32 %a0, %i, 4; st.shared.v4.u32 [%a0], {%a4, %a5, %a6, %a7};
            setp.lt.u32 %p0, %i, 32;
            @%p0 ld.global.v4.u32 {%a4, %a5, %a6, %a7}, [%w0+2048];
            @%p0 st.shared.v4.u32 [%a0+2048], {%a4, %a5, %a6, %a7};
            fence.proxy.async;
            bar.sync 0;
            mov.b64 %w1, {{a}}; mov.b64 %w2, {{b}};
            setp.ne.u32 %p1, %i, %i;
            wgmma.fence.sync.aligned;
            wgmma.mma_async.sync.aligned.m64n16k16.f32.bf16.bf16 {%f0, %f1, %f2, %f3, %f4, %f5, %f6, %f7}, %w1, %w2, %p1, 1, 1, 0, 0;
            wgmma.commit_group.sync.aligned;
            wgmma.wait_group.sync.aligned 0;
            st.global.v4.f32 [%mine], {%f0, %f1, %f2, %f3};
            st.global.v4.f32 [%mine+16], {%f4, %f5, %f6, %f7};
            """;
    }

    private static (float[] Got, float[] Expected) Product(string body)
    {
        Random random = new(3);
        ushort[] input = [.. Enumerable.Range(0, (64 + 16) * 16).Select(_ => Numbers.ToBFloat(random.NextSingle() - 0.5f))];
        using TestMemory memory = new();
        nint output = memory.Allocate(128 * 32), source = memory.Upload<ushort>(input);
        nint[] parameters = [output, source];
        PtxEntry entry = PtxModule.Parse(Snippet.Module(body, elementBytes: 32)).Entries["Snippet"];
        PtxMachine.Launch(entry, new Dim3(1), new Dim3(128), 0, MemoryMarshal.AsBytes(parameters.AsSpan()), memory.Device);
        float[] fragments = TestMemory.Download<float>(output, 128 * 8), got = new float[64 * 16], expected = new float[64 * 16];
        for (int thread = 0; thread < 128; thread++)
        {
            for (int i = 0; i < 8; i++)
            {
                int lane = thread % 32, row = (16 * (thread / 32)) + (lane / 4) + (8 * (i / 2 % 2)), column = (8 * (i / 4)) + (2 * (lane % 4)) + (i % 2);
                got[(16 * row) + column] = fragments[(8 * thread) + i];
            }
        }
        for (int row = 0; row < 64; row++)
        {
            for (int column = 0; column < 16; column++)
            {
                for (int k = 0; k < 16; k++)
                    expected[(16 * row) + column] += Numbers.FromBFloat(input[(k / 8 * 512) + (8 * row) + (k % 8)]) * Numbers.FromBFloat(input[1024 + (k / 8 * 128) + (8 * column) + (k % 8)]);
            }
        }
        return (got, expected);
    }
}
