using NUnit.Framework;
using Patching.Benchmarks.EndToEnd;
using Patching.Benchmarks.Gpu;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Images;
using Patching.Model.Training;
using Patching.Tests.Ptx;

namespace Patching.Tests.Training;

/// <summary>What a fine-tune step asks of the driver: which kernels how often, and nothing that waits or allocates.</summary>
internal sealed class CudaStepTests
{
    private const int Batch = 2;
    private const int Classes = 5;

    // Sizes of kernels that are chosen by shape are all one here: the model is tiny, its matrices are all small.
    private static readonly BenchmarkModel Model = BenchmarkModel.Named("tiny");
    private static readonly int Layers = Model.Config.Vision.Layers;

    /// <summary>The launches of a step in mixed precision, by kernel in alphabetical order. A layer has four matrices, two LayerNorms and one non-linearity.</summary>
    private static readonly (string Kernel, int Count)[] ExpectedLaunches =
    [
        ("AssembleBackwardColumns", 1),
        ("AssembleRows", 1),
        ("BackwardRows", 2 * Layers + 2), // ln_pre and ln_post
        ("ForwardPieces", Layers), // the non-linearity once more, for backward
        ("FourImages", 1), // head and loss
        ("GatherKernel", 1),
        ("NormalizeRows", 4 * Layers + 2), // twice in each block: its outputs are computed again, not kept
        ("OneTileBackward64", Layers),
        ("OneTileForward64", Layers),
        ("ResultOfSums", 1),
        ("ScatterRows", 1),
        ("SmallBackwardInputKernel", 4 * Layers + 1), // and the projection; nobody needs the gradient of the pixels
        ("SmallBackwardWeightKernel", 4 * Layers + 2), // and patch embedding and projection
        ("SmallForwardKernel", 4 * Layers + 2),
        ("SumGroupSquares", 1),
        ("SumPartials", 2 * Layers + 2),
        ("UnfoldPieces", 1),
        ("Update", 1), // AdamW
    ];

    private StandInDriver driver = null!;
    private Device device = null!;
    private VisionTransformer tower = null!;
    private Finetuner finetuner = null!;

    [SetUp]
    public void Open()
    {
        driver = StandInDriver.Visible();
        device = Device.Open(DeviceKind.Cuda);
        tower = new VisionTransformer(device, Model.Config, ClipNormalization.Table.Values);
        finetuner = ModelWork.OpenFinetuner(device, tower, Model, Batch, Classes, TowerPrecision.BFloat16);
    }

    [TearDown]
    public void Close()
    {
        finetuner?.Dispose();
        tower?.Dispose();
        device?.Dispose();
        driver?.Dispose();
    }

    [Test]
    public void AStepIsUploadsAndOneGraph()
    {
        // The first one is launched call by call, the second one recorded.
        Step();
        Step();
        driver.Clear();
        Step();
        string[] calls = [.. driver.Calls.Select(call => call.Name).Where(name => !name.StartsWith('('))];
        string[] allowed = ["cuEventSynchronize", "cuMemcpyAsync", "cuEventRecord", "cuStreamWaitEvent", "cuGraphLaunch"];
        Assert.That(calls.Except(allowed), Is.Empty);
        Assert.That(calls.Count(name => name == "cuGraphLaunch"), Is.EqualTo(1));
        // Images by way of a landing buffer, labels and coefficients directly.
        Assert.That(calls.Count(name => name == "cuMemcpyAsync"), Is.LessThanOrEqualTo(4));
    }

    [Test]
    public void AReportIsTheFirstThingThatWaits()
    {
        Step();
        driver.Clear();
        StepReport report = finetuner.Report();
        Assert.That(double.IsFinite(report.Loss) && report.GradientNorm > 0);
        Assert.That(driver.Calls.Select(call => call.Name), Does.Contain("cuStreamSynchronize").Or.Contain("cuCtxSynchronize"));
    }

    [Test]
    public void AStepLaunchesTheseKernels()
    {
        Step();
        driver.Clear();
        Step();
        string[] launches =
        [
            .. driver.Launches.GroupBy(launch => launch.Entry.Name["Kernel_".Length..]).OrderBy(group => group.Key, StringComparer.Ordinal)
                .Select(group => $"{group.Count()} {group.Key}"),
        ];
        Assert.That(launches, Is.EqualTo(ExpectedLaunches.Select(row => $"{row.Count} {row.Kernel}")), string.Join(", ", launches));
    }

    private void Step() => finetuner.Step(Model.Pixels(Batch), BenchmarkModel.Labels(Batch, Classes));
}
