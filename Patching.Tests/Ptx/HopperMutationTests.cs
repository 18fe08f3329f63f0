using System.Runtime.InteropServices;
using NUnit.Framework;
using Patching.Kernels;
using Patching.Tests.Kernels.Cuda;

namespace Patching.Tests.Ptx;

/// <summary>
/// The kernels for the tensor cores of sm_90a, damaged in the ways that such kernels go wrong: each damage is found by the interpreter or gives wrong numbers.
/// One group computes two tiles of five stages with a ring of six (warpgroups alternate) or four (they work together), so that the ring goes round in both.
/// </summary>
internal sealed class HopperMutationTests : CudaKernelTest
{
    private const int Rows = 136, Inputs = 5 * 64, Outputs = 128;
    private const string Race = "data race|not waited for|nothing was written|being written";
    private const string TryWait = @"mbarrier\.try_wait\.parity\.shared::cta\.b64 %p, (\[[^]]*\]), (%r\d+); selp\.b32 (%r\d+), 1, 0, %p;";

    private float[] expected = [];
    private Tensor y;

    [Test]
    public void AWaitForTheCopyIsMissed([Values] bool alternating) =>
        AssertFault(alternating, text => Mutation.Replace(text, TryWait, "mov.b32 $3, 1;", which: -1), Race);

    [Test]
    public void AWaitForAnEmptyStageIsMissed([Values] bool alternating) =>
        AssertFault(alternating, text => Mutation.Replace(text, TryWait, "mov.b32 $3, 1;", which: 1), Race);

    [TestCase(-1, Race, TestName = "TheConsumersWrongParityLetsThemRunAhead")]
    [TestCase(1, "never completes", TestName = "TheProducersWrongParityWaitsForever")]
    public void WrongParity(int which, string reason) => AssertFault(false, text => Mutation.Replace(
        text, TryWait,
        ".reg .b32 %other; xor.b32 %other, $2, 1; mbarrier.try_wait.parity.shared::cta.b64 %p, $1, %other; selp.b32 $3, 1, 0, %p;", which), reason);

    [Test]
    public void AStageThatNobodyGivesBackIsMissed([Values] bool alternating) =>
        AssertFault(alternating, text => Mutation.Drop(text, "mbarrier.arrive.shared::cta", which: -1), "never completes");

    [TestCase("wgmma.wait_group.sync.aligned 1", "wgmma.wait_group.sync.aligned 2", TestName = "AStageGivenBackTooEarlyIsARace")]
    [TestCase(@"mbarrier\.arrive\.expect_tx(\S+) _, (\[[^]]*\]), \S+;", "mbarrier.arrive.expect_tx$1 _, $2, 16384;", TestName = "BytesThatAreNotExpectedAreARace")]
    public void TooEarly(string pattern, string replacement) =>
        AssertFault(true, text => Mutation.Replace(text, pattern, replacement), Race + "|never completes|still under way");

    [TestCase("wgmma.fence", "without wgmma.fence", TestName = "WithoutFenceTheSumsAreNotOrdered")]
    [TestCase("wgmma.wait_group.sync.aligned 0", "wgmma still computes", TestName = "SumsReadBeforeTheirWaitAreMissed")]
    [TestCase("fence.mbarrier_init", "without fence.mbarrier_init", TestName = "BarriersUnknownToTheCopyEngineAreMissed")]
    [TestCase("bar.warp.sync", "data race|nothing was written", TestName = "TilesReadBeforeTheyAreWrittenAreMissed")]
    public void Dropped(string instruction, string reason) => AssertFault(false, text => Mutation.Drop(text, instruction), reason);

    [Test]
    public void WithoutProxyFenceTheMatrixUnitSeesNoOnes()
    {
        UseOneGroup();
        const int inputs = 64, outputs = 64;
        Tensor dy = BFloats(Normal(Rows * outputs), Rows, outputs), x = BFloats(Normal(Rows * inputs), Rows, inputs);
        Tensor dw = Tensor(new float[outputs * inputs], outputs, inputs), dbias = Tensor(new float[outputs], outputs);
        Gemm.BackwardWeightCuda(Device, dw, dbias, dy, x, default, TileSize.WgmmaWide);
        AssertFault(Launches[^1], text => Mutation.Drop(text, "fence.proxy.async"), "without fence.proxy.async");
    }

    /// <summary>With more stages than two rounds of the ring, a parity of the future is one of the past.</summary>
    [Test]
    public void WarpgroupsThatDoNotTakeTurnsAreMissed() =>
        AssertFault(Launch(alternating: true, inputs: 13 * 64), text => Mutation.Replace(text, @"bar\.sync (%r\d+), 256;", ""), Race + "|arrivals");

    [Test]
    public void RegistersThatAreNotThereAreMissed() =>
        AssertFault(false, text => Mutation.Replace(text, "setmaxnreg.inc.sync.aligned.u32 232", "setmaxnreg.inc.sync.aligned.u32 240"), "one waits forever");

    [TestCase("1, 1, 0, 0; }", "1, 1, 0, 1; }", TestName = "ATransposedOperandGivesWrongNumbers")]
    [TestCase(@"cp\.async\.bulk\.tensor(\S+) (\[[^]]*\]), \[(%\w+), \{(%r\d+), (%r\d+)\}\]", "cp.async.bulk.tensor$1 $2, [$3, {$5, $4}]", TestName = "ExchangedCoordinatesGiveWrongNumbers")]
    public void WrongNumbers(string pattern, string replacement)
    {
        foreach (bool alternating in (bool[])[false, true]) AssertWrong(Launch(alternating), text => Mutation.Replace(text, pattern, replacement));
    }

    /// <summary>Descriptors with the swizzle's bits, the stride between atoms, or the steps along the sum changed.</summary>
    [TestCase(62, TestName = "ADescriptorWithoutSwizzleGivesWrongNumbers")]
    [TestCase(38, TestName = "ADescriptorWithAnotherStrideGivesWrongNumbers")]
    [TestCase(1, TestName = "ADescriptorOfAnotherPlaceGivesWrongNumbers")]
    public void WrongDescriptor(int bit) => AssertWrong(Launch(alternating: true), text => Mutation.Replace(
        text, @"(wgmma\.mma_async\S+ \{[^}]*\}, )(%rd\d+),", $".reg .b64 %wrong; xor.b64 %wrong, $2, {1UL << bit}; $1%wrong,"));

    [Test]
    public void AMapWithoutSwizzleGivesWrongNumbers()
    {
        StandInLaunch launch = Launch(alternating: false);
        byte[] parameters = [.. launch.Parameters];
        TensorMap map = MemoryMarshal.Read<TensorMap>(parameters);
        map.Swizzle = (byte)TensorSwizzle.None;
        map.CopyTo(parameters);
        AssertWrong(launch with { Parameters = parameters }, text => text);
    }

    private void UseOneGroup()
    {
        if (Driver is null) Assert.Ignore("needs the interpreter");
        Device.ResidentGroups = 1;
    }

    /// <summary>The kernel undamaged.</summary>
    private StandInLaunch Launch(bool alternating, int inputs = Inputs)
    {
        UseOneGroup();
        float[] x = Rounded(Normal(Rows * inputs)), w = Rounded(Normal(Outputs * inputs));
        y = Poisoned(Rows, Outputs);
        Gemm.ForwardCuda(
            Device, y, BFloats(x, Rows, inputs), BFloats(w, Outputs, inputs), default, alternating ? TileSize.WgmmaAlternating : TileSize.WgmmaWide);
        (double[] exact, float[] plain) = GemmReference.Forward(x, w, Rows, inputs, Outputs);
        AssertClose(y, exact, Precision.Wide(plain), "y");
        expected = Contents(y);
        return Launches[^1];
    }

    private void AssertFault(bool alternating, Func<string, string> damage, string reason) => AssertFault(Launch(alternating), damage, reason);

    private void AssertFault(StandInLaunch launch, Func<string, string> damage, string reason) =>
        Assert.That(() => Driver!.Repeat(launch, damage(launch.Text)), Throws.TypeOf<PtxFault>().With.Message.Matches(reason));

    private void AssertWrong(StandInLaunch launch, Func<string, string> damage)
    {
        Driver!.Repeat(launch, damage(launch.Text));
        float[] damaged = Contents(y);
        Assert.That(expected.Zip(damaged, (a, b) => Math.Abs(a - b)).Max(), Is.GreaterThan(0.1).Or.NaN);
    }
}
