using System.Numerics;
using NUnit.Framework;

namespace Patching.Tests.Ptx;

/// <summary>Divergence, exchange between lanes, barriers with results, atomic operations, and what is counted.</summary>
internal sealed class WarpTests
{
    private static readonly uint[] s_none = new uint[64];

    [TestCase("shfl.sync.bfly.b32 %a0, %i, 5, 0x1f, 0xffffffff;", "i ^ 5")]
    [TestCase("shfl.sync.down.b32 %a0, %i, 4, 0x1f, 0xffffffff;", "i < 28 ? i + 4 : i")]
    [TestCase("shfl.sync.up.b32 %a0, %i, 4, 0, 0xffffffff;", "i >= 4 ? i - 4 : i")]
    [TestCase("shfl.sync.idx.b32 %a0, %i, 3, 0x181f, 0xffffffff;", "i & 24 | 3")]
    [TestCase("shfl.sync.down.b32 %a0|%p0, %i, 4, 0x181f, 0xffffffff; @!%p0 mov.u32 %a0, 99;", "i % 8 < 4 ? i + 4 : 99")]
    [TestCase("setp.lt.u32 %p0, %i, 7; vote.sync.ballot.b32 %a0, %p0, 0xffffffff;", "127")]
    [TestCase("setp.lt.u32 %p0, %i, 7; vote.sync.any.pred %p1, %p0, 0xffffffff; selp.b32 %a0, 1, 0, %p1;", "1")]
    [TestCase("setp.lt.u32 %p0, %i, 7; vote.sync.all.pred %p1, %p0, 0xffffffff; selp.b32 %a0, 1, 0, %p1;", "0")]
    [TestCase("and.b32 %a1, %i, 1; match.any.sync.b32 %a0, %a1, 0xffffffff;", "parity")]
    [TestCase("elect.sync _|%p0, 0xffffffff; selp.b32 %a0, 1, 0, %p0;", "i == 0 ? 1 : 0")]
    [TestCase("setp.lt.u32 %p0, %i, 7; bar.red.popc.u32 %a0, 0, %p0;", "7")]
    [TestCase("setp.lt.u32 %p0, %i, 7; bar.red.or.pred %p1, 0, %p0; selp.b32 %a0, 1, 0, %p1;", "1")]
    public void LanesExchangeValues(string instruction, string meaning)
    {
        Func<int, int> expected = meaning switch
        {
            "i ^ 5" => i => i ^ 5,
            "i < 28 ? i + 4 : i" => i => i < 28 ? i + 4 : i,
            "i >= 4 ? i - 4 : i" => i => i >= 4 ? i - 4 : i,
            "i & 24 | 3" => i => (i & 24) | 3,
            "i % 8 < 4 ? i + 4 : 99" => i => i % 8 < 4 ? i + 4 : 99,
            "i == 0 ? 1 : 0" => i => i == 0 ? 1 : 0,
            "parity" => i => i % 2 == 0 ? 0x55555555 : unchecked((int)0xAAAAAAAA),
            _ => _ => int.Parse(meaning, System.Globalization.CultureInfo.InvariantCulture),
        };
        uint[] result = Snippet.Run<uint>($"{instruction} st.global.u32 [%mine], %a0;", s_none);
        Assert.That(result, Is.EqualTo(Enumerable.Range(0, 32).Select(i => (uint)expected(i))));
    }

    [Test]
    public void LanesPartAndMeet()
    {
        // Collatz steps: every lane leaves the loop at its own time, and inside it takes one of two ways.
        uint[] result = Snippet.Run<uint>("""
            add.u32 %a0, %i, 1; mov.u32 %a1, 0;
            LOOP:
            setp.eq.u32 %p0, %a0, 1; @%p0 bra DONE;
            and.b32 %a2, %a0, 1; setp.eq.u32 %p1, %a2, 0; @%p1 bra EVEN;
            mad.lo.u32 %a0, %a0, 3, 1; bra NEXT;
            EVEN:
            shr.u32 %a0, %a0, 1;
            NEXT:
            add.u32 %a1, %a1, 1; bra LOOP;
            DONE:
            bar.sync 0;
            st.global.u32 [%mine], %a1;
            """, s_none, threads: 64);
        Assert.That(result, Is.EqualTo(Enumerable.Range(1, 64).Select(Steps)));

        static uint Steps(int n)
        {
            uint steps = 0;
            for (; n != 1; steps++) n = n % 2 == 0 ? n / 2 : (3 * n) + 1;
            return steps;
        }
    }

    [Test]
    public void LanesJumpByTable()
    {
        uint[] result = Snippet.Run<uint>("""
            rem.u32 %a0, %i, 3;
            TABLE: .branchtargets A, B, C;
            brx.idx %a0, TABLE;
            A: mov.u32 %a1, 10; bra OVER;
            B: mov.u32 %a1, 20; bra OVER;
            C: mov.u32 %a1, 30;
            OVER:
            bar.sync 0;
            st.global.u32 [%mine], %a1;
            """, s_none);
        Assert.That(result, Is.EqualTo(Enumerable.Range(0, 32).Select(i => (uint)(10 * ((i % 3) + 1)))));
    }

    [Test]
    public void NamedBarriersOrderTheirWarps()
    {
        const string body = """
            shl.b32 %a0, %i, 2;
            setp.ge.u32 %p0, %i, 64; @%p0 bra OVER;
            st.shared.u32 [%a0], %i;
            bar.sync 1, 64;
            xor.b32 %a0, %a0, 128;
            ld.shared.u32 %a1, [%a0];
            st.global.u32 [%mine], %a1;
            OVER:
            """;
        Assert.That(Snippet.Run<uint>(body, s_none, threads: 96)[..64], Is.EqualTo(Enumerable.Range(0, 64).Select(i => (uint)(i ^ 32))));
        Assert.That(Snippet.Fault(body.Replace("1, 64", "1, 96", StringComparison.Ordinal), 96), Does.Contain("not all warps reach"));
    }

    [TestCase("add", 496u)]
    [TestCase("max", 31u)]
    [TestCase("or", 31u)]
    public void AtomicsAreAtomic(string operation, uint expected)
    {
        uint[] result = Snippet.Run<uint>($"""
            setp.eq.u32 %p0, %i, 0; @%p0 st.shared.u32 [tile], 0; bar.sync 0;
            red.shared.{operation}.u32 [tile], %i;
            bar.sync 0; ld.shared.u32 %a0, [tile]; st.global.u32 [%mine], %a0;
            """, s_none);
        Assert.That(result, Has.All.EqualTo(expected));
    }

    [Test]
    public void FloatAtomicsAreReported()
    {
        Snippet.Run<uint>("red.global.add.f32 [%in], 0f3F800000;", s_none, 64, out LaunchStatistics statistics);
        Assert.That(statistics.FloatAtomics, Is.EqualTo(64));
    }

    // A stride in words between the lanes' words, and how many passes too many that takes.
    [TestCase(1, 1, 0)]
    [TestCase(2, 1, 1)]
    [TestCase(32, 1, 31)]
    [TestCase(33, 1, 0)]
    [TestCase(0, 1, 0)]
    [TestCase(2, 2, 0)]
    [TestCase(4, 4, 0)]
    [TestCase(8, 4, 4)]
    [TestCase(32, 4, 28)]
    public void CountsBankConflicts(int stride, int words, int conflicts)
    {
        string registers = words switch { 1 => "%a1", 2 => "{%a1, %a2}", _ => "{%a1, %a2, %a3, %a4}" };
        string vector = words == 1 ? "" : $".v{words}";
        LaunchStatistics statistics = Fill($"mul.lo.u32 %a0, %i, {4 * stride}; ld.shared{vector}.u32 {registers}, [%a0];");
        Assert.That(statistics.BankConflictsOf(InstructionClass.LoadShared), Is.EqualTo(conflicts));

        // Thread i fills words i, i + 32, ... first.
        static LaunchStatistics Fill(string body)
        {
            string fill = string.Concat(Enumerable.Range(0, 36).Select(i => $"st.shared.u32 [%a5+{128 * i}], 0;"));
            string text = Snippet.Module($"shl.b32 %a5, %i, 2; {fill} bar.sync 0; {body}", sharedBytes: 8192);
            using TestMemory memory = new();
            return PtxMachine.Launch(PtxModule.Parse(text).Entries["Snippet"], new Dim3(1), new Dim3(32), 0, new byte[16], memory.Device);
        }
    }

    [TestCase(4, 4L, 4L)]
    [TestCase(8, 8L, 4L)]
    [TestCase(32, 32L, 4L)]
    [TestCase(0, 1L, 1L)]
    public void CountsSectors(int stride, long sectors, long ideal)
    {
        Snippet.Run<uint>($"mad.wide.u32 %w0, %i, {stride}, %in; ld.global.u32 %a0, [%w0];", new uint[256], 32, out LaunchStatistics statistics);
        Counters counters = statistics.Instructions.Single(item => item.Operation.Class == InstructionClass.LoadGlobal).Counters;
        Assert.That((counters.Sectors, counters.IdealSectors), Is.EqualTo((sectors, ideal)));
        Assert.That(statistics.Count(InstructionClass.LoadGlobal, bytes: 4), Is.EqualTo(1));
    }

    [Test]
    public void LoadsMatricesTransposed()
    {
        // Element (row, column) of the 8 x 8 matrix is 8 row + column.
        uint[] result = Snippet.Run<uint>("""
            shl.b32 %a0, %i, 1; shl.b32 %a1, %a0, 16; add.u32 %a1, %a1, 65536; or.b32 %a1, %a1, %a0;
            shl.b32 %a2, %i, 2; st.shared.u32 [%a2], %a1; bar.sync 0;
            and.b32 %a3, %i, 7; shl.b32 %a3, %a3, 4;
            ldmatrix.sync.aligned.m8n8.x1.trans.shared.b16 {%a4}, [%a3];
            st.global.u32 [%mine], %a4;
            """, s_none);
        Assert.That(result, Is.EqualTo(Enumerable.Range(0, 32).Select(lane =>
            (uint)((16 * (lane % 4)) + (lane / 4)) | ((uint)((16 * (lane % 4)) + 8 + (lane / 4)) << 16))));
        Assert.That(BitOperations.PopCount(result[0]), Is.EqualTo(1));
    }
}
