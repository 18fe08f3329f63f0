using NUnit.Framework;
using Patching.Model;
using Patching.Model.Text;

namespace Patching.Tests.Model.Text;

/// <summary>Files that are missing, damaged, hostile, or do not fit together: one line that names the file and what is wrong.</summary>
[TestFixture]
internal sealed class ClipVocabularyTests
{
    private static IEnumerable<TestCaseData> BadFolders()
    {
        yield return Bad("no vocabulary", v => File.Delete(v.VocabularyPath), "vocab.json: not found");
        yield return Bad("no merges", v => File.Delete(v.MergesPath), "merges.txt: not found");
        yield return Bad("no folder", v => Directory.Delete(v.Folder, true), "vocab.json: not found");
        yield return Bad("vocabulary is a folder",
            ReplaceByFolder, "cannot be read");
        yield return Bad("empty vocabulary", v => v.WriteVocabulary(""), "vocab.json: is not valid JSON");
        yield return Bad("cut vocabulary", v => v.WriteVocabulary(File.ReadAllText(v.VocabularyPath)[..500]), "is not valid JSON");
        yield return Bad("no JSON", v => v.WriteVocabulary("#version: 0.2\na b\n"), "is not valid JSON");
        yield return Bad("JSON list", v => v.WriteVocabulary("[1, 2]"), "is not a JSON object");
        yield return Bad("empty object", v => v.WriteVocabulary("{}"), "the byte symbol");
        yield return Bad("deep JSON", v => v.WriteVocabulary(new string('[', 100_000)), "is not valid JSON");
        yield return Bad("id is text", v => v.WriteVocabulary("{\"a\": \"1\"}"), "\"a\" has no whole number");
        yield return Bad("id is a fraction", v => v.WriteVocabulary("{\"a\": 1.5}"), "\"a\" has no whole number");
        yield return Bad("id is huge", v => v.WriteVocabulary("{\"a\": 99999999999999999999}"), "\"a\" has no whole number");
        yield return Bad("negative id", v => v.WriteVocabulary("{\"a\": -1}"), "id -1 of \"a\" is outside 0..0");
        yield return Bad("id beyond the end",
            v => v.WriteVocabulary("{\"a\": 0, \"b\": 2000000000}"), "id 2000000000 of \"b\" is outside 0..1");
        yield return Bad("two tokens, one id", v => v.WriteVocabulary("{\"a\": 1, \"b\": 1}"), "\"a\" and \"b\" share the id 1");
        yield return Bad("token twice", v => v.WriteVocabulary("{\"a\": 0, \"a\": 1}"), "\"a\" is there twice");
        yield return Bad("empty token", v => v.WriteVocabulary("{\"\": 0}"), "is not written in the byte alphabet");
        yield return Bad("token with a space", v => v.WriteVocabulary("{\"a b\": 0}"), "is not written in the byte alphabet");
        yield return Bad("half a surrogate", v => v.WriteVocabulary("{\"\\ud800\": 0}"), "vocab.json: ");
        yield return Bad("no byte symbol", v => Change(v, tokens => tokens.Remove("a</w>")), "the byte symbol \"a</w>\" is missing");
        yield return Bad("no start token",
            v => Change(v, tokens => tokens.Remove(TinyVocabulary.Start)), "special token <|startoftext|> is missing");
        yield return Bad("no end token",
            v => Change(v, tokens => tokens.Remove(TinyVocabulary.End)), "special token <|endoftext|> is missing");
        yield return Bad("merge of three", v => File.AppendAllText(v.MergesPath, "a b c\n"), "line 11 is not a pair");
        yield return Bad("merge of one", v => File.AppendAllText(v.MergesPath, "abc\n"), "line 11 is not a pair");
        yield return Bad("unknown symbol", v => File.AppendAllText(v.MergesPath, "cat s\n"), "merge 10 uses \"cat\"");
        yield return Bad("merge before its parts", v => File.WriteAllText(v.MergesPath, "do g</w>\nd o\n"), "merge 1 uses \"do\"");
        yield return Bad("product not in the vocabulary", v => File.AppendAllText(v.MergesPath, "c a\n"), "merge 10 makes \"ca\"");
        yield return Bad("merge twice", v => File.AppendAllText(v.MergesPath, "d o\n"), "merge 10 makes \"do\" a second time");
        yield return Bad("merges are not UTF-8",
            v => File.WriteAllBytes(v.MergesPath, [0x61, 0x20, 0xFF, 0xFE]), "merges.txt: is not UTF-8");
        yield return Bad("huge vocabulary", v => Grow(v.VocabularyPath), "is too much for a tokenizer file");
        yield return Bad("huge merges", v => Grow(v.MergesPath), "is too much for a tokenizer file");
    }

    [TestCaseSource(nameof(BadFolders))]
    public void BadFilesAreRefusedInOneLine(Action<TinyVocabulary> damage, string message)
    {
        using TinyVocabulary vocabulary = new TinyVocabulary().Write();
        damage(vocabulary);
        InputException error = Assert.Throws<InputException>(() => ClipTokenizer.Load(vocabulary.Folder))!;
        Assert.That(error.Message, Does.Contain(message).And.Contain(vocabulary.Folder).And.Not.Contain("\n"));
        Assert.That(error.Message, Has.Length.LessThan(500));
    }

    [Test]
    public void MergesMayBeEmptyAndHaveAnyLineEnds()
    {
        using TinyVocabulary vocabulary = new TinyVocabulary().Write();
        File.WriteAllText(vocabulary.MergesPath, "d o\r\ndo g</w>\r\n\r\n");
        Assert.That(ClipTokenizer.Load(vocabulary.Folder).Encode("dog"), Is.EqualTo(new[] { vocabulary.Id("dog</w>") }));
        File.WriteAllText(vocabulary.MergesPath, "");
        Assert.That(ClipTokenizer.Load(vocabulary.Folder).Encode("dog"), Has.Length.EqualTo(3));
    }

    [Test]
    public void OriginalSpellingOfTheSpecialTokensIsFoundToo()
    {
        using var vocabulary = new TinyVocabulary();
        vocabulary.Tokens[vocabulary.Id(TinyVocabulary.Start)] = "<start_of_text>";
        vocabulary.Tokens[vocabulary.Id(TinyVocabulary.End)] = "<end_of_text>";
        var tokenizer = ClipTokenizer.Load(vocabulary.Write().Folder);
        Assert.That(tokenizer.Encode("<end_of_text>"), Is.EqualTo(new[] { vocabulary.Id("<end_of_text>") }));
    }

    private static TestCaseData Bad(string name, Action<TinyVocabulary> damage, string message) =>
        new TestCaseData(damage, message).SetArgDisplayNames(name);

    private static void Change(TinyVocabulary vocabulary, Action<List<string>> change)
    {
        change(vocabulary.Tokens);
        vocabulary.Write();
    }

    private static void ReplaceByFolder(TinyVocabulary vocabulary)
    {
        File.Delete(vocabulary.VocabularyPath);
        Directory.CreateDirectory(vocabulary.VocabularyPath);
    }

    private static void Grow(string path)
    {
        using var stream = new FileStream(path, FileMode.Open);
        stream.SetLength(1L << 40);
    }
}
