using NUnit.Framework;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Data;
using Patching.Model.Evaluation;
using Patching.Model.Pipeline;

namespace Patching.Tests.Cli;

/// <summary>Several alphas in one pass over the images, in both ways, against one alpha after the other.</summary>
internal sealed class ManyAlphasTests
{
    [TestCase(DeviceKind.Host)]
    [TestCase(DeviceKind.Simulator)]
    public void OnePassPredictsWhatOneAlphaAfterTheOtherDoes(DeviceKind kind)
    {
        using TinyWorld world = new();
        TinyWorld.WriteModel(world["tuned"], TinyWorld.Config, seed: 5);
        using Device device = Device.Open(kind);
        using ClipModel model = ClipModel.Open(device, world.Model), other = ClipModel.Open(device, world["tuned"]);
        using PatchedModels line = new(model, model.Vision, other.Vision);
        ImageDataset dataset = DatasetCatalog.Open(world.Dataset, DatasetSplit.Test, "");
        // Many directions, so that a small change of the weights changes some prediction.
        Random random = new(3);
        ZeroShotHead head = new([.. Enumerable.Range(0, 60 * model.Config.EmbeddingWidth).Select(_ => (float)(random.NextDouble() - 0.5))], 60, model.Config.EmbeddingWidth);
        double[] alphas = [0, 0.3, 0.5, 0.8, 1];
        // Four batches, the last one short.
        using Evaluator evaluator = new(model, new BatchOptions(4, model.Config.Vision.ImageSize) { Workers = 2 });
        int[][] apart = [.. alphas.Select(alpha => evaluator.Evaluate(dataset, head, 1, _ => line.At(alpha))[0].Predictions)];
        int[][] inTurns = [.. evaluator.Evaluate(dataset, head, alphas.Length, i => line.At(alphas[i])).Select(score => score.Predictions)];
        Assert.That(line.Hold(alphas), Is.True);
        int[][] resident = [.. evaluator.Evaluate(dataset, head, alphas.Length, i => line.At(alphas[i]), resident: true).Select(score => score.Predictions)];
        Assert.That(inTurns, Is.EqualTo(apart));
        Assert.That(resident, Is.EqualTo(apart));
        Assert.That(apart.Select(predictions => string.Join(' ', predictions)).Distinct().Count(), Is.GreaterThan(1), "alphas differ");
    }
}
