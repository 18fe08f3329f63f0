using NUnit.Framework;
using Patching.Model.Text;

namespace Patching.Tests.Model.Text;

internal sealed class VocabularyTrainerTests
{
    private string directory = null!;

    [SetUp]
    public void CreateDirectory() => directory = Directory.CreateTempSubdirectory().FullName;

    [TearDown]
    public void DeleteDirectory() => Directory.Delete(directory, recursive: true);

    [Test]
    public void JoinsTheMostFrequentPairFirst()
    {
        // l o w</w> x5, l o w e r</w> x2, n e w e s t</w> x6, w i d e s t</w> x3: the example of Sennrich et al. 2016, figure 1.
        VocabularyTrainer trainer = Trained([.. Enumerable.Repeat("low", 5), .. Enumerable.Repeat("lower", 2), .. Enumerable.Repeat("newest", 6), .. Enumerable.Repeat("widest", 3)]);
        (string, string)[] first = [.. trainer.Learn(VocabularyTrainer.SmallestVocabulary + 4)];
        // e s and s t</w> occur 9 times each, es t</w> 9 times, l o 7 times, e w and n e and others 6 times: of equals the ordinally first.
        Assert.That(first, Is.EqualTo(new[] { ("e", "s"), ("es", "t</w>"), ("l", "o"), ("e", "w") }));
    }

    [Test]
    public void DoesNotDependOnTheOrderOfTheTexts()
    {
        string[] texts = ["a red square", "a blue circle", "a photo of a red circle", "two red squares, one blue"];
        Assert.That(Trained([.. texts.Reverse()]).Learn(600), Is.EqualTo(Trained(texts).Learn(600)));
    }

    [Test]
    public void WritesFilesThatTheTokenizerReadsBack()
    {
        string[] texts = ["A photo of a red square.", "größere Kreise", "three 3D 日本語 shapes", "it's a square's corner"];
        int size = Trained(texts).Write(directory, 700);
        ClipTokenizer tokenizer = ClipTokenizer.Load(directory);
        Assert.That(tokenizer.VocabularySize, Is.EqualTo(size));
        Assert.That(tokenizer.EndOfText, Is.EqualTo(size - 1));
        foreach (string text in texts)
        {
            int[] ids = tokenizer.Encode(text);
            Assert.That(tokenizer.Decode(ids).Replace(" ", "", StringComparison.Ordinal), Is.EqualTo(text.ToLowerInvariant().Replace(" ", "", StringComparison.Ordinal)));
        }
        Assert.That(tokenizer.Encode("square"), Has.Length.EqualTo(1), "a word seen twice became one token");
        Assert.That(tokenizer.Encode("zebra"), Has.Length.GreaterThan(1), "a word never seen is spelt");
    }

    [Test]
    public void StopsWhenThereIsNothingToJoin()
    {
        int size = Trained(["ab"]).Write(directory, 5000);
        Assert.That(size, Is.EqualTo(VocabularyTrainer.SmallestVocabulary + 1));
        Assert.That(File.ReadAllText(Path.Combine(directory, "merges.txt")), Is.EqualTo("#version: 0.2\na b</w>\n"));
    }

    [Test]
    public void RefusesAVocabularyWithoutRoomForBytes() =>
        Assert.That(() => Trained(["a"]).Learn(513), Throws.InstanceOf<ArgumentOutOfRangeException>().With.Message.Contains("514"));

    private static VocabularyTrainer Trained(string[] texts)
    {
        VocabularyTrainer trainer = new();
        foreach (string text in texts) trainer.Add(text);
        return trainer;
    }
}
