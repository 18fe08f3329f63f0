using NUnit.Framework;
using Patching.Kernels;
using Patching.Tests.Kernels.Cuda;

namespace Patching.Tests.Ptx;

/// <summary>The flash attention kernels, damaged: each damage is found by the interpreter or gives wrong numbers.</summary>
internal sealed class AttentionMutationTests : CudaKernelTest
{
    private const string Race = "data race|nothing was written|not waited for";

    private static readonly string[] Kernels = ["OneTileForward64", "Forward64", "OneTileBackward64", "QueryGradient64", "KeyValueGradient64"];

    private Tensor output;
    private float[] expected = [];

    [Test]
    public void AWaitForCopiesIsMissed([ValueSource(nameof(Kernels))] string kernel) =>
        AssertFault(kernel, text => Mutation.Drop(text, "cp.async.wait_"), "not waited for");

    // The first barrier makes the copies of others visible, the last one frees what is overwritten, or hands sums to other warps.
    [Test]
    public void ABarrierIsMissed([ValueSource(nameof(Kernels))] string kernel, [Values(1, -1)] int which) =>
        AssertFault(kernel, text => Mutation.Drop(text, "bar.sync", which), Race);

    [Test]
    public void WrongLanesGiveWrongNumbers([Values("OneTileForward64", "Forward64", "QueryGradient64")] string kernel) =>
        AssertWrong(kernel, text => Mutation.Replace(text, @"shfl\.sync\.bfly\.b32(.*), 1, 31,", "shfl.sync.bfly.b32$1, 4, 31,"));

    [Test]
    public void TransposedBlocksGiveWrongNumbers([ValueSource(nameof(Kernels))] string kernel) =>
        AssertWrong(kernel, text => Mutation.Replace(text, @"ldmatrix\.sync\.aligned\.m8n8\.x4\.shared", "ldmatrix.sync.aligned.m8n8.x4.trans.shared", which: 1));

    [Test]
    public void ExchangedOperandsGiveWrongNumbers([ValueSource(nameof(Kernels))] string kernel) => AssertWrong(
        kernel, text => Mutation.Replace(text, @"(mma\.sync\S+ \{[^}]*\}, \{[^}]*\}, )\{(%\w+), (%\w+)\}", "$1{$3, $2}", which: -1));

    [Test]
    public void KeysThatDoNotExistMustBeHidden([Values("OneTileForward64", "Forward64", "OneTileBackward64", "QueryGradient64")] string kernel) =>
        AssertWrong(kernel, text => Mutation.Replace(text, @"selp\.f32 (%\w+), (%\w+), 0fFF800000, %keep;", "mov.f32 $1, $2;"));

    [Test]
    public void WithoutSwizzleOnOneSideNumbersAreWrong([Values("OneTileForward64", "Forward64")] string kernel) =>
        AssertWrong(kernel, text => Mutation.Replace(text, @"xor\.b32 %x1, (%r\d+), 32;", "mov.b32 %x1, $1;", which: 1));

    /// <summary>Runs forward and backward over two or one tiles, ragged, and finds the kernel's launch.</summary>
    private StandInLaunch Launch(string kernel)
    {
        if (Driver is null) Assert.Ignore("needs the interpreter");
        int tokens = kernel.StartsWith("OneTile", StringComparison.Ordinal) ? 50 : 81;
        AttentionShape shape = new(1, tokens, 1, 64);
        Tensor qkv = BFloats(Normal(3L * shape.Rows * shape.Width), shape.Rows, 3 * shape.Width), y = PoisonedBFloats(shape.Rows, shape.Width);
        Tensor saved = Poisoned(1, 1, tokens), dqkv = PoisonedBFloats(shape.Rows, 3 * shape.Width);
        Attention.Forward(Device, y, saved, qkv, shape, causal: false);
        Attention.Backward(Device, dqkv, BFloats(Normal((long)shape.Rows * shape.Width), shape.Rows, shape.Width), y, qkv, saved, Poisoned(1, 1, tokens), shape, causal: false);
        output = kernel.Contains("Forward", StringComparison.Ordinal) ? y : dqkv;
        expected = Contents(output);
        return Launches.Single(launch => launch.Entry.Name.StartsWith(kernel, StringComparison.Ordinal));
    }

    private void AssertFault(string kernel, Func<string, string> damage, string reason)
    {
        StandInLaunch launch = Launch(kernel);
        Assert.That(() => Driver!.Repeat(launch, damage(launch.Text)), Throws.TypeOf<PtxFault>().With.Message.Matches(reason));
    }

    private void AssertWrong(string kernel, Func<string, string> damage)
    {
        StandInLaunch launch = Launch(kernel);
        Driver!.Repeat(launch, damage(launch.Text));
        Assert.That(expected.Zip(Contents(output), (a, b) => Math.Abs(a - b)).Max(), Is.GreaterThan(0.05 * expected.Max(Math.Abs)).Or.NaN);
    }
}
