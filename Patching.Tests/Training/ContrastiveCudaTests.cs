using NUnit.Framework;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Training;
using Patching.Tests.Kernels.Cuda;

namespace Patching.Tests.Training;

/// <summary>Contrastive training on a CUDA device in both precisions, both towers, beside the host, whose gradients other tests tie to double precision.</summary>
internal sealed class ContrastiveCudaTests : CudaKernelTest
{
    private const int Batch = 5;

    [Test]
    public void GradientsMatchTheHost([Values] TowerPrecision precision, [Values(Batch, 2)] int microBatch)
    {
        using Device host = Device.Open(DeviceKind.Host, 2);
        using ContrastiveCase expected = new(host, Batch, Batch), actual = new(Device, Batch, microBatch, precision);
        StepReport a = expected.Step(1), b = actual.Step(1);
        // bfloat16 keeps 8 bits: features that are off by 2^-8 move the loss by about that, and the gradients by a few of them.
        double unit = precision == TowerPrecision.BFloat16 ? 1.0 / 256 : 1e-6;
        Assert.That(b.Loss, Is.EqualTo(a.Loss).Within(4 * unit * a.Loss));
        foreach (ParameterSpec spec in expected.Trainer.Gradients.Table)
        {
            float[] exact = expected.Trainer.Gradients[spec.Name].ToArray(), computed = actual.Trainer.Gradients[spec.Name].ToArray();
            double norm = Math.Sqrt(exact.Sum(x => (double)x * x)), distance = Math.Sqrt(exact.Zip(computed, (x, y) => Math.Pow((double)x - y, 2)).Sum());
            Assert.That(distance, Is.LessThanOrEqualTo(16 * unit * norm), $"{spec.Name}: {distance / norm}");
        }
    }

    [Test]
    public void AStepLeavesTheWeightsAndTheirRoundedCopy()
    {
        using ContrastiveCase mixed = new(Device, Batch, Batch, TowerPrecision.BFloat16);
        _ = mixed.Step(1);
        float[] start = new float[ContrastiveTrainer.Table(ContrastiveCase.Config, out _).Max(spec => spec.Length)];
        foreach (ParameterSpec spec in mixed.Trainer.Parameters.Table)
        {
            float[] weights = mixed.Trainer.Parameters[spec.Name].ToArray();
            ClipInitialization.Fill(ContrastiveCase.Config, 3, spec, start.AsSpan(0, spec.Length));
            Assert.That(weights, Is.Not.EqualTo(start[..spec.Length]), spec.Name);
            Assert.That(mixed.Trainer.Parameters.Operand(spec.Name).ToArray(), Is.EqualTo(weights.Select(BFloat16.Round)), spec.Name);
        }
    }
}
