using NUnit.Framework;
using Patching.Kernels;
using Patching.Model.Clip;
using Patching.Model.Training;
using Patching.Tests.Model.Clip;

namespace Patching.Tests.Training;

/// <summary>A step on several tasks at once against steps on each.</summary>
internal sealed class JointFinetunerTests
{
    [Test]
    public void TheGradientIsTheMeanOverAllImagesEachUnderItsOwnHead()
    {
        using Device device = Device.Open(DeviceKind.Host, 2);
        using GoldenRun run = new(device, GoldenModel.Folder(GoldenModel.Fixture));
        const int images = 7;
        byte[] pixels = [.. run.Pixels(0, images)];
        int imageBytes = pixels.Length / images;
        ZeroShotHead first = run.Head, second = new([.. run.Head.Weights.Skip(run.Head.EmbeddingWidth).Take(3 * run.Head.EmbeddingWidth).Reverse()], 3, run.Head.EmbeddingWidth);
        // Tasks alternate irregularly; labels of the second come behind those of the first.
        bool[] isSecond = [true, false, false, true, false, true, false];
        int[] own = [2, 1, 0, 0, first.Classes - 1, 1, 3];
        int[] joint = [.. own.Select((label, i) => isSecond[i] ? first.Classes + label : label)];

        Dictionary<string, float[]> together = Gradients(run, device, [first, second], pixels, joint);
        Dictionary<string, float[]>[] apart =
        [
            .. new[] { false, true }.Select(task =>
            {
                int[] mine = [.. Enumerable.Range(0, images).Where(i => isSecond[i] == task)];
                return Gradients(run, device, [task ? second : first], [.. mine.SelectMany(i => pixels[(i * imageBytes)..((i + 1) * imageBytes)])], [.. mine.Select(i => own[i])]);
            }),
        ];
        foreach ((string name, float[] gradient) in together)
        {
            double[] expected = [.. gradient.Select((_, i) => (4.0 * apart[0][name][i] + 3.0 * apart[1][name][i]) / images)];
            double norm = Math.Sqrt(expected.Sum(value => value * value)), distance = Math.Sqrt(gradient.Zip(expected, (a, e) => (a - e) * (a - e)).Sum());
            Assert.That(distance, Is.LessThanOrEqualTo(1e-5 * norm), name);
        }
    }

    private static Dictionary<string, float[]> Gradients(GoldenRun run, Device device, ZeroShotHead[] heads, byte[] pixels, int[] labels)
    {
        FinetuneSettings settings = new()
        {
            TrainDataset = "",
            TrainImages = labels.Length,
            BaseModelSha256 = "",
            HeadKey = "",
            BatchSize = labels.Length,
            WarmupLength = 1,
        };
        using Finetuner finetuner = new(device, run.Model.Config, run.Model.Tower, run.Model.Checkpoint.Read, heads, settings);
        finetuner.Step(pixels, labels);
        finetuner.Report();
        return finetuner.Gradients.Table.ToDictionary(spec => spec.Name, spec => finetuner.Gradients[spec.Name].ToArray());
    }
}
