using System.Text.Json;
using NUnit.Framework;
using Patching.Kernels;
using Patching.Model;
using Patching.Model.Clip;
using Patching.Model.Data;
using Patching.Model.Evaluation;
using Patching.Model.Images;
using Patching.Model.Weights;

namespace Patching.Tests.Cli;

/// <summary>What is predicted of every image: by the pass over all, and as a file beside the results.</summary>
internal sealed class PredictionFileTests
{
    private TinyWorld world = null!;

    [SetUp]
    public void CreateWorld() => world = new TinyWorld();

    [TearDown]
    public void RemoveWorld() => world.Dispose();

    [Test]
    public void ThePassOverTheImagesSaysWhatEachImageAloneSays([Values(DeviceKind.Host, DeviceKind.Simulator)] DeviceKind kind)
    {
        string[] names = ["a", "b", "c", "d", "e", "f", "g"];
        foreach (string name in names) Directory.CreateDirectory(world["many", name]);
        string[] images = [.. Directory.EnumerateFiles(world.Colours, "*.*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)];
        for (int i = 0; i < images.Length; i++) File.Copy(images[i], world["many", names[i * i % 7], $"{i:00}{Path.GetExtension(images[i])}"]);
        using Device device = Device.Open(kind, 2);
        using ClipModel model = ClipModel.Open(device, world.Model);
        ImageDataset dataset = DatasetCatalog.Open("folder:" + world["many"], DatasetSplit.Test, "");
        const string template = "a {CLASS}";
        using ImageParameters weights = ImageParameters.Of(model.Vision, model.Config);
        using Evaluator evaluator = new(model, new BatchOptions(4, model.Config.Image.ImageSize) { Workers = 2 });
        EvaluationScore score = evaluator.Evaluate(dataset, model.BuildHead(dataset.ClassNames, [template]), 1, _ => weights)[0];

        using ImageLabeler labeler = new(model, dataset.ClassNames, template);
        int nearby = 0, correct = 0;
        for (int i = 0; i < dataset.Count; i++)
        {
            IReadOnlyList<LabelScore> alone = labeler.Classify(dataset.Describe(i));
            Assert.That(score.Predictions[i], Is.EqualTo(dataset.ClassNames.ToList().IndexOf(alone[0].Label)));
            Assert.That(score.Confidences[i], Is.EqualTo(alone[0].Probability).Within(1e-5));
            string label = dataset.ClassNames[dataset.Label(i)];
            if (alone[0].Label == label) correct++;
            if (alone.Take(5).Any(one => one.Label == label)) nearby++;
        }
        Assert.That((score.Correct, score.Top5), Is.EqualTo((correct, nearby / (double)dataset.Count)));
        Assert.That(nearby, Is.GreaterThan(correct).And.LessThan(dataset.Count), "or the ranks are not tested");
    }

    [Test]
    public void ARunLeavesAFilePerDataSetThatItsRowsCite()
    {
        string results = world["out", "results.jsonl"];
        TinyWorld.Do(world.Patch("--alpha", "1", "0", "0.5", "--results-db", results, "--epochs", "6"));
        JsonElement[] rows = [.. File.ReadLines(results).Select(line => JsonDocument.Parse(line).RootElement)];
        string cited = rows.Select(row => row.GetProperty("predictions").GetString()!).Distinct().Single();
        string path = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(results)!, cited));
        Assert.That(Directory.GetFiles(Path.Combine(world.Save, "predictions")), Is.EqualTo([path]));
        PredictionFile file = PredictionFile.Read(path);
        ImageDataset dataset = DatasetCatalog.Open(world.Dataset, DatasetSplit.Test, "");
        Assert.That((file.Dataset, file.ClassNames, file.Alphas), Is.EqualTo((world.Dataset, dataset.ClassNames, new[] { 1, 0, 0.5 })).UsingPropertiesComparer());
        Assert.That(file.Labels, Is.EqualTo(Enumerable.Range(0, dataset.Count).Select(dataset.Label)));
        for (int a = 0; a < 3; a++)
        {
            Assert.That(file.Predictions[a].Zip(file.Labels).Count(pair => pair.First == pair.Second), Is.EqualTo(rows[a].GetProperty("correct").GetInt32()));
            double? ece = CalibrationError.Of(file.Labels.Select((label, i) => (file.Confidences[a][i], file.Predictions[a][i] == label)));
            Assert.That(rows[a].GetProperty("ece").GetDouble(), Is.EqualTo(ece));
        }
        int[] flipped = [.. Enumerable.Range(0, dataset.Count).Where(i => file.Predictions[1][i] != file.Predictions[0][i])];
        Assert.That(file.ThumbnailIndices, Is.EqualTo(flipped).And.Not.Empty, "few enough to have them all");
        byte[] expected = new byte[3 * 64 * 64];
        new ImagePreprocessor(64).Apply(dataset.Load(flipped[^1]), expected);
        Assert.That(file.Thumbnails.AsSpan((flipped.Length - 1) * expected.Length).SequenceEqual(expected), Is.True);
    }

    [Test]
    public void TheSameRunLeavesTheSameBytes()
    {
        string[] alphas = ["--alpha", "0", "1"];
        TinyWorld.Do(world.Patch(alphas));
        Dictionary<string, string> before = TinyWorld.Snapshot(world.Save);
        Assert.That(before.Keys, Has.One.StartsWith("predictions"));
        TinyWorld.Do(world.Patch(alphas));
        Assert.That(TinyWorld.Snapshot(world.Save), Is.EqualTo(before));

        // From nothing, elsewhere, with another number of threads, images from a cache: the command lines and times differ, this does not.
        TinyWorld.Do(world.Patch([.. alphas, "--save", world["again"], "--workers", "1", "--cache", world["cache"]]));
        Assert.That(TinyWorld.Snapshot(Path.Combine(world["again"], "predictions")), Is.EqualTo(TinyWorld.Snapshot(Path.Combine(world.Save, "predictions"))));
    }

    [Test]
    public void ImagesThatCannotBeReadAreMarked()
    {
        string bad = Path.Combine(world.Colours, "test", "red", "00.png");
        File.WriteAllBytes(bad, [0x89, 0x50]);
        TinyWorld.Do(world.Patch("--alpha", "0", "1", "--skip-bad-images", "--epochs", "6"));
        PredictionFile file = PredictionFile.Read(Directory.GetFiles(Path.Combine(world.Save, "predictions")).Single());
        ImageDataset dataset = DatasetCatalog.Open(world.Dataset, DatasetSplit.Test, "");
        int index = Enumerable.Range(0, dataset.Count).Single(i => dataset.Describe(i) == bad);
        Assert.That((file.Predictions[0][index], file.Predictions[1][index], file.Confidences[0][index]), Is.EqualTo((-1, -1, 0f)));
        Assert.That(file.Predictions[0].Count(p => p < 0), Is.EqualTo(1));
        Assert.That(file.ThumbnailIndices, Has.None.EqualTo(index));
    }

    [Test]
    public void HeldOutImagesHaveFilesOfTheirOwnAndEpochsNone()
    {
        string results = world["results.jsonl"];
        TinyWorld.Do(world.Patch("--alpha", "1", "--eval-every-epoch", "--results-db", results));
        JsonElement[] rows = [.. File.ReadLines(results).Select(line => JsonDocument.Parse(line).RootElement)];
        Assert.That(rows.Select(row => row.TryGetProperty("predictions", out _)), Is.EqualTo([false, false, true]));
    }

    [Test]
    public void ADamagedFileIsRefusedInOneLine()
    {
        TinyWorld.Do(world.Patch("--alpha", "0", "1", "--epochs", "6"));
        string path = Directory.GetFiles(Path.Combine(world.Save, "predictions")).Single();
        PredictionFile good = PredictionFile.Read(path);
        Assert.That(() => PredictionFile.Read(world.Weights), Throws.TypeOf<InputException>().With.Message.Contains("no predictions"));
        void Refused(string what, Action<int[], int[], int[]> change, float confidence = 0.5f)
        {
            int[] labels = [.. good.Labels], predictions = [.. good.Predictions.SelectMany(row => row)], indices = [.. good.ThumbnailIndices];
            change(labels, predictions, indices);
            string copy = world[$"{what}.safetensors"];
            Write(copy, good, labels, predictions, indices, confidence);
            Assert.That(() => PredictionFile.Read(copy), what == "nothing" ? Throws.Nothing : Throws.TypeOf<InputException>().With.Message.Contains(copy), what);
        }
        Refused("nothing", (_, _, _) => { });
        Refused("label", (labels, _, _) => labels[3] = 3);
        Refused("negative label", (labels, _, _) => labels[3] = -1);
        Refused("class", (_, predictions, _) => predictions[5] = 3);
        Refused("index", (_, _, indices) => indices[0] = good.Labels.Length);
        Refused("confidence", (_, _, _) => { }, 1.5f);
    }

    private static void Write(string path, PredictionFile like, int[] labels, int[] predictions, int[] indices, float confidence)
    {
        using SafetensorsFile original = SafetensorsFile.Open(like.Path);
        SafetensorsTensor[] tensors = [.. original.Tensors.Values.Cast<SafetensorsEntry>().OrderBy(entry => entry.Offset).Select(entry => new SafetensorsTensor(entry.Name, entry.DType, entry.Shape))];
        using SafetensorsWriter writer = new(path, original.Metadata, tensors);
        writer.WriteBits<int>(labels);
        writer.WriteBits<int>(predictions);
        float[] confidences = new float[predictions.Length];
        Array.Fill(confidences, confidence);
        writer.Write(confidences);
        writer.WriteBits<byte>(like.Thumbnails);
        writer.WriteBits<int>(indices);
        writer.Complete();
    }
}
