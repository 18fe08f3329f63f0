using NUnit.Framework;
using Patching.Model.Text;

namespace Patching.Tests.Model.Text;

/// <summary>One case per repair, and the places where repairs meet. Expected values come from ftfy 5.8 and Python 3.11.</summary>
[TestFixture]
internal sealed class TextCleaningTests
{
    [TestCase("A  Photo\tof\na DOG ", "a photo of a dog", TestName = "white space and case")]
    [TestCase("\u3000wide\u2003space\u00A0", "wide space", TestName = "Unicode white space")]
    [TestCase("\u001B[31;1mred\u001B[0m", "red", TestName = "terminal escapes")]
    [TestCase("\u001B[31", "[31", TestName = "a cut terminal escape is a control character and text")]
    [TestCase("schÃ¶n", "schön", TestName = "UTF-8 read as Latin-1")]
    [TestCase("â€œquotesâ€\u009D", "\"quotes\"", TestName = "UTF-8 read as Windows-1252")]
    [TestCase("doesnÃƒÂ¢Ã¢â€šÂ¬Ã¢â€žÂ¢t", "doesn't", TestName = "mojibake of mojibake")]
    [TestCase("ðŸ˜€", "😀", TestName = "mojibake beyond the BMP")]
    [TestCase("â€œ lost â€\uFFFD", "\" lost \uFFFD", TestName = "mojibake with a lost byte")]
    [TestCase("犬 â€” 犬", "犬 — 犬", TestName = "punctuation repaired alone")]
    [TestCase("The more you know ðŸŒ ", "the more you know 🌠", TestName = "a space that was byte A0")]
    [TestCase("РїСЂРёРІРµС‚", "привет", TestName = "UTF-8 read as Windows-1251")]
    [TestCase("caf√©", "café", TestName = "UTF-8 read as Mac Roman")]
    [TestCase("╨ƒ╤Ç╨╕╨▓╨╡╤é", "привет", TestName = "UTF-8 read as code page 437")]
    [TestCase("never UTF-8\u0085", "never utf-8…", TestName = "Windows-1252 read as Latin-1")]
    [TestCase("Brontë…”", "brontë…\"", TestName = "good text that could be mojibake stays")]
    [TestCase("\u00C5\u00A1koda", "\u00E5\u00A1koda", TestName = "too little evidence")]
    [TestCase("\u00ED\u00A0\u00BD\u00ED\u00B8\u0080", "😀", TestName = "surrogate pairs written in UTF-8")]
    [TestCase("&amp;amp;lt;", "<", TestName = "entities of entities")]
    [TestCase("P&EACUTE;REZ &SZLIG; &FILIG; &IMATH;", "pérez ss fi i", TestName = "entities in capitals")]
    [TestCase("&notit; &copy 5", "¬it; © 5", TestName = "entities without semicolon")]
    [TestCase("<b>&amp;amp;amp;</b>", "<b>&amp;</b>", TestName = "between angle brackets entities are unescaped twice only")]
    [TestCase("<b>\n&amp;amp;amp;", "<b> &amp;", TestName = "and so on the lines after them")]
    [TestCase("&#x41;&#66;&#x80;&#xD800;&#0;&#x110000;&#3;", "ab€\uFFFD\uFFFD\uFFFD", TestName = "numbers")]
    [TestCase("&#99999999999999999999;&#x;&#;&", "\uFFFD&#x;&#;&", TestName = "numbers too large or missing")]
    [TestCase("&#x3b;", ";", TestName = "the number of a semicolon")]
    [TestCase("&acE;", "\u223E\u0333", TestName = "an entity of two characters")]
    [TestCase("ﬁ Ǆ ŉ ﬆ", "fi dž 'n st", TestName = "ligatures")]
    [TestCase("Ｆｕｌｌ ｶﾞ ￡ ￣", "full ガ £ \u0304", TestName = "width")]
    [TestCase("‘a’ “b” „c‟ ʼ", "'a' \"b\" \"c\" '", TestName = "quotes")]
    [TestCase("a\r\nb\rc\u2028d\u2029e", "a b c d e", TestName = "line breaks")]
    [TestCase("\uFEFFa\u0000\u0007\u007F\u206A\uFFF9\U0001D173\U000E0041b", "ab", TestName = "control characters")]
    [TestCase("a\u200Bb\u00ADc\u202Ed", "a\u200Bb\u00ADc\u202Ed", TestName = "controls that shape text stay")]
    [TestCase("e\u0301 q\u0323\u0307 q\u0307\u0323", "é q\u0323\u0307 q\u0323\u0307", TestName = "NFC and the order of marks")]
    [TestCase("\u1112\u1161\u11AB 한", "한 한", TestName = "NFC of Hangul")]
    [TestCase("\u0958 \u2126 \u2ADC", "\u0915\u093C ω \u2ADD\u0338", TestName = "NFC exclusions and singletons")]
    [TestCase("İI", "i\u0307i", TestName = "capital I with a dot")]
    [TestCase("ΣΑΣ Σ ΑΣ. Α'Σ ΑΣ'Α", "σας σ ας. α'ς ασ'α", TestName = "final sigma")]
    [TestCase("ẞ \U00010400 ǅ", "ß \U00010428 dž", TestName = "simple lower case")]
    public void CleansAsTheOriginal(string text, string expected) => Assert.That(TextCleaning.Clean(text), Is.EqualTo(expected));

    [Test]
    public void BasicCleanKeepsCaseAndInnerWhiteSpace() =>
        Assert.That(TextCleaning.BasicClean("  A\n “B”&nbsp;"), Is.EqualTo("A\n \"B\""));

    [Test]
    public void WhitespaceCleanKeepsEverythingElse() =>
        Assert.That(TextCleaning.WhitespaceClean(" A \u2028\v B&amp; "), Is.EqualTo("A B&amp;"));

    [Test]
    public void CleaningACleanTextChangesNothing([Values("a photo of a dog.", "naïve — ≤ 한국어 犬 😀", "don't \"quote\"")] string text) =>
        Assert.That(TextCleaning.Clean(text), Is.EqualTo(text));

    [Test]
    public void LoneSurrogatesAreReplaced()
    {
        // Not a test case: attributes are stored as UTF-8, which cannot hold them.
        Assert.That(TextCleaning.Clean("a\uD800b\uDC00\uD83D\uDE00"), Is.EqualTo("a\uFFFDb\uFFFD😀"));
    }

    [Test]
    public void NoCharacterBreaksCleaning()
    {
        for (int code = 0; code <= char.MaxValue; code++)
        {
            string cleaned = TextCleaning.Clean("a" + (char)code + "b");
            if (!cleaned.EndsWith('b') || cleaned != TextCleaning.ToLower(cleaned)) Assert.Fail($"U+{code:X4}: {cleaned}");
        }
    }
}
