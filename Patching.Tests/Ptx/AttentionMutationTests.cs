using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Ptx;

/// <summary>The flash attention kernels, damaged: each damage is found by the interpreter or gives wrong numbers.</summary>
internal sealed class AttentionMutationTests : MutationTest
{
    private static readonly string[] Kernels = ["OneTileForward64", "Forward64", "OneTileBackward64", "QueryGradient64", "KeyValueGradient64"];

    /// <inheritdoc/>
    protected override void Prepare()
    {
        foreach (string kernel in Kernels)
        {
            // One ragged tile, or one and a ragged one.
            int tokens = kernel.StartsWith("OneTile", StringComparison.Ordinal) ? 50 : 81;
            AttentionShape shape = new(1, tokens, 1, 64);
            Tensor qkv = Keep(ElementType.BFloat16, Normal(3L * tokens * 64), tokens, 192), dy = Keep(ElementType.BFloat16, Normal(tokens * 64L), tokens, 64);
            Tensor y = Keep(ElementType.BFloat16, tokens, 64), dqkv = Keep(ElementType.BFloat16, tokens, 192);
            Tensor saved = Keep(ElementType.Float32, 1, 1, tokens), delta = Keep(ElementType.Float32, 1, 1, tokens);
            Attention.Forward(Device, y, saved, qkv, shape, causal: false);
            bool forward = kernel.Contains("Forward", StringComparison.Ordinal);
            if (!forward) Attention.Backward(Device, dqkv, dy, y, qkv, saved, delta, shape, causal: false);
            Remember(kernel, forward ? y : dqkv);
        }
    }

    [Test]
    public void AWaitForCopiesIsMissed([ValueSource(nameof(Kernels))] string kernel) =>
        AssertFault(kernel, text => Mutation.Drop(text, "cp.async.wait_"), Race);

    /// <summary>A barrier makes the copies of others visible, frees what is overwritten, or hands numbers to other warps.</summary>
    [Test]
    public void BarriersAreMissed([ValueSource(nameof(Kernels))] string kernel) => AssertFault(kernel, text => Mutation.Drop(text, "bar.sync"), Race);

    [Test]
    public void ABarrierOfManyIsMissed([Values("Forward64", "QueryGradient64", "KeyValueGradient64")] string kernel) =>
        AssertFault(kernel, text => Mutation.Drop(text, "bar.sync", which: 1), Race);

    [Test]
    public void TheBarrierBeforeTheGradientsOfScoresAreReadIsMissed() =>
        AssertFault("OneTileBackward64", text => Mutation.Drop(text, "bar.sync", which: -1), Race);

    [Test]
    public void WrongLanesGiveWrongNumbers([Values("OneTileForward64", "Forward64")] string kernel) =>
        AssertWrong(kernel, text => Mutation.Replace(text, @"shfl\.sync\.bfly\.b32(.*), 1, 31,", "shfl.sync.bfly.b32$1, 4, 31,"));

    [Test]
    public void TransposedBlocksGiveWrongNumbers([ValueSource(nameof(Kernels))] string kernel) =>
        AssertWrong(kernel, text => Mutation.Replace(text, @"ldmatrix\.sync\.aligned\.m8n8\.x4\.shared", "ldmatrix.sync.aligned.m8n8.x4.trans.shared"));

    [Test]
    public void ExchangedOperandsGiveWrongNumbers([ValueSource(nameof(Kernels))] string kernel) => AssertWrong(
        kernel, text => Mutation.Replace(text, @"(mma\.sync\S+ \{[^}]*\}, \{[^}]*\}, )\{(%\w+), (%\w+)\}", "$1{$3, $2}"));

    [Test]
    public void KeysThatDoNotExistMustBeHidden([Values("OneTileForward64", "Forward64")] string kernel) =>
        AssertWrong(kernel, text => Mutation.Replace(text, @"selp\.f32 (%\w+), (%\w+), 0fFF800000, %keep;", "mov.f32 $1, $2;"));

    [Test]
    public void WithoutSwizzleOnOneSideNumbersAreWrong([Values("OneTileForward64", "Forward64")] string kernel) =>
        AssertWrong(kernel, text => Mutation.Replace(text, @"xor\.b32 %x1, (%r\d+), 32;", "mov.b32 %x1, $1;"));
}
