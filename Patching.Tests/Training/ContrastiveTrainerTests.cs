using NUnit.Framework;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Training;

namespace Patching.Tests.Training;

/// <summary>Micro-batches are a matter of memory: the gradient is that of the whole batch, every pair told from all others.</summary>
internal sealed class ContrastiveTrainerTests
{
    private const int Batch = 7;

    [Test]
    public void MicroBatchesHaveTheGradientOfTheWholeBatch([Values(1, 3, 6)] int microBatch)
    {
        using Device device = Device.Open(DeviceKind.Host, 2);
        using ContrastiveCase whole = new(device, Batch, Batch), pieces = new(device, Batch, microBatch);
        StepReport expected = whole.Step(1), actual = pieces.Step(1);
        Assert.That(actual.Loss, Is.EqualTo(expected.Loss).Within(1e-6));
        foreach (ParameterSpec spec in whole.Trainer.Gradients.Table)
        {
            float[] a = whole.Trainer.Gradients[spec.Name].ToArray(), b = pieces.Trainer.Gradients[spec.Name].ToArray();
            // Only the order of the sums over the batch differs: a few roundings of single precision beside the largest element.
            double worst = a.Zip(b, (x, y) => Math.Abs((double)x - y)).Max(), size = a.Max(Math.Abs);
            Assert.That(size, Is.GreaterThan(0), spec.Name);
            Assert.That(worst, Is.LessThanOrEqualTo(1e-5 * size), spec.Name);
        }
    }

    /// <summary>What the test above would miss if the batch did not matter: smaller batches have another loss.</summary>
    [Test]
    public void TheBatchBelongsToTheObjective()
    {
        using Device device = Device.Open(DeviceKind.Host, 2);
        using ContrastiveCase whole = new(device, Batch, Batch), half = new(device, 3, 3);
        Assert.That(half.Step(1).Loss, Is.LessThan(whole.Step(1).Loss - 0.1));
    }
}
