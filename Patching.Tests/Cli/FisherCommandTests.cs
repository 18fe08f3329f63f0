using NUnit.Framework;
using Patching.Kernels;
using Patching.Model;
using Patching.Model.Clip;
using Patching.Model.Data;
using Patching.Model.Images;
using Patching.Model.Merging;
using Patching.Model.Pipeline;
using Patching.Tests.Model.Clip;

namespace Patching.Tests.Cli;

/// <summary>Fisher information against gradients in double precision, and the average weighted by it.</summary>
internal sealed class FisherCommandTests
{
    private const int Samples = 5;

    [Test]
    public void TheInformationIsTheMeanSquareOfTheGradients()
    {
        using TinyWorld world = new();
        using Device device = Device.Open(DeviceKind.Host, 2);
        using ClipModel model = ClipModel.Open(device, world.Model);
        ImageDataset dataset = DatasetCatalog.Open(world.Dataset, DatasetSplit.Train, "");
        BatchOptions batches = new(3, model.Config.Vision.ImageSize) { Workers = 2 };
        (ParameterSet information, int seen) = FisherInformation.Estimate(model, dataset, batches, null, new FisherSettings(Samples, TrueLabels: true, Seed: 4), null, default);
        using ParameterSet owned = information;
        Assert.That(seen, Is.EqualTo(Samples));
        Dictionary<string, double[]> expected = Expected(model, dataset, TorchPermutation.Create(dataset.Count, 4).Take(Samples));
        foreach (ParameterSpec spec in information.Table)
        {
            double norm = Math.Sqrt(expected[spec.Name].Sum(value => value * value));
            double distance = Math.Sqrt(information[spec.Name].ToArray().Zip(expected[spec.Name], (a, e) => (a - e) * (a - e)).Sum());
            Assert.That(distance, Is.LessThanOrEqualTo(1e-4 * norm), spec.Name);
        }
    }

    [Test]
    public void DrawnLabelsDependOnTheSeedOnly()
    {
        using TinyWorld world = new();
        string[] Arguments(string file, params string[] more) => TinyWorld.Defaults(
            ["fisher", "--model", world.Model, "--train-dataset", world.Dataset, "--out", world[file]],
            [("--samples", "7"), ("--device", "cpu"), ("--threads", "2"), ("--workers", "2"), ("--batch-size", "4")], more);
        TinyWorld.Do(Arguments("a"));
        TinyWorld.Do(Arguments("b", "--batch-size", "3"));
        TinyWorld.Do(Arguments("c", "--seed", "1"));
        Assert.That(TinyWorld.WithoutCommand(world["b"]), Is.EqualTo(TinyWorld.WithoutCommand(world["a"])));
        Assert.That(File.ReadAllBytes(world["c"]).AsSpan(^4000).SequenceEqual(File.ReadAllBytes(world["a"]).AsSpan(^4000)), Is.False);
        Outcome again = TinyWorld.Run(Arguments("a"));
        Assert.That((again.Code, again.Error), Is.EqualTo((2, $"patching: --out {world["a"]}: exists already; name another file or give --overwrite\n")));
    }

    [Test]
    public void TheAverageIsWeightedByInformation()
    {
        using TinyWorld world = new();
        string other = world["other"];
        TinyWorld.WriteModel(other, TinyWorld.Config, seed: 9);
        foreach (string name in (string[])["model", "other"])
        {
            TinyWorld.Do(
                "fisher", "--model", world[name], "--tokenizer", world.Model, "--train-dataset", world.Dataset, "--out", world[$"{name}.fisher"], "--samples", "4", "--device", "cpu",
                "--labels", "true");
        }
        TinyWorld.Do(
            "fisher", "--model", world.Model, "--train-dataset", world.Dataset, "--out", world["cached.fisher"], "--samples", "4", "--device", "cpu", "--labels", "true", "--cache", world["cache"]);
        Assert.That(TinyWorld.WithoutCommand(world["cached.fisher"]), Is.EqualTo(TinyWorld.WithoutCommand(world["model.fisher"])));
        Assert.That(Directory.GetFiles(world["cache"], "*.images"), Has.Length.EqualTo(1));
        using ModelMerge merge = ModelMerge.Open([world.Model, other], null);
        using FisherFile f0 = FisherFile.Open(world["model.fisher"], merge.Inputs[0], ParameterTable.Vision(merge.Config));
        using FisherFile f1 = FisherFile.Open(world["other.fisher"], merge.Inputs[1], ParameterTable.Vision(merge.Config));
        MergedParameters merged = merge.Merge(new FisherMerge([f0, f1], [1, 3]), [0, 1]);
        foreach (ParameterSpec spec in merged.Table)
        {
            float[][] read = [.. Enumerable.Range(0, 5).Select(_ => new float[spec.Length])];
            merged.Read(spec, read[0]);
            merge.Inputs[0].Read(spec, read[1]);
            merge.Inputs[1].Read(spec, read[2]);
            bool isVisual = spec.Name.StartsWith("visual.", StringComparison.Ordinal);
            if (isVisual) f0.Read(spec, read[3]);
            if (isVisual) f1.Read(spec, read[4]);
            for (int i = 0; i < spec.Length; i++)
            {
                (double w0, double w1) = read[3][i] + 3 * (double)read[4][i] > 0 ? (read[3][i], 3.0 * read[4][i]) : (1, 3);
                Assert.That(read[0][i], Is.EqualTo((w0 * read[1][i] + w1 * read[2][i]) / (w0 + w1)).Within(1e-6 * Math.Abs(read[1][i]) + 1e-6 * Math.Abs(read[2][i])), $"{spec.Name}[{i}]");
            }
        }
        Assert.That(() => FisherFile.Open(world["other.fisher"], merge.Inputs[0], merge.Table), Throws.TypeOf<InputException>().With.Message.Contains("another model"));
        Outcome swapped = TinyWorld.Run(["merge", "fisher", world.Model, other, "--fisher", world["other.fisher"], world["model.fisher"], "-o", world["merged"]]);
        Assert.That((swapped.Code, Directory.Exists(world["merged"])), Is.EqualTo((2, false)), swapped.Error);
        TinyWorld.Do("merge", "fisher", world.Model, other, "--fisher", world["model.fisher"], world["other.fisher"], "-o", world["merged"]);
    }

    private static Dictionary<string, double[]> Expected(ClipModel model, ImageDataset dataset, IEnumerable<int> samples)
    {
        Dictionary<string, double[]> sums = model.Vision.Table.ToDictionary(spec => spec.Name, spec => new double[spec.Length]);
        NormalizationTable table = new(model.Checkpoint.Preprocess.Mean.AsSpan(), model.Checkpoint.Preprocess.Std.AsSpan());
        ImagePreprocessor preprocessor = new(model.Config.Vision.ImageSize, model.Checkpoint.Preprocess.Resize);
        ZeroShotHead head = new HeadCache(null).Get(model, dataset).Head;
        foreach (int sample in samples)
        {
            byte[] pixels = new byte[preprocessor.OutputBytes];
            preprocessor.Apply(dataset.Load(sample), pixels);
            PlainTower tower = new(model.Config, name => model.Vision[name].ToArray(), rounded: false);
            tower.Loss(pixels, table.Values.ToArray(), [dataset.Label(sample)], head);
            foreach ((string name, double[] gradient) in tower.Gradients)
                for (int i = 0; i < gradient.Length; i++) sums[name][i] += gradient[i] * gradient[i] / Samples;
        }
        return sums;
    }
}
