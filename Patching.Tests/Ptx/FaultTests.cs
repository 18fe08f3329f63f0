using NUnit.Framework;

namespace Patching.Tests.Ptx;

/// <summary>Each check of the interpreter, seen failing.</summary>
internal sealed class FaultTests
{
    [TestCase("add.u32 %a0, %a1, 1; st.global.u32 [%mine], %a0;", "register %a1 is read before")]
    [TestCase("setp.lt.u32 %p0, %i, 16; @%p0 mov.u32 %a0, 1; st.global.u32 [%mine], %a0;", "thread (16,0,0): register %a0 is read before")]
    [TestCase("@%p0 mov.u32 %a0, 1;", "register %p0 is read before")]
    [TestCase("ld.global.u32 %a0, [%mine];", "read, but nothing was written there")]
    [TestCase("ld.shared.u32 %a0, [tile];", "read, but nothing was written there")]
    [TestCase("st.global.u16 [%mine], 1; ld.global.u32 %a0, [%mine];", "read, but nothing was written there")]
    [TestCase("ld.global.u32 %a0, [%in+1024];", "outside of all allocations; the one before has 1024 bytes, and this is byte 1024")]
    [TestCase("ld.global.u32 %a0, [%in-4];", "outside of all allocations")]
    [TestCase("ld.global.u64 %w0, [%in+4];", "not aligned to 8 bytes")]
    [TestCase("ld.global.v4.u32 {%a0, %a1, %a2, %a3}, [%in+8];", "not aligned to 16 bytes")]
    [TestCase("st.shared.u32 [tile+4096], 1;", "outside of the block's 4096 bytes")]
    [TestCase("st.shared.u32 [tile+2], 1;", "not aligned to 4 bytes")]
    [TestCase("mov.u32 %a0, tile; sub.u32 %a0, %a0, 4; st.shared.u32 [%a0], 1;", "outside of the block's 4096 bytes")]
    [TestCase("setp.lt.u32 %p0, %i, 16; @%p0 bra OVER; bar.sync 0; OVER: ", "16 of 32 lanes reach the barrier; the others are on another path")]
    [TestCase("setp.lt.u32 %p0, %i, 16; @%p0 ret; bar.sync 0;", "16 of 32 lanes reach the barrier; the others have ended")]
    [TestCase("setp.lt.u32 %p0, %i, 32; @%p0 bra.uni OVER; bar.sync 0; OVER: ", "barrier that not all warps reach: 1 of 2 warps wait, 1 have ended", 64)]
    [TestCase("setp.lt.u32 %p0, %i, 16; @%p0 bra.uni OVER; mov.u32 %a0, 1; OVER: ", "marked .uni")]
    [TestCase("bar.sync 16;", "barrier 16")]
    [TestCase("setp.lt.u32 %p0, %i, 8; @%p0 shfl.sync.idx.b32 %a0, %i, 0, 31, 0xffffffff;", "the mask is 0xFFFFFFFF, but only lanes 0x000000FF are here")]
    [TestCase("setp.lt.u32 %p0, %i, 8; @%p0 shfl.sync.idx.b32 %a0, %i, 9, 31, 0xff;", "shuffles from lane 9, which does not take part")]
    [TestCase("trap;", "stopped itself")]
    [TestCase("setp.lt.u32 %p0, %i, 8; @%p0 ldmatrix.sync.aligned.m8n8.x1.shared.b16 {%a0}, [tile];", "8 of 32 lanes reach ldmatrix")]
    [TestCase("mov.f32 %f0, 0f00000000; mov.u32 %a0, 0; setp.lt.u32 %p0, %i, 8; @%p0 mma.sync.aligned.m16n8k8.row.col.f32.bf16.bf16.f32 {%f0,%f0,%f0,%f0}, {%a0,%a0}, {%a0}, {%f0,%f0,%f0,%f0};", "8 of 32 lanes reach mma")]
    [TestCase("cvta.to.global.u64 %w0, %in; cp.async.cg.shared.global [tile], [%w0+8], 16;", "not aligned to 16 bytes")]
    [TestCase("mov.u32 %a0, 24; cp.async.cg.shared.global [tile], [%in], 16, %a0;", "whose source has 24")]
    public void Faults(string body, string reason, int threads = 32) => Assert.That(Snippet.Fault(body, threads), Does.Contain(reason));

    [TestCase("st.shared.u32 [tile], %i;", "data race: writes shared address 0")]
    [TestCase("st.shared.u32 [tile], 1;", "data race: writes shared address 0")]
    [TestCase("st.global.u32 [%out], 1;", "data race: writes global address")]
    [TestCase("shl.b32 %a0, %i, 2; st.shared.u32 [%a0], %i; xor.b32 %a0, %a0, 128; setp.gt.u32 %p0, %i, 31; @%p0 ld.shared.u32 %a1, [%a0];", "data race: reads shared address", 64)]
    [TestCase("shl.b32 %a0, %i, 2; st.shared.u32 [%a0], %i; bar.sync 0; xor.b32 %a1, %a0, 128; ld.shared.u32 %a1, [%a1]; st.shared.u32 [%a0], %a1;", "data race: ", 64)]
    [TestCase("st.global.u32 [%mine], %i; xor.b32 %a0, %i, 32; mad.wide.u32 %w0, %a0, 4, %out; setp.gt.u32 %p0, %i, 31; @%p0 ld.global.u32 %a1, [%w0];", "data race: reads global address", 64)]
    [TestCase("setp.eq.u32 %p0, %i, 0; @%p0 st.shared.u32 [tile], 1; ld.shared.u32 %a0, [tile];", "data race: reads shared address 0")]
    [TestCase("shl.b32 %a0, %i, 2; st.shared.u32 [%a0], %i; xor.b32 %a0, %a0, 4; ld.shared.u32 %a1, [%a0];", "data race: reads shared address 4")]
    public void SeesRaces(string body, string reason, int threads = 32) => Assert.That(Snippet.Fault(body, threads), Does.Contain(reason));

    [Test]
    public void SeesRacesBetweenBlocks() => Assert.That(Snippet.Fault("setp.eq.u32 %p0, %i, 0; @%p0 st.global.u32 [%out], 1;", 32, blocks: 4), Does.Contain("in the same launch"));

    [Test]
    public void SeesAReadThatAnotherBlockOverwrites() =>
        Assert.That(Snippet.Fault("ld.global.u32 %a0, [%in]; mov.u32 %a1, %ctaid.x; or.b32 %a1, %a1, %i; setp.eq.u32 %p0, %a1, 0; @%p0 st.global.u32 [%in], 1;", 32, blocks: 4),
            Does.Contain("data race"));

    [TestCase("shl.b32 %a0, %i, 2; st.shared.u32 [%a0], %i; bar.sync 0; xor.b32 %a0, %a0, 128; ld.shared.u32 %a1, [%a0]; bar.sync 0; st.shared.u32 [%a0], %a1;")]
    [TestCase("setp.eq.u32 %p0, %i, 0; @%p0 st.shared.u32 [tile], 1; bar.sync 0; ld.shared.u32 %a0, [tile];")]
    [TestCase("setp.lt.u32 %p0, %i, 32; @!%p0 bra OVER; setp.eq.u32 %p1, %i, 0; @%p1 st.shared.u32 [tile], 1; bar.warp.sync 0xffffffff; ld.shared.u32 %a0, [tile]; OVER:")]
    [TestCase("shl.b32 %a0, %i, 2; st.shared.u32 [%a0], %i; bar.warp.sync 0xffffffff; xor.b32 %a0, %a0, 4; ld.shared.u32 %a1, [%a0];")]
    [TestCase("st.global.u32 [%mine], %i; bar.sync 0; xor.b32 %a0, %i, 32; mad.wide.u32 %w0, %a0, 4, %out; ld.global.u32 %a1, [%w0];")]
    [TestCase("ld.global.u32 %a0, [%in]; bar.sync 0; setp.eq.u32 %p0, %i, 0; @%p0 st.global.u32 [%in], 1;")]
    [TestCase("setp.eq.u32 %p0, %i, 0; @%p0 st.shared.u32 [tile], 0; bar.sync 0; atom.shared.add.u32 %a0, [tile], 1; bar.sync 0; ld.shared.u32 %a1, [tile];")]
    public void AllowsWhatIsOrdered(string body) => Snippet.Run<uint>(body, new uint[64], threads: 64);

    [Test]
    public void LastBlockMayReadWhatOthersLeft()
    {
        // Each block leaves its number + 1 and draws a ticket; the one that draws the last adds up.
        const string body = """
            mov.u32 %a0, %ctaid.x; add.u32 %a1, %a0, 1; mad.wide.u32 %w0, %a0, 4, %out;
            setp.eq.u32 %p0, %i, 0;
            @%p0 st.global.u32 [%w0], %a1;
            membar.gl;
            @%p0 atom.global.add.u32 %a2, [%in], 1;
            @%p0 st.shared.u32 [tile], %a2;
            bar.sync 0;
            ld.shared.u32 %a2, [tile];
            setp.ne.u32 %p1, %a2, 3;
            @%p1 ret;
            ld.global.u32 %a3, [%out]; ld.global.u32 %a4, [%out+4]; ld.global.u32 %a5, [%out+8]; ld.global.u32 %a6, [%out+12];
            add.u32 %a3, %a3, %a4; add.u32 %a3, %a3, %a5; add.u32 %a3, %a3, %a6;
            @%p0 st.global.u32 [%out+16], %a3;
            """;
        Assert.That(Snippet.Run<uint>(body, new uint[1], 32, out _, blocks: 4)[4], Is.EqualTo(10));
        string dropped = body.Replace("membar.gl;", "", StringComparison.Ordinal);
        Assert.That(() => Snippet.Run<uint>(dropped, new uint[1], 32, out _, blocks: 4), Throws.TypeOf<PtxFault>().With.Message.Contains("data race"));
    }

    [TestCase("cp.async.cg.shared.global [%a0], [%w0], 16; cp.async.commit_group; ld.shared.u32 %a1, [%a0];", "not waited for")]
    [TestCase("cp.async.cg.shared.global [%a0], [%w0], 16; cp.async.wait_group 0; ld.shared.u32 %a1, [%a0];", "not waited for")]
    [TestCase("cp.async.cg.shared.global [%a0], [%w0], 16; cp.async.commit_group; cp.async.wait_group 1; ld.shared.u32 %a1, [%a0];", "not waited for")]
    [TestCase("cp.async.cg.shared.global [%a0], [%w0], 16; cp.async.commit_group; st.shared.u32 [%a0], 1;", "not waited for")]
    [TestCase("cp.async.cg.shared.global [%a0], [%w0], 16; cp.async.wait_all; xor.b32 %a0, %a0, 512; setp.gt.u32 %p0, %i, 31; @%p0 ld.shared.u32 %a1, [%a0];", "data race: reads shared address")]
    public void SeesCopiesThatAreNotWaitedFor(string body, string reason) => Assert.That(Snippet.Fault(Copying(body), 64), Does.Contain(reason));

    [Test]
    public void CopiesAndFillsWithZero()
    {
        uint[] input = [.. Enumerable.Range(1, 256).Select(i => (uint)i)];
        uint[] result = Snippet.Run<uint>(Copying("""
            setp.lt.u32 %p0, %i, 32; selp.b32 %a2, 16, 4, %p0;
            cp.async.cg.shared.global [%a0], [%w0], 16, %a2;
            cp.async.commit_group;
            cp.async.wait_group 0;
            bar.sync 0;
            xor.b32 %a0, %a0, 512;
            ld.shared.v2.u32 {%a1, %a2}, [%a0];
            st.global.u32 [%mine], %a2;
            """), input, threads: 64);
        Assert.That(result, Is.EqualTo(Enumerable.Range(0, 64).Select(i => i < 32 ? 0u : (uint)((4 * (i - 32)) + 2))));
    }

    [Test]
    public void RefusesTooMuchSharedMemory()
    {
        Assert.That(() => PtxModule.Parse(Snippet.Module("", sharedBytes: 49156)), Throws.TypeOf<PtxFault>().With.Message.Contains("49156 bytes of static shared memory"));
        PtxEntry entry = PtxModule.Parse(Snippet.Module("")).Entries["Snippet"];
        using TestMemory memory = new();
        Assert.That(() => PtxMachine.Launch(entry, new Dim3(1), new Dim3(32), 228 * 1024, new byte[16], memory.Device), Throws.TypeOf<PtxFault>().With.Message.Contains("shared memory"));
        Assert.That(() => PtxMachine.Launch(entry, new Dim3(1), new Dim3(1025), 0, new byte[16], memory.Device), Throws.TypeOf<PtxFault>().With.Message.Contains("block not allowed"));
        Assert.That(() => PtxMachine.Launch(entry, new Dim3(1), new Dim3(32), 0, new byte[12], memory.Device), Throws.TypeOf<PtxFault>().With.Message.Contains("12 bytes of parameters"));
    }

    [Test]
    public void KnowsFreedMemory()
    {
        using TestMemory memory = new();
        nint address = memory.Upload<uint>(new uint[8]), output = memory.Allocate(128);
        memory.Device.Remove(address);
        nint[] parameters = [output, address];
        PtxEntry entry = PtxModule.Parse(Snippet.Module("ld.global.u32 %a0, [%in]; st.global.u32 [%mine], %a0;")).Entries["Snippet"];
        Assert.That(() => PtxMachine.Launch(entry, new Dim3(1), new Dim3(32), 0, System.Runtime.InteropServices.MemoryMarshal.AsBytes(parameters.AsSpan()), memory.Device),
            Throws.TypeOf<PtxFault>().With.Message.Contains("memory that was freed"));
    }

    private static string Copying(string body) => $"shl.b32 %a0, %i, 4; mad.wide.u32 %w0, %i, 16, %in; {body}";
}
