using NUnit.Framework;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Training;

namespace Patching.Tests.Model.Clip;

/// <summary>Losses, every gradient, clipping and AdamW steps of a fine-tune against the reference values.</summary>
internal sealed class GoldenTrainingTests
{
    private Device device = null!;

    [OneTimeSetUp]
    public void OpenDevice() => device = Device.Open(DeviceKind.Host);

    [OneTimeTearDown]
    public void CloseDevice() => device.Dispose();

    [TestCase(GoldenModel.Fixture)]
    [TestCase("tiny")]
    public void EveryGradientMatches(string name)
    {
        using GoldenRun run = new(device, GoldenModel.Folder(name));
        StepReport report = run.Step(0);
        Assert.That(report.Loss, Is.EqualTo(run.Golden.Json.GetProperty("loss_ce").GetDouble()).Within(3e-6), "loss");
        double squaredDistance = 0, squaredNorm = 0;
        foreach (ParameterSpec spec in run.Finetuner.Gradients.Table)
        {
            float[] actual = run.Finetuner.Gradients[spec.Name].ToArray();
            AssertNormAndFirstValues(run.Golden, spec, actual);
            if (!run.Golden.Has("train", "grad0." + spec.Name)) continue;
            float[] expected = run.Golden.Parameter("train", "grad0.", spec);
            double norm = Math.Sqrt(expected.Sum(value => (double)value * value));
            (_, double relative) = GoldenModel.Distance(actual, expected);
            Assert.That(relative, Is.LessThanOrEqualTo(1e-4), spec.Name);
            squaredDistance += relative * relative * norm * norm;
            squaredNorm += norm * norm;
        }
        Assert.That(Math.Sqrt(squaredDistance / squaredNorm), Is.LessThanOrEqualTo(1e-5), "all parameters together");
    }

    [TestCase(GoldenModel.Fixture)]
    [TestCase("tiny")]
    [TestCase("medium-vision")]
    public void EveryStepMatches(string name)
    {
        using GoldenRun run = new(device, GoldenModel.Folder(name));
        double[] losses = run.Numbers("loss"), norms = run.Numbers("grad_norm_before_clip"), rates = run.Numbers("lr");
        for (int step = 0; step < losses.Length; step++)
        {
            StepReport report = run.Step(step);
            Assert.That(report.Loss, Is.EqualTo(losses[step]).Within(1e-5 * losses[step]), $"loss of step {step}");
            Assert.That(report.GradientNorm, Is.EqualTo(norms[step]).Within(1e-5 * norms[step]), $"gradient norm of step {step}");
            Assert.That(report.LearningRate, Is.EqualTo(rates[step]).Within(2).Ulps, $"learning rate of step {step}");
            if (name == "tiny" && step is 0 or 4) AssertUpdates(run, step + 1);
        }
        AssertInterpolatedLogits(run);
    }

    /// <summary>
    /// The portable kernels, put together, against the host's, which the tests above tie to the reference values: a quarter of the images makes it affordable.
    /// </summary>
    [Test]
    public void TheSimulatorTakesTheSameStep()
    {
        const int images = 2;
        using Device simulator = Device.Open(DeviceKind.Simulator);
        using GoldenRun expected = new(device, GoldenModel.Folder(GoldenModel.Fixture)), actual = new(simulator, GoldenModel.Folder(GoldenModel.Fixture));
        StepReport a = expected.Step(0, images), b = actual.Step(0, images);
        Assert.That(b.Loss, Is.EqualTo(a.Loss).Within(3e-6));
        Assert.That(b.GradientNorm, Is.EqualTo(a.GradientNorm).Within(1e-5 * a.GradientNorm));
        foreach (ParameterSpec spec in expected.Finetuner.Gradients.Table)
        {
            (_, double gradient) = GoldenModel.Distance(actual.Finetuner.Gradients[spec.Name].ToArray(), expected.Finetuner.Gradients[spec.Name].ToArray());
            Assert.That(gradient, Is.LessThanOrEqualTo(1e-4), spec.Name);
            (double update, _) = GoldenModel.Distance(actual.Finetuner.Parameters[spec.Name].ToArray(), expected.Finetuner.Parameters[spec.Name].ToArray());
            // Where the gradient is zero but for rounding, AdamW's first step may go either way.
            Assert.That(update, Is.LessThanOrEqualTo(2.01 * a.LearningRate), spec.Name);
        }
    }

    // Every parameter's gradient has these two in golden.json, also where the fixtures leave out its values.
    private static void AssertNormAndFirstValues(GoldenModel golden, ParameterSpec spec, float[] gradient)
    {
        double norm = golden.Json.GetProperty("grad_norms_step0").GetProperty(spec.Name).GetDouble();
        Assert.That(Math.Sqrt(gradient.Sum(value => (double)value * value)), Is.EqualTo(norm).Within(1e-4 * norm), spec.Name);
        float[] values = spec.Name == "visual.proj" ? GoldenModel.Transposed(gradient, spec.Shape[0], spec.Shape[1]) : gradient;
        double[] first = [.. golden.Json.GetProperty("grad_first4_step0").GetProperty(spec.Name).EnumerateArray().Select(value => value.GetDouble())];
        for (int i = 0; i < first.Length; i++) Assert.That(values[i], Is.EqualTo(first[i]).Within(1e-4 * norm), spec.Name);
    }

    private static void AssertUpdates(GoldenRun run, int steps)
    {
        double squaredDistance = 0, squaredNorm = 0;
        foreach (ParameterSpec spec in run.Finetuner.Parameters.Table)
        {
            if (!run.Golden.Has("train", $"param_after{steps}.{spec.Name}")) continue;
            float[] expected = run.Golden.Parameter("train", $"param_after{steps}.", spec), actual = run.Finetuner.Parameters[spec.Name].ToArray();
            float[] start = run.Model.Vision[spec.Name].ToArray();
            for (int i = 0; i < expected.Length; i++)
            {
                // The gradient of the key biases is exactly zero; AdamW turns the rounding noise there into steps of full size.
                int width = run.Model.Config.Vision.Width;
                if (spec.Name.EndsWith("in_proj_bias", StringComparison.Ordinal) && i >= width && i < 2 * width) continue;
                double update = (double)expected[i] - start[i], difference = (double)actual[i] - expected[i];
                squaredDistance += difference * difference;
                squaredNorm += update * update;
            }
        }
        Assert.That(squaredNorm, Is.GreaterThan(0));
        Assert.That(Math.Sqrt(squaredDistance / squaredNorm), Is.LessThanOrEqualTo(5e-3), $"update after {steps} steps");
    }

    private void AssertInterpolatedLogits(GoldenRun run)
    {
        using ParameterSet between = new(device, "between", run.Model.Vision.Table);
        foreach (double alpha in (double[])[0, 0.3, 1])
        {
            Interpolation.Forward(device, between.Flat, run.Model.Vision.Flat, run.Finetuner.Parameters.Flat, alpha);
            using VisionActivations a = VisionActivations.Allocate(device, run.Model.Config, run.Batch, training: false);
            a.Images.CopyFrom(run.Golden.Pixels(0, run.Batch, run.Model.Config.Vision.ImageSize));
            run.Model.Tower.Forward(new VisionParameters(between, run.Model.Config), a);
            using ImageClassifier classifier = new(device, run.Head, run.Batch);
            float[] expected = run.Golden.Floats("train", FormattableString.Invariant($"logits_alpha{alpha}"));
            GoldenModel.AssertClose(classifier.Logits(a.Features), expected, 5e-2, 5e-3, $"logits at alpha {alpha}");
        }
    }
}
