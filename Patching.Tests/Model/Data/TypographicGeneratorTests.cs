using System.Numerics;
using System.Security.Cryptography;
using NUnit.Framework;
using Patching.Model;
using Patching.Model.Data;
using Patching.Model.Images;

namespace Patching.Tests.Model.Data;

internal sealed class TypographicGeneratorTests
{
    private TemporaryFolder root = null!;

    private string From => "folder:" + Path.Combine(root.Path, "pets");

    private string Out => Path.Combine(root.Path, "attacks");

    private TypographicSettings Settings => new(From, "", Out) { Side = 64 };

    [SetUp]
    public void WritePictures()
    {
        root = new TemporaryFolder();
        foreach (string split in new[] { "train", "test" })
        {
            for (int i = 0; i < 9; i++)
                SyntheticFiles.Ppm(root.File("pets", split, i % 3 == 0 ? "cat" : i % 3 == 1 ? "guinea_pig" : "dog", $"{i}.ppm"), 20 + i, 30, 90, 120, 150);
        }
    }

    [TearDown]
    public void Remove() => root.Dispose();

    [Test]
    public void EveryImageGetsAWrongNameAndAFileThatSaysBoth()
    {
        int drawn = TypographicGenerator.Run(Settings with { Splits = [DatasetSplit.Train, DatasetSplit.Test] }, null, null, CancellationToken.None);
        Assert.That(drawn, Is.EqualTo(18));
        Assert.That(File.ReadAllLines(Path.Combine(Out, "classes.txt")), Is.EqualTo(new[] { "cat", "dog", "guinea pig" }));
        Assert.That(File.ReadAllLines(Path.Combine(Out, "templates.txt")), Is.EqualTo(ZeroShotPrompts.Default.Templates));
        foreach (string split in new[] { "train", "test" })
        {
            string[] stems = [.. Directory.GetFiles(Path.Combine(Out, split)).Select(file => Path.GetFileNameWithoutExtension(file)!)];
            string[][] parts = [.. stems.Select(stem => stem.Split("label=")[1].Split("_text="))];
            string[][] pairs = [.. parts.Select(part => new[] { part[0], part[1].Split('#')[0], part[1].Split('#')[1] })];
            Assert.That(pairs.Select(pair => pair[0]).Order(), Is.EqualTo(new[] { "cat", "dog", "guinea_pig" }.SelectMany(name => Enumerable.Repeat(name, 3))));
            Assert.That(pairs.All(pair => pair[0] != pair[1] && pair[1] is "cat" or "dog" or "guinea_pig"));
            Assert.That(pairs.Select(pair => pair[2]), Is.Unique);
            foreach (string file in Directory.GetFiles(Path.Combine(Out, split)))
            {
                RgbImage picture = ImageDecoder.DecodeFile(file);
                Assert.That((picture.Width, picture.Height), Is.EqualTo((64, 64)));
                int written = Enumerable.Range(0, 64 * 64).Count(i => (picture.Pixels[3 * i], picture.Pixels[3 * i + 1], picture.Pixels[3 * i + 2]) != (90, 120, 150));
                Assert.That(written, Is.InRange(20, 64 * 64 / 2), $"{file}: pixels that belong to the word");
            }
        }
    }

    [Test]
    public void TheSeedDecidesEverything()
    {
        Dictionary<string, string> Draw(string folder, int seed, int workers)
        {
            TypographicGenerator.Run(Settings with { Out = Path.Combine(root.Path, folder), Seed = seed, Workers = workers }, null, null, CancellationToken.None);
            return Directory.GetFiles(Path.Combine(root.Path, folder, "test"))
                .ToDictionary(file => Path.GetFileName(file), file => Convert.ToHexString(SHA256.HashData(File.ReadAllBytes(file))));
        }
        Dictionary<string, string> first = Draw("a", 1, 1);
        Assert.That(Draw("b", 1, 3), Is.EqualTo(first));
        Assert.That(Draw("c", 2, 1).Values.Intersect(first.Values), Is.Empty);
    }

    [Test]
    public void CountChoosesImagesAtRandom()
    {
        List<(string, long, long)> progress = [];
        TypographicGenerator.Run(Settings with { Count = 4 }, null, (what, done, total) => progress.Add((what, done, total)), CancellationToken.None);
        Assert.That(Directory.GetFiles(Path.Combine(Out, "test")), Has.Length.EqualTo(4));
        Assert.That(progress, Is.EqualTo(Enumerable.Range(1, 4).Select(i => ("typographic", (long)i, 4L))));
    }

    [Test]
    public void NamesThatCannotBePartOfAFileNameAreLeftOut()
    {
        Directory.Move(Path.Combine(root.Path, "pets", "test", "dog"), Path.Combine(root.Path, "pets", "test", "chien élégant"));
        Directory.Delete(Path.Combine(root.Path, "pets", "train"), recursive: true);
        List<string> notes = [];
        Assert.That(TypographicGenerator.Run(Settings, notes.Add, null, CancellationToken.None), Is.EqualTo(6));
        Assert.That(notes.Single(), Does.Contain("1 classes are left out").And.Contains("chien élégant"));
        Assert.That(File.ReadAllLines(Path.Combine(Out, "classes.txt")), Is.EqualTo(new[] { "cat", "guinea pig" }));
    }

    [Test]
    public void AFailureLeavesNothingBehind()
    {
        File.WriteAllBytes(root.File("pets", "test", "cat", "x.ppm"), "P6\n8 8\n255\nshort"u8.ToArray());
        Assert.That(() => TypographicGenerator.Run(Settings, null, null, CancellationToken.None),
            Throws.TypeOf<InputException>().With.Message.Contains("x.ppm").And.Message.Contains("truncated"));
        Assert.That(Directory.GetDirectories(root.Path).Select(Path.GetFileName), Is.EqualTo(new[] { "pets" }));
    }

    [Test]
    public void ImpossibleSettingsAreRefused()
    {
        string file = root.File("file");
        File.WriteAllText(file, "");
        (TypographicSettings Settings, string Message)[] bad =
        [
            (Settings with { Count = -1 }, "--count -1"), (Settings with { Count = 10 }, "--count 10"), (Settings with { Side = 31 }, "--side 31"),
            (Settings with { Workers = 0 }, "--workers 0"), (Settings with { Out = "" }, "--out"), (Settings with { Out = file }, "is a file"),
            (Settings with { Out = Path.Combine(root.Path, "pets") }, "is not empty"), (Settings with { From = "folder:/nowhere" }, "/nowhere"),
        ];
        foreach ((TypographicSettings settings, string message) in bad)
        {
            Assert.That(() => TypographicGenerator.Run(settings, null, null, CancellationToken.None),
                Throws.TypeOf<InputException>().With.Message.Contains(message));
        }
        Assert.That(Directory.Exists(Out), Is.False);
    }

    [Test]
    public void EveryCharacterLeavesItsOwnMark()
    {
        const string letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-'.,()!?:/&";
        Assert.That(StrokeFont.CanWrite(letters + " "));
        Assert.That(StrokeFont.CanWrite("é"), Is.False);
        foreach (StrokeFont font in new[] { StrokeFont.Round, StrokeFont.Angular })
        {
            HashSet<string> marks = [];
            foreach (char letter in letters) marks.Add(Convert.ToHexString(Written(letter.ToString(), Style(font)).Pixels));
            // The capital O and the digit 0 are one figure, as are I and l.
            Assert.That(marks, Has.Count.EqualTo(letters.Length - 2));
        }
    }

    [Test]
    public void WordsStayWithinThePictureWhereverTheyArePlaced()
    {
        string[] texts = ["i", "red and white triangle with person digging and road work warning", "gyjpq", "wwwwwwwwwwwwwwwwwwwwwwwwwwwwww"];
        SampleRandom random = SampleRandom.ForSample(1, 0, 0);
        for (int trial = 0; trial < 60; trial++)
        {
            WordStyle style = WordStyle.Draw(ref random) with { Colour = new Vector3(255), Outline = null, Place = new Vector2(trial & 1, (trial >> 1) & 1) };
            RgbImage picture = Written(texts[trial % texts.Length], style);
            Assert.That(picture.Pixels.Max(), Is.GreaterThan(100), "something is written");
            for (int i = 0; i < 96; i++)
            {
                foreach (int at in new[] { i, 95 * 96 + i, 96 * i, 96 * i + 95 }) Assert.That(picture.Pixels[3 * at], Is.Zero, $"{texts[trial % texts.Length]}, {style}");
            }
        }
    }

    [Test]
    public void StylesVaryInEveryRespect()
    {
        SampleRandom random = SampleRandom.ForSample(3, 0, 0);
        WordStyle[] styles = new WordStyle[200];
        for (int i = 0; i < styles.Length; i++) styles[i] = WordStyle.Draw(ref random);
        Assert.That(styles.Select(style => style.Font).Distinct().Count(), Is.EqualTo(2));
        Assert.That(styles.Select(style => style.Capitals).Distinct().Count(), Is.EqualTo(2));
        Assert.That(styles.Count(style => style.Outline is null), Is.InRange(20, 80));
        Assert.That(styles.Count(style => style.Slant > 0), Is.InRange(30, 110));
        Assert.That(styles.Select(style => style.Colour).Distinct().Count(), Is.GreaterThan(190));
        Assert.That((styles.Min(style => style.CapitalHeight), styles.Max(style => style.CapitalHeight)), Is.EqualTo((0.09f, 0.22f)).Using<(float, float)>(
            (a, b) => Math.Abs(a.Item1 - b.Item1) < 0.01 && Math.Abs(a.Item2 - b.Item2) < 0.01));
    }

    private static WordStyle Style(StrokeFont font) => new(font, 0.4f, 1, 0, 0.4f, false, new Vector3(255), null, new Vector2(0.5f));

    private static RgbImage Written(string text, WordStyle style)
    {
        RgbImage picture = new(96, 96, new byte[3 * 96 * 96]);
        WordPainter.Write(picture, text, style);
        return picture;
    }
}
