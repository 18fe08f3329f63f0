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
        EvaluationScore[] apart = [.. alphas.Select(alpha => evaluator.Evaluate(dataset, head, 1, _ => line.At(alpha))[0])];
        EvaluationScore[] inTurns = evaluator.Evaluate(dataset, head, alphas.Length, i => line.At(alphas[i]));
        Assert.That(line.Hold(alphas), Is.True);
        EvaluationScore[] resident = evaluator.Evaluate(dataset, head, alphas.Length, i => line.At(alphas[i]), resident: true);
        foreach (EvaluationScore[] together in (EvaluationScore[][])[inTurns, resident])
        {
            Assert.That(together.Select(score => score.Predictions), Is.EqualTo(apart.Select(score => score.Predictions)));
            Assert.That(together.Select(score => score.Confidences), Is.EqualTo(apart.Select(score => score.Confidences)));
            Assert.That(together.Select(Accuracies), Is.EqualTo(apart.Select(Accuracies)));
        }
        Assert.That(apart.Select(score => string.Join(' ', score.Predictions)).Distinct().Count(), Is.GreaterThan(1), "alphas differ");
    }

    private static (int, double?, double, double?) Accuracies(EvaluationScore score) => (score.Correct, score.Top5, score.MeanPerClass, score.CalibrationError);
}
