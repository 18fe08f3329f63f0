using NUnit.Framework;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Training;
using Patching.Tests.Kernels.Cuda;

namespace Patching.Tests.Model.Clip;

/// <summary>
/// The golden model on a CUDA device, in both precisions: features, every gradient, AdamW steps, graphs. Without a GPU the device is the stand-in driver, which interprets
/// the kernels' PTX, so the first two images have to do; with PATCHING_TEST_GPU=1 it is the machine's.
/// </summary>
internal sealed class GoldenCudaTests : CudaKernelTest
{
    private const int Images = 2;

    private static readonly string Folder = GoldenModel.Folder(GoldenModel.Fixture);

    [Test]
    public void FeaturesMatchInSinglePrecision()
    {
        using GoldenRun run = new(Device, Folder, TowerPrecision.Float32, Images);
        using ImageEncoder encoder = new(Device, run.Model.Config, run.Model.Tower, Images, TowerPrecision.Float32);
        Tensor features = encoder.Encode(new VisionParameters(run.Model.Vision, run.Model.Config), run.Pixels(0, Images), Images);
        GoldenModel.AssertClose(features, run.Golden.Floats("forward", "image_features")[..(Images * 64)], 2e-5, 2e-6, "features");
    }

    [Test]
    public void FeaturesMatchInMixedPrecision()
    {
        using GoldenRun run = new(Device, Folder, TowerPrecision.BFloat16, Images);
        using ImageEncoder encoder = new(Device, run.Model.Config, run.Model.Tower, Images, TowerPrecision.BFloat16);
        Tensor features = encoder.Encode(new VisionParameters(run.Model.Vision, run.Model.Config), run.Pixels(0, Images), Images);
        byte[] pixels = run.Pixels(0, Images);
        AssertAsGoodAsPlain(
            features.ToArray(), PlainTowerTests.Open(run.Model.Checkpoint, rounded: false).Features(pixels, PixelTable),
            PlainTowerTests.Open(run.Model.Checkpoint, rounded: true).Features(pixels, PixelTable), "features");
    }

    /// <summary>Single precision against the host, whose gradients the other tests tie to the reference values of all eight images.</summary>
    [Test]
    public void AStepMatchesInSinglePrecision()
    {
        using Device host = Device.Open(DeviceKind.Host);
        using GoldenRun expected = new(host, Folder, TowerPrecision.Float32, Images), actual = new(Device, Folder, TowerPrecision.Float32, Images);
        StepReport a = expected.Step(0, Images), b = actual.Step(0, Images);
        Assert.That(b.Loss, Is.EqualTo(a.Loss).Within(3e-6));
        Assert.That(b.GradientNorm, Is.EqualTo(a.GradientNorm).Within(1e-5 * a.GradientNorm));
        foreach (ParameterSpec spec in expected.Finetuner.Gradients.Table)
        {
            (_, double gradient) = GoldenModel.Distance(actual.Finetuner.Gradients[spec.Name].ToArray(), expected.Finetuner.Gradients[spec.Name].ToArray());
            Assert.That(gradient, Is.LessThanOrEqualTo(1e-4), spec.Name);
        }
        AssertAdamW(actual, b);
    }

    [Test]
    public void AStepMatchesInMixedPrecision()
    {
        using GoldenRun run = new(Device, Folder, TowerPrecision.BFloat16, Images);
        StepReport report = run.Step(0, Images);
        PlainTower exact = PlainTowerTests.Open(run.Model.Checkpoint, rounded: false), rounded = PlainTowerTests.Open(run.Model.Checkpoint, rounded: true);
        double loss = exact.Loss(run.Pixels(0, Images), PixelTable, run.Labels(0, Images), run.Head);
        double roundedLoss = rounded.Loss(run.Pixels(0, Images), PixelTable, run.Labels(0, Images), run.Head);
        // A single number may be lucky; the floor is the relative rounding error of bfloat16.
        Assert.That(Math.Abs(report.Loss - loss), Is.LessThanOrEqualTo(2 * Math.Abs(roundedLoss - loss) + loss / 256));
        foreach (ParameterSpec spec in run.Finetuner.Gradients.Table)
            AssertAsGoodAsPlain(run.Finetuner.Gradients[spec.Name].ToArray(), exact.Gradients[spec.Name], rounded.Gradients[spec.Name], spec.Name);
        AssertAdamW(run, report);
    }

    [Test]
    public void AReplayedStepIsAStep([Values] TowerPrecision precision)
    {
        using GoldenRun replaying = new(Device, Folder, precision, Images), launching = new(Device, Folder, precision, Images);
        _ = replaying.Step(0, Images);
        // The other one starts where the first one is now, so that its first step, which is launched call by call, is the same as the replayed second one.
        ParameterSet[] from = [replaying.Finetuner.Parameters, replaying.Finetuner.FirstMoment, replaying.Finetuner.SecondMoment];
        ParameterSet[] to = [launching.Finetuner.Parameters, launching.Finetuner.FirstMoment, launching.Finetuner.SecondMoment];
        for (int i = 0; i < from.Length; i++) to[i].CopyFrom(from[i]);
        launching.Finetuner.ContinueFrom(1);
        Driver?.Clear();
        StepReport replayed = replaying.Step(1, Images);
        if (Driver is not null) Assert.That(Driver.Calls.Count(call => call.Name == "cuGraphLaunch"), Is.EqualTo(1));
        StepReport launched = launching.Step(1, Images);
        Assert.That(replayed, Is.EqualTo(launched));
        for (int i = 0; i < from.Length; i++) Assert.That(from[i].Flat.ToArray(), Is.EqualTo(to[i].Flat.ToArray()), $"set {i}");
    }

    private static float[] PixelTable => GoldenModel.NormalizationTable().Values.ToArray();

    // Largest difference and norm: at most twice what the plain tower with the same roundings makes of it.
    private static void AssertAsGoodAsPlain(float[] actual, double[] exact, double[] plain, string what)
    {
        ErrorBound bound = ErrorBound.Of(actual, exact, plain);
        Assert.That(bound.Holds, Is.True, $"{what}: {bound}");
    }

    /// <summary>The step's update against the definition, from the device's own gradient; and in mixed precision the weights' copy, which must be the rounded weights.</summary>
    private static void AssertAdamW(GoldenRun run, StepReport report)
    {
        Finetuner tuner = run.Finetuner;
        double clip = Math.Min(1, 1 / (report.GradientNorm + 1e-6));
        AdamWSettings settings = new((float)report.LearningRate, 0.9f, 0.999f, 1e-8f, (float)run.Golden.Json.GetProperty("hp").GetProperty("wd").GetDouble());
        foreach (ParameterSpec spec in tuner.Parameters.Table)
        {
            float[] start = new float[spec.Length], gradient = tuner.Gradients[spec.Name].ToArray(), actual = tuner.Parameters[spec.Name].ToArray();
            run.Model.Checkpoint.Read(spec, start);
            double[][] exact = [Precision.Wide(start), new double[spec.Length], new double[spec.Length]];
            double[][] plain = [Precision.Wide(start), new double[spec.Length], new double[spec.Length]];
            AdamWReference.Step<double>(exact, Precision.Wide(gradient), (float)clip, settings, 1);
            AdamWReference.Step<float>(plain, Precision.Wide(gradient), (float)clip, settings, 1);
            AssertAsGoodAsPlain(actual, exact[0], plain[0], spec.Name);
            if (run.Model.Precision == TowerPrecision.BFloat16)
                Assert.That(tuner.Parameters.Operand(spec.Name).ToArray(), Is.EqualTo(actual.Select(BFloat16.Round)), spec.Name);
        }
    }
}
