using NUnit.Framework;
using Patching.Model;
using Patching.Model.Text;

namespace Patching.Tests.Model.Text;

/// <summary>The tokenizer on a vocabulary small enough to work out every id by hand.</summary>
[TestFixture]
internal sealed class ClipTokenizerTests
{
    private TinyVocabulary vocabulary = null!;
    private ClipTokenizer tokenizer = null!;

    [OneTimeSetUp]
    public void Load()
    {
        vocabulary = new TinyVocabulary().Write();
        tokenizer = ClipTokenizer.Load(vocabulary.Folder);
    }

    [OneTimeTearDown]
    public void Delete() => vocabulary.Dispose();

    [Test]
    public void SpecialTokensAndSizeComeFromTheVocabulary()
    {
        Assert.That(tokenizer.VocabularySize, Is.EqualTo(512 + vocabulary.Merges.Count + 2));
        Assert.That(tokenizer.StartOfText, Is.EqualTo(vocabulary.Id(TinyVocabulary.Start)));
        Assert.That(tokenizer.EndOfText, Is.EqualTo(vocabulary.Id(TinyVocabulary.End)));
    }

    [TestCase("dog", "dog</w>")]
    [TestCase("Do DOG", "do</w> dog</w>")]
    [TestCase("dogs", "do g s</w>")]
    [TestCase("photo", "photo</w>")]
    [TestCase("photodog", "pho t o dog</w>", Description = "'o' inside a word does not end it")]
    [TestCase("dog's", "dog</w> 's</w>")]
    [TestCase("12", "1</w> 2</w>", Description = "every digit is a piece")]
    [TestCase("x1y", "x</w> 1</w> y</w>")]
    [TestCase("!?dog.", "! ?</w> dog</w> .</w>")]
    [TestCase("é", "Ã©</w>", Description = "bytes C3 A9")]
    [TestCase("e\u0301", "Ã©</w>", Description = "composed first")]
    [TestCase("Ã©", "Ã©</w>", Description = "mojibake of the same letter")]
    [TestCase("&eacute;", "Ã©</w>")]
    [TestCase("a<end_of_text>b", "a</w> <|endoftext|> b</w>")]
    [TestCase("<START_OF_TEXT>", "<|startoftext|>")]
    [TestCase("!<start_of_text>", "! <</w> s t a r t</w> _</w> o f</w> _</w> t e x t</w> ></w>")]
    [TestCase("<|a|>", "< |</w> a</w> | ></w>", Description = "the vocabulary's own spelling means nothing in a text")]
    [TestCase("'\u017F", "' Å ¿</w>", Description = "the long s counts as an s: one piece")]
    [TestCase("\U00020000\U00020001", "ð ł Ģ Ģ ð ł Ģ ģ</w>", Description = "letters beyond the BMP are one word")]
    [TestCase("", "")]
    [TestCase(" \t\n", "")]
    public void EncodesAsWorkedOutByHand(string text, string tokens)
    {
        int[] expected = [.. tokens.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(vocabulary.Id)];
        Assert.That(expected, Has.None.EqualTo(-1), "the test's own tokens exist");
        Assert.That(tokenizer.Encode(text), Is.EqualTo(expected));
    }

    [Test]
    public void RowIsStartIdsEndZeros()
    {
        int[] row = tokenizer.Tokenize("dog", 6);
        Assert.That(row, Is.EqualTo(new[] { tokenizer.StartOfText, vocabulary.Id("dog</w>"), tokenizer.EndOfText, 0, 0, 0 }));
    }

    [TestCase(3, 3)]
    [TestCase(4, 3)]
    [TestCase(5, 3)]
    [TestCase(2, 3)]
    public void LongTextKeepsItsEndToken(int contextLength, int words)
    {
        int[] row = tokenizer.Tokenize(string.Join(' ', Enumerable.Repeat("dog", words)), contextLength);
        int kept = Math.Min(words, contextLength - 2);
        int dog = vocabulary.Id("dog</w>");
        Assert.That(row, Is.EqualTo((int[])[tokenizer.StartOfText, .. Enumerable.Repeat(dog, kept), tokenizer.EndOfText]));
    }

    [Test]
    public void StrictRefusesOnlyWhatDoesNotFit()
    {
        Assert.That(() => tokenizer.Tokenize("dog dog dog", 5, strict: true), Throws.Nothing);
        Assert.That(() => tokenizer.Tokenize("dog dog dog dog", 5, strict: true),
            Throws.TypeOf<InputException>().With.Message.Contains("4 tokens, 3 fit"));
        Assert.That(() => tokenizer.Tokenize("dog", 1), Throws.TypeOf<ArgumentOutOfRangeException>());
    }

    [TestCase("Dog's photo!", "dog 's photo ! ")]
    [TestCase("é", "é ")]
    [TestCase("a<end_of_text>b", "a <end_of_text>b ")]
    public void DecodesToTheCleanedWords(string text, string expected) =>
        Assert.That(tokenizer.Decode(tokenizer.Encode(text)), Is.EqualTo(expected));

    [Test]
    public void DecodeReplacesBrokenUtf8AndRefusesUnknownIds()
    {
        Assert.That(tokenizer.Decode([vocabulary.Id("Ã")]), Is.EqualTo("\uFFFD"));
        Assert.That(() => tokenizer.Decode([tokenizer.VocabularySize]), Throws.TypeOf<ArgumentOutOfRangeException>());
        Assert.That(() => tokenizer.Decode([-1]), Throws.TypeOf<ArgumentOutOfRangeException>());
    }

    [Test]
    public void OneEndlessWordIsRefused()
    {
        Assert.That(() => tokenizer.Encode(new string('a', 65_537)),
            Throws.TypeOf<InputException>().With.Message.Contains("65537 characters"));
    }

    [Test]
    public void LongTextsAreEncoded()
    {
        string marks = "a" + new string('\u0301', 30_000) + new string('\u0323', 30_000);
        Assert.That(() => tokenizer.Encode(marks + string.Concat(Enumerable.Repeat("&amp;Ã© ", 50_000))), Throws.Nothing);
    }

    [Test]
    public void ThreadsShareOneTokenizer()
    {
        string[] texts = [.. Enumerable.Range(0, 2000).Select(i => $"photo {i} of a dog's dodo{(char)('a' + (i % 26))} é&eacute;{i % 7}")];
        var alone = ClipTokenizer.Load(vocabulary.Folder);
        int[][] expected = [.. texts.Select(alone.Encode)];
        var shared = ClipTokenizer.Load(vocabulary.Folder);
        int[][] actual = new int[texts.Length][];
        Parallel.For(0, texts.Length, new ParallelOptions { MaxDegreeOfParallelism = 8 }, i => actual[i] = shared.Encode(texts[i]));
        Assert.That(actual, Is.EqualTo(expected));
    }
}
