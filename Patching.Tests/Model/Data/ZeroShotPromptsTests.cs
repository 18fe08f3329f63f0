using System.Text.Json;
using NUnit.Framework;
using Patching.Model;
using Patching.Model.Data;

namespace Patching.Tests.Model.Data;

internal sealed class ZeroShotPromptsTests
{
    [Test]
    public void HoldsTheOriginalsNamesAndTemplates()
    {
        Assert.That(ZeroShotPrompts.For("MNIST").Fill("3"), Is.EqualTo(new[] { "a photo of the number: \"3\"." }));
        Assert.That(ZeroShotPrompts.For("MNIST").ClassNames, Is.EqualTo(new[] { "0", "1", "2", "3", "4", "5", "6", "7", "8", "9" }));
        Assert.That(ZeroShotPrompts.For("fashionmnist").ClassNames[0], Is.EqualTo("T-shirt/top"));
        Assert.That(ZeroShotPrompts.For("CIFAR10").Templates, Has.Count.EqualTo(18));
        Assert.That(ZeroShotPrompts.For("ImageNet").ClassNames, Has.Count.EqualTo(1000));
        Assert.That(ZeroShotPrompts.For("ImageNet").Templates, Has.Count.EqualTo(80));
        Assert.That(ZeroShotPrompts.For("GTSRB").Fill("stop")[2], Is.EqualTo("a close up photo of a \"stop\" traffic sign."));
        Assert.That(ZeroShotPrompts.For("KITTI").Fill(ZeroShotPrompts.For("KITTI").ClassNames[3]),
            Is.EqualTo(new[] { "a photo i took with no car." }));
        (string Name, int Count)[] counts = [("DTD", 47), ("Cars", 196), ("CIFAR100", 100), ("Food101", 101), ("SUN397", 397), ("MTSD", 0)];
        Assert.That(counts.Select(one => ZeroShotPrompts.For(one.Name).ClassNames.Count), Is.EqualTo(counts.Select(one => one.Count)));
        // The original takes these from files and folders as they are.
        Assert.That(ZeroShotPrompts.For("CIFAR100").ClassNames[1], Is.EqualTo("aquarium_fish"));
        Assert.That(ZeroShotPrompts.For("SUN397").ClassNames[8], Is.EqualTo("apartment building outdoor"));
        Assert.That(ZeroShotPrompts.For("ImageNetV2"), Is.SameAs(ZeroShotPrompts.For("ImageNet")));
    }

    [Test]
    public void ValidationNamesAndFoldersHaveTemplates()
    {
        Assert.That(ZeroShotPrompts.For("MNISTVal"), Is.SameAs(ZeroShotPrompts.For("MNIST")));
        Assert.That(ZeroShotPrompts.For("folder:/some/where"), Is.SameAs(ZeroShotPrompts.Default));
        Assert.That(ZeroShotPrompts.Default.Fill("red fox"), Is.EqualTo(new[] { "a photo of a red fox.", "a photo of the red fox." }));
        Assert.That(() => ZeroShotPrompts.For("Pets"), Throws.TypeOf<InputException>().With.Message.Contains("'Pets'")
            .And.Message.Contains("MNIST"));
    }

    [Test]
    public void EqualsTheGoldenTables()
    {
        using JsonDocument golden = JsonDocument.Parse(File.ReadAllBytes(Repository.Shared("golden", "heads", "heads.json")));
        JsonElement templates = golden.RootElement.GetProperty("_all_templates");
        JsonElement classNames = golden.RootElement.GetProperty("_all_classnames");
        Assert.That(ZeroShotPrompts.Names, Is.EquivalentTo(templates.EnumerateObject().Select(p => p.Name)));
        foreach (JsonProperty dataset in templates.EnumerateObject())
            Assert.That(ZeroShotPrompts.For(dataset.Name).Templates, Is.EqualTo(Strings(dataset)), dataset.Name);
        foreach (JsonProperty dataset in classNames.EnumerateObject())
            Assert.That(ZeroShotPrompts.For(dataset.Name).ClassNames, Is.EqualTo(Strings(dataset)), dataset.Name);
        string[][] filled = [.. golden.RootElement.GetProperty("CIFAR10").GetProperty("prompts").EnumerateArray()
            .Select(texts => texts.EnumerateArray().Select(text => text.GetString()!).ToArray())];
        ZeroShotPrompts cifar = ZeroShotPrompts.For("CIFAR10");
        Assert.That(cifar.ClassNames.Select(cifar.Fill), Is.EqualTo(filled));

        static string?[] Strings(JsonProperty dataset) => [.. dataset.Value.EnumerateArray().Select(value => value.GetString())];
    }
}
