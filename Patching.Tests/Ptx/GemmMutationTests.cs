using System.Runtime.InteropServices;
using System.Text.RegularExpressions;
using ILGPU;
using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Ptx;

/// <summary>
/// A correct kernel on the tensor cores gives the right product; damaged in the ways that kernels go wrong, it is found out.
/// </summary>
internal sealed class GemmMutationTests
{
    private const int M = 72, N = 80, K = 96;

    private static readonly Lazy<string> s_text = new(() => PtxCompiler.Compile(new CudaKernel(
        (Action<ArrayView<Word4>, ArrayView<Word4>, ArrayView<float>, int, int, int>)TensorCoreGemm.Kernel, TensorCoreGemm.Threads)));

    [Test]
    public void CorrectKernelIsCorrect()
    {
        (double error, LaunchStatistics statistics) = Run(s_text.Value);
        Assert.That(error, Is.LessThan(1e-4));
        Assert.That(statistics.BankConflicts, Is.Zero);
        Assert.That(statistics.Count(InstructionClass.Mma), Is.EqualTo(4 * 4 * (K / 16) * 8));
    }

    // In the kernel's text there are two barriers: after the wait for the tile, and before the next step overwrites it.
    [TestCase(1, TestName = "DroppedBarrierAfterTheCopiesIsARace")]
    [TestCase(2, TestName = "DroppedBarrierBeforeTheNextCopiesIsARace")]
    public void DroppedBarrierIsARace(int which) => AssertFault(Drop(s_text.Value, "bar.sync", which), "data race|nothing was written|not waited for");

    [Test]
    public void DroppedWaitIsSeen() => AssertFault(Drop(s_text.Value, "cp.async.wait_group", 1), "not waited for");

    [Test]
    public void WaitForOneGroupTooFewIsSeen() =>
        AssertFault(s_text.Value.Replace("cp.async.wait_group 1", "cp.async.wait_group 2", StringComparison.Ordinal), "not waited for");

    [Test]
    public void DroppedCommitIsSeen() => AssertFault(Drop(s_text.Value, "cp.async.commit_group", 1), "not waited for");

    [Test]
    public void MissingZeroFillReadsPastTheEnd()
    {
        // The ragged edge without its guard: all rows load 16 bytes, at the row they would have.
        string text = Regex.Replace(s_text.Value, @"(cp\.async\.cg\.shared\.global \[[^]]*\], \[[^]]*\], 16), [^;]*;", "$1;");
        text = Regex.Replace(text, @"selp\.b32\s+(%r\d+), (%r\d+), 0, (%p\d+);", "mov.b32 $1, $2;");
        AssertFault(text, "outside of all allocations");
    }

    [Test]
    public void WritesPastTheEndAreSeen()
    {
        // The kernel believes that all rows are there.
        Assert.That(() => Run(s_text.Value, rowsTold: 128), Throws.TypeOf<PtxFault>().With.Message.Contains("outside of all allocations"));
    }

    [Test]
    public void WrongLaneGivesWrongNumbers()
    {
        string text = ReplaceFirst(s_text.Value, "ldmatrix.sync.aligned.m8n8.x4.shared.b16", "ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16");
        Assert.That(Run(text).Error, Is.GreaterThan(0.1));
    }

    [Test]
    public void WrongFragmentOrderGivesWrongNumbers()
    {
        string text = Regex.Replace(s_text.Value, @"(mma\.sync\S+ \{[^}]*\}, \{[^}]*\}, )\{(%r\d+), (%r\d+)\}", "$1{$3, $2}");
        Assert.That(Run(text).Error, Is.GreaterThan(0.1));
    }

    [Test]
    public void MissingSwizzleIsConflicts()
    {
        // Without the exclusive or, writer and reader still agree: right numbers, but eight rows share two bank groups.
        string text = Regex.Replace(s_text.Value, @"xor\.b32\s+(%r\d+), (%r\d+), (%r\d+);", "mov.b32 $1, $2;");
        (double error, LaunchStatistics statistics) = Run(text);
        Assert.That(error, Is.LessThan(1e-4));
        Assert.That(statistics.BankConflictsOf(InstructionClass.LoadMatrix), Is.EqualTo(3 * 4 * statistics.Count(InstructionClass.LoadMatrix)));
    }

    [Test]
    public void SwizzleOfOneSideGivesWrongNumbers()
    {
        // The reader's exclusive or, the last in the text, becomes a move.
        int at = s_text.Value.LastIndexOf("xor.b32", StringComparison.Ordinal);
        string text = s_text.Value[..at] + Regex.Replace(s_text.Value[at..], @"^xor\.b32\s+(%r\d+), (%r\d+), (%r\d+);", "mov.b32 $1, $2;");
        Assert.That(Run(text).Error, Is.GreaterThan(0.1));
    }

    [Test]
    public void UninitialisedAccumulatorIsSeen()
    {
        string text = Regex.Replace(s_text.Value, @"mov\.f32\s+%f1, 0f00000000;", "");
        AssertFault(text, "before anything is written");
    }

    private static void AssertFault(string text, string reason)
    {
        Assert.That(text, Is.Not.EqualTo(s_text.Value), "the mutation changed nothing");
        Assert.That(() => Run(text), Throws.TypeOf<PtxFault>().With.Message.Matches(reason));
    }

    private static string ReplaceFirst(string text, string old, string replacement)
    {
        int at = text.IndexOf(old, StringComparison.Ordinal);
        Assert.That(at, Is.GreaterThan(0));
        return text[..at] + replacement + text[(at + old.Length)..];
    }

    // Takes away the n-th line with an instruction.
    private static string Drop(string text, string instruction, int which)
    {
        List<string> lines = [.. text.Split('\n')];
        int[] found = [.. Enumerable.Range(0, lines.Count).Where(i => lines[i].Contains(instruction, StringComparison.Ordinal))];
        Assert.That(found, Has.Length.GreaterThanOrEqualTo(which));
        lines.RemoveAt(found[which - 1]);
        return string.Join('\n', lines);
    }

    /// <summary>Runs the kernel and returns the greatest error; the sums have about 40 terms of size 1.</summary>
    private static unsafe (double Error, LaunchStatistics Statistics) Run(string text, int rowsTold = M)
    {
        using TestMemory memory = new();
        Random random = new(1);
        ushort[] a = Values(M * K), b = Values(N * K);
        nint left = memory.Upload<ushort>(a), right = memory.Upload<ushort>(b), output = memory.Allocate(M * N * 4);
        PtxEntry entry = PtxModule.Parse(text).Entries.Values.Single();
        byte[] parameters = new byte[entry.ParameterBytes];
        Set(0, left, M * K / 8);
        Set(1, right, N * K / 8);
        Set(2, output, M * N);
        MemoryMarshal.Cast<byte, int>(parameters.AsSpan(entry.Parameters[3].Offset))[0] = rowsTold;
        MemoryMarshal.Cast<byte, int>(parameters.AsSpan(entry.Parameters[4].Offset))[0] = N;
        MemoryMarshal.Cast<byte, int>(parameters.AsSpan(entry.Parameters[5].Offset))[0] = K;
        LaunchStatistics statistics = PtxMachine.Launch(entry, new Dim3((N + 63) / 64, (M + 63) / 64), new Dim3(TensorCoreGemm.Threads), 0, parameters, memory.Device);
        float[] c = TestMemory.Download<float>(output, M * N);
        double worst = 0;
        for (int row = 0; row < M; row++)
        {
            for (int column = 0; column < N; column++)
            {
                double sum = 0;
                for (int i = 0; i < K; i++) sum += (double)Numbers.FromBFloat(a[(row * K) + i]) * Numbers.FromBFloat(b[(column * K) + i]);
                worst = Math.Max(worst, Math.Abs(sum - c[(row * N) + column]));
            }
        }
        return (worst, statistics);

        ushort[] Values(int count) => [.. Enumerable.Range(0, count).Select(_ => Numbers.ToBFloat(random.NextSingle() - 0.5f))];

        void Set(int parameter, nint address, long length)
        {
            Span<long> view = MemoryMarshal.Cast<byte, long>(parameters.AsSpan(entry.Parameters[parameter].Offset));
            (view[0], view[1]) = (address, length);
        }
    }
}
