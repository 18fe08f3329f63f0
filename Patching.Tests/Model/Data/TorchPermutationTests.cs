using System.Text.Json;
using NUnit.Framework;
using Patching.Model.Data;

namespace Patching.Tests.Model.Data;

internal sealed class TorchPermutationTests
{
    [Test]
    public void HasTorchsFirstAndLastValues()
    {
        int[] order = TorchPermutation.Create(60000, 0);
        Assert.That(order[..5], Is.EqualTo(new[] { 36044, 10678, 57327, 55074, 21567 }));
        Assert.That(order[55000..55005], Is.EqualTo(new[] { 30102, 43764, 35133, 50409, 21161 }));
        Assert.That(order.Order(), Is.EqualTo(Enumerable.Range(0, 60000)));
    }

    [Test]
    public void EqualsTheGoldenValues()
    {
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllBytes(Repository.Shared("golden", "numeric", "numeric.json")));
        JsonElement expected = golden.RootElement.GetProperty("torch_randperm_60000_seed0");
        int[] order = TorchPermutation.Create(60000, 0);
        Assert.That(order[..10], Is.EqualTo(Values("train_first10")));
        Assert.That(order[55000..55010], Is.EqualTo(Values("val_first10_of_5000")));

        int[] Values(string name) => [.. expected.GetProperty(name).EnumerateArray().Select(value => value.GetInt32())];
    }

    [TestCase(0)]
    [TestCase(1)]
    [TestCase(2)]
    public void SmallCountsArePermutations(int count) =>
        Assert.That(TorchPermutation.Create(count, 7).Order(), Is.EqualTo(Enumerable.Range(0, count)));

    [Test]
    public void EveryEpochAndSeedHasAnOrderOfItsOwn()
    {
        var orders = new HashSet<string>();
        for (long seed = -2; seed < 3; seed++)
        {
            for (int epoch = 0; epoch < 5; epoch++)
            {
                int[] order = TorchPermutation.ForEpoch(100, seed, epoch);
                Assert.That(order.Order(), Is.EqualTo(Enumerable.Range(0, 100)));
                Assert.That(order, Is.EqualTo(TorchPermutation.ForEpoch(100, seed, epoch)));
                orders.Add(string.Join(' ', order));
            }
        }
        Assert.That(orders, Has.Count.EqualTo(25));
    }
}
