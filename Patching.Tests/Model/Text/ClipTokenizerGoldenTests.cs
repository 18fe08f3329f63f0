using System.Runtime.InteropServices;
using System.Text.Json;
using NUnit.Framework;
using Patching.Model.Text;

namespace Patching.Tests.Model.Text;

/// <summary>Every reference string through the reference vocabulary: cleaned text, ids, rows and decoded text, all exact.</summary>
[TestFixture]
internal sealed class ClipTokenizerGoldenTests
{
    private const int ContextLength = 77;

    private sealed record Golden(string Text, string Clean, int[] Ids, bool Truncated, string Decoded);

    [Test]
    public void CleanedTextsAreExact()
    {
        // Outside of the multiple assertion, in which a test cannot be skipped.
        Golden[] goldens = ReadGoldens();
        Assert.Multiple(() =>
        {
            foreach (Golden golden in goldens) Assert.That(TextCleaning.Clean(golden.Text), Is.EqualTo(golden.Clean), golden.Text);
        });
    }

    [Test]
    public void IdsAreExact()
    {
        ClipTokenizer tokenizer = Load();
        Assert.Multiple(() =>
        {
            foreach (Golden golden in ReadGoldens()) Assert.That(tokenizer.Encode(golden.Text), Is.EqualTo(golden.Ids), golden.Text);
        });
    }

    [Test]
    public void DecodedTextsAreExact()
    {
        ClipTokenizer tokenizer = Load();
        Assert.Multiple(() =>
        {
            foreach (Golden golden in ReadGoldens()) Assert.That(tokenizer.Decode(golden.Ids), Is.EqualTo(golden.Decoded), golden.Text);
        });
    }

    [Test]
    public void RowsAreExactExceptThatLongOnesKeepTheirEnd()
    {
        ClipTokenizer tokenizer = Load();
        Golden[] goldens = ReadGoldens();
        byte[] bytes = File.ReadAllBytes(Repository.Shared("golden", "tokenizer", "tokens77.i32"));
        Assert.That(bytes, Has.Length.EqualTo(goldens.Length * ContextLength * sizeof(int)));
        int[] rows = MemoryMarshal.Cast<byte, int>(bytes).ToArray();
        int truncated = 0;
        for (int i = 0; i < goldens.Length; i++)
        {
            int[] expected = rows[(i * ContextLength)..((i + 1) * ContextLength)];
            if (goldens[i].Truncated)
            {
                expected[^1] = 49407;
                truncated++;
            }
            Assert.That(tokenizer.Tokenize(goldens[i].Text), Is.EqualTo(expected), goldens[i].Text);
        }
        Assert.That(truncated, Is.GreaterThan(0));
    }

    [Test]
    public void ReferenceVocabularyIsRead()
    {
        ClipTokenizer tokenizer = Load();
        Assert.That((tokenizer.VocabularySize, tokenizer.StartOfText, tokenizer.EndOfText), Is.EqualTo((49408, 49406, 49407)));
    }

    private static ClipTokenizer Load() => ClipTokenizer.Load(Repository.Shared("golden", "hf_tokenizer"));

    private static Golden[] ReadGoldens()
    {
        Golden[] goldens = [.. File.ReadLines(Repository.Shared("golden", "tokenizer", "tokenizer.jsonl")).Select(Parse)];
        Assert.That(goldens, Has.Length.EqualTo(321));
        return goldens;
    }

    private static Golden Parse(string line)
    {
        using JsonDocument document = JsonDocument.Parse(line);
        JsonElement golden = document.RootElement;
        return new Golden(
            golden.GetProperty("text").GetString()!,
            golden.GetProperty("clean").GetString()!,
            [.. golden.GetProperty("ids").EnumerateArray().Select(id => id.GetInt32())],
            golden.GetProperty("truncated").GetBoolean(),
            golden.GetProperty("decoded").GetString()!);
    }
}
