using NUnit.Framework;
using Patching.Model.Data;

namespace Patching.Tests.Model.Data;

[CancelAfter(30_000)]
internal sealed class SamplingTests
{
    private const int Size = 4;

    // Class 3 has no images; labels are mixed over the order.
    private static LabelledDataset Uneven => new([.. Enumerable.Range(0, 67).Select(i => i % 13 == 0 ? 2 : i % 4 == 0 ? 1 : i % 31 == 5 ? 4 : 0)], classes: 5);

    [Test]
    public void ShotsTakeSoManyOfEveryClassInTheDataSetsOrder()
    {
        LabelledDataset whole = Uneven;
        List<string> notes = [];
        ImageDataset few = FewShots.Take(whole, 4, 7, notes.Add);
        string[] names = [.. Enumerable.Range(0, few.Count).Select(few.Describe)];
        int[] counts = [.. Enumerable.Range(0, 5).Select(label => Enumerable.Range(0, few.Count).Count(i => few.Label(i) == label))];
        Assert.That(counts, Is.EqualTo(new[] { 4, 4, 4, 0, whole.CountOf(4) }));
        Assert.That(whole.CountOf(4), Is.InRange(1, 3), "the test needs a class that is too small");
        Assert.That(names, Is.Unique);
        Assert.That(names.Select(name => int.Parse(name, System.Globalization.CultureInfo.InvariantCulture)), Is.Ordered);
        Assert.That(notes.Single(), Does.Contain("2 classes have fewer than 4"));
        Assert.That((few.Name, few.ClassNames), Is.EqualTo((whole.Name, whole.ClassNames)));
    }

    [Test]
    public void ShotsDependOnTheSeedOnlyAndFewerArePartOfMore()
    {
        string[] Names(int shots, long seed)
        {
            ImageDataset few = FewShots.Take(Uneven, shots, seed);
            return [.. Enumerable.Range(0, few.Count).Select(few.Describe)];
        }
        Assert.That(Names(4, 7), Is.EqualTo(Names(4, 7)));
        Assert.That(Names(4, 7), Is.Not.EqualTo(Names(4, 8)));
        Assert.That(Names(2, 7), Is.SubsetOf(Names(4, 7)));
        Assert.That(Names(1000, 7), Has.Length.EqualTo(67));
    }

    [Test]
    public void WrongLabelsAndRepeatedImagesAreNotHidden()
    {
        // The same picture under two labels, as data sets have it: sampling neither drops nor corrects it.
        LabelledDataset noisy = new([0, 1, 0, 1], classes: 2, picture: _ => 5);
        ImageDataset few = FewShots.Take(noisy, 2, 0);
        Assert.That(Enumerable.Range(0, few.Count).Select(few.Label), Is.EqualTo(new[] { 0, 1, 0, 1 }));
        (List<int> indices, List<int> labels, _) = Pass(noisy, 0, 0);
        Assert.That(labels, Is.EqualTo(indices.Select(noisy.Label)));
    }

    [TestCase(0)]
    [TestCase(3)]
    public void BalancedPassesVisitEveryClassEquallyOften(int epoch)
    {
        LabelledDataset dataset = Uneven;
        (List<int> indices, List<int> labels, _) = Pass(dataset, 5, epoch);
        Assert.That(indices, Has.Count.EqualTo(dataset.Count));
        int[] visits = [.. new[] { 0, 1, 2, 4 }.Select(label => labels.Count(value => value == label))];
        Assert.That(visits, Is.EquivalentTo(new[] { 17, 17, 17, 16 }));
        // Within a class every image comes equally often, but for one round.
        foreach (IGrouping<int, int> ofClass in indices.GroupBy(dataset.Label))
        {
            int[] times = [.. Enumerable.Range(0, dataset.Count).Where(i => dataset.Label(i) == ofClass.Key).Select(i => ofClass.Count(index => index == i))];
            Assert.That(times.Max() - times.Min(), Is.LessThanOrEqualTo(1));
        }
        Assert.That(labels.Take(16).Distinct().Count(), Is.EqualTo(4), "classes are mixed");
    }

    [Test]
    public void BalancedPassesDifferBetweenEpochsAndSeedsAndDoNotRepeatTheirCrops()
    {
        LabelledDataset dataset = Uneven;
        (List<int> first, _, List<string> crops) = Pass(dataset, 5, 0);
        Assert.That(Pass(dataset, 5, 0).Indices, Is.EqualTo(first));
        Assert.That(Pass(dataset, 5, 1).Indices, Is.Not.EqualTo(first));
        Assert.That(Pass(dataset, 6, 0).Indices, Is.Not.EqualTo(first));
        // A large class is not always represented by the same images.
        int[] large = [.. first.Where(i => dataset.Label(i) == 0).Order()], next = [.. Pass(dataset, 5, 1).Indices.Where(i => dataset.Label(i) == 0).Order()];
        Assert.That(next, Is.Not.EqualTo(large));
        Assert.That(first.GroupBy(index => index).Max(images => images.Count()), Is.GreaterThan(3), "the test needs images that come again");
        // Noise averages to almost the same few values wherever it is cut, so that two crops may agree by chance, but not many.
        IGrouping<string, string> often = crops.GroupBy(crop => crop.Split(' ')[0]).MaxBy(ofImage => ofImage.Count())!;
        Assert.That(often.Distinct().Count(), Is.GreaterThan(often.Count() / 2));
    }

    [TestCase(1, 1)]
    [TestCase(4, 3)]
    [TestCase(8, 2)]
    public void BalancedPassesResumeWithinAnEpochForAnyNumberOfWorkers(int firstBatch, int workers)
    {
        LabelledDataset dataset = Uneven;
        List<string> whole = Pass(dataset, 5, 2, workers: 1).Crops;
        Assert.That(Pass(dataset, 5, 2, workers, firstBatch).Crops, Is.EqualTo(whole[(8 * firstBatch)..]));
    }

    private static (List<int> Indices, List<int> Labels, List<string> Crops) Pass(
        ImageDataset dataset, long seed, int epoch, int workers = 2, int firstBatch = 0)
    {
        BatchOptions options = new(8, Size) { Workers = workers, Balanced = true };
        using BatchPipeline pipeline = BatchPipeline.ForTraining(dataset, options, seed, epoch, firstBatch, TestContext.CurrentContext.CancellationToken);
        List<int> indices = [], labels = [];
        List<string> crops = [];
        while (pipeline.Next() is { } batch)
        {
            using (batch)
            {
                indices.AddRange(batch.Indices);
                labels.AddRange(batch.Labels);
                for (int i = 0; i < batch.Count; i++)
                    crops.Add($"{batch.Indices[i]} {Convert.ToHexString(batch.Pixels.AsSpan(i * Size * Size * 3, Size * Size * 3))}");
            }
        }
        return (indices, labels, crops);
    }
}
