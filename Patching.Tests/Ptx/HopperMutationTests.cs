using System.Runtime.InteropServices;
using NUnit.Framework;
using Patching.Kernels;

namespace Patching.Tests.Ptx;

/// <summary>
/// The kernels for the tensor cores of sm_90a, damaged in the ways that such kernels go wrong: each damage is found by the interpreter or gives wrong numbers.
/// One group computes two tiles, with more stages than its ring has.
/// </summary>
internal sealed class HopperMutationTests : MutationTest
{
    private const string Together = "WgmmaWideForwardKernel", Alternating = "WgmmaAlternatingForwardKernel", WithSums = "WgmmaWideBackwardWeightKernel";
    private const string TryWait = @"mbarrier\.try_wait\.parity\.shared::cta\.b64 %p, (\[[^]]*\]), (%r\d+); selp\.b32 (%r\d+), 1, 0, %p;";

    // In the text the consumers come before the producer.
    private const int Consumer = 1, Producer = -1;

    /// <inheritdoc/>
    protected override void Prepare()
    {
        Device.ResidentGroups = 1;
        // Rings have four and six stages. Alternating warpgroups skip a tile, and need a tile longer than two rounds to go astray.
        Forward(Together, TileSize.WgmmaWide, inputs: 3 * 64);
        Forward(Alternating, TileSize.WgmmaAlternating, inputs: 13 * 64);
        const int rows = 72, inputs = 64, outputs = 64;
        Tensor dy = Keep(ElementType.BFloat16, Normal(rows * outputs), rows, outputs), x = Keep(ElementType.BFloat16, Normal(rows * inputs), rows, inputs);
        Tensor dw = Keep(ElementType.Float32, new float[outputs * inputs], outputs, inputs), dbias = Keep(ElementType.Float32, new float[outputs], outputs);
        Gemm.BackwardWeightCuda(Device, dw, dbias, dy, x, default, TileSize.WgmmaWide);
        Remember(WithSums, dw);
    }

    [Test]
    public void AWaitForTheCopyIsMissed([Values(Together, Alternating)] string kernel) =>
        AssertFault(kernel, text => Mutation.Replace(text, TryWait, "mov.b32 $3, 1;", Consumer), Race);

    [Test]
    public void AWaitForAnEmptyStageIsMissed([Values(Together, Alternating)] string kernel) =>
        AssertFault(kernel, text => Mutation.Replace(text, TryWait, "mov.b32 $3, 1;", Producer), $"{Race}|arrivals at an mbarrier");

    [TestCase(Consumer, Race, TestName = "TheConsumersWrongParityLetsThemRunAhead")]
    [TestCase(Producer, "never completes", TestName = "TheProducersWrongParityWaitsForever")]
    public void WrongParity(int which, string reason) => AssertFault(Together, text => Mutation.Replace(
        text, TryWait,
        ".reg .b32 %other; xor.b32 %other, $2, 1; mbarrier.try_wait.parity.shared::cta.b64 %p, $1, %other; selp.b32 $3, 1, 0, %p;", which), reason);

    [Test]
    public void AStageThatNobodyGivesBackIsMissed([Values(Together, Alternating)] string kernel) =>
        AssertFault(kernel, text => Mutation.Drop(text, "mbarrier.arrive.shared::cta", which: 1), "never completes");

    [Test]
    public void AStageGivenBackTooEarlyIsARace() =>
        AssertFault(Alternating, text => Mutation.Replace(text, @"wgmma\.wait_group\.sync\.aligned 1", "wgmma.wait_group.sync.aligned 2"), Race);

    [TestCase(16384, Race + "|never completes", TestName = "TooFewExpectedBytesAreMissed")]
    [TestCase(49168, "never completes", TestName = "TooManyExpectedBytesAreMissed")]
    public void WrongBytes(int bytes, string reason) => AssertFault(
        Together, text => Mutation.Replace(text, @"mbarrier\.arrive\.expect_tx(\S+) _, (\[[^]]*\]), \S+;", $"mbarrier.arrive.expect_tx$1 _, $2, {bytes};"), reason);

    [TestCase("wgmma.fence", Together, "without wgmma.fence", TestName = "SumsWithoutFenceAreMissed")]
    [TestCase("wgmma.wait_group.sync.aligned 0", Together, "wgmma still computes", TestName = "SumsReadBeforeTheirWaitAreMissed")]
    [TestCase("fence.mbarrier_init", Together, "without fence.mbarrier_init", TestName = "BarriersUnknownToTheCopyEngineAreMissed")]
    [TestCase("fence.proxy.async", WithSums, "without fence.proxy.async", TestName = "OnesUnknownToTheMatrixUnitAreMissed")]
    public void DroppedFence(string instruction, string kernel, string reason) => AssertFault(kernel, text => Mutation.Drop(text, instruction), reason);

    /// <summary>With more stages than two rounds of the ring, a parity of the future is one of the past.</summary>
    [Test]
    public void WarpgroupsThatDoNotTakeTurnsAreMissed() =>
        AssertFault(Alternating, text => Mutation.Replace(text, @"bar\.sync (%r\d+), 256;", ""), $"{Race}|never completes|arrivals at an mbarrier");

    [Test]
    public void RegistersThatAreNotThereAreMissed() =>
        AssertFault(Together, text => Mutation.Replace(text, @"setmaxnreg\.inc\.sync\.aligned\.u32 232", "setmaxnreg.inc.sync.aligned.u32 240"), "one waits forever");

    [Test]
    public void ATransposedOperandGivesWrongNumbers() => AssertWrong(Together, text => Mutation.Replace(text, "1, 1, 0, 0; }", "1, 1, 0, 1; }"));

    [Test]
    public void ExchangedCoordinatesGiveWrongNumbers() => AssertWrong(Together, text => Mutation.Replace(
        text, @"cp\.async\.bulk\.tensor(\S+) (\[[^]]*\]), \[(%\w+), \{(%r\d+), (%r\d+)\}\]", "cp.async.bulk.tensor$1 $2, [$3, {$5, $4}]"));

    /// <summary>Bits of a descriptor: the swizzle, the distance of atoms, the place.</summary>
    [TestCase(62, TestName = "ADescriptorWithoutSwizzleGivesWrongNumbers")]
    [TestCase(38, TestName = "ADescriptorWithAnotherStrideGivesWrongNumbers")]
    [TestCase(1, TestName = "ADescriptorOfAnotherPlaceGivesWrongNumbers")]
    public void WrongDescriptor(int bit) => AssertWrong(Together, text => Mutation.Replace(
        text, @"(wgmma\.mma_async\S+ \{[^}]*\}, )(%rd\d+),", $".reg .b64 %wrong; xor.b64 %wrong, $2, {1UL << bit}; $1%wrong,"));

    [Test]
    public void AMapWithoutSwizzleGivesWrongNumbers() => AssertWrongParameters(Together, parameters =>
    {
        TensorMap map = MemoryMarshal.Read<TensorMap>(parameters);
        map.Swizzle = (byte)TensorSwizzle.None;
        map.CopyTo(parameters);
    });

    [Test]
    public void SumsStagedAtAWrongPlaceAreWrong([Values(Together, Alternating)] string kernel) =>
        AssertWrong(kernel, text => Mutation.Replace(text, @"xor\.b32 %group, (%r\d+), 32;", "xor.b32 %group, $1, 64;"));

    [Test]
    public void StagedSumsReadAtAWrongPlaceAreWrong() =>
        AssertWrong(Together, text => Mutation.Replace(text, @"xor\.b32 %odd, (%r\d+), 64;", "mov.b32 %odd, $1;"));

    [Test]
    public void StagedSumsReadTooEarlyAreARace() => AssertFault(Together, text => Mutation.Drop(text, "bar.warp.sync"), Race);

    [Test]
    public void RowsPastTheEndAreMissed([Values(Together, Alternating)] string kernel) => AssertFault(
        kernel, text => Mutation.Replace(text, @"setp\.gt\.s32 %is, (%r\d+), 6;", "setp.gt.s32 %is, $1, 0;"), "outside of all allocations");

    [Test]
    public void ADistanceOfOneRowGivesWrongNumbers() => AssertWrong(
        Together, text => Mutation.Replace(text, @"mul\.wide\.u32 %step, (%r\d+), 32;", "mul.wide.u32 %step, $1, 16;"));

    private void Forward(string kernel, TileSize tile, int inputs)
    {
        const int rows = 133, outputs = 128;
        Tensor y = Keep(ElementType.Float32, rows, outputs);
        Tensor x = Keep(ElementType.BFloat16, Normal(rows * inputs), rows, inputs), w = Keep(ElementType.BFloat16, Normal(outputs * inputs), outputs, inputs);
        Gemm.ForwardCuda(Device, y, x, w, default, tile);
        Remember(kernel, y);
    }
}
