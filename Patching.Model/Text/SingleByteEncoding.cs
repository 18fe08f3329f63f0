namespace Patching.Model.Text;

/// <summary>
/// One of the eight-bit encodings that texts are mistaken for. Bytes 0..7F are ASCII. The "sloppy" ones follow what programs do rather than
/// the standard: unassigned bytes stand for the Latin-1 control of the same number, and byte 1A stands for U+FFFD, so that lost bytes can
/// be recognised (ftfy's codecs).
/// </summary>
internal sealed class SingleByteEncoding
{
    private const string Controls =
        "\u0080\u0081\u0082\u0083\u0084\u0085\u0086\u0087\u0088\u0089\u008a\u008b\u008c\u008d\u008e\u008f"
        + "\u0090\u0091\u0092\u0093\u0094\u0095\u0096\u0097\u0098\u0099\u009a\u009b\u009c\u009d\u009e\u009f";

    /// <summary>Windows-1252 (Western European).</summary>
    public static SingleByteEncoding Windows1252 { get; } = new(0, sloppy: true,
        "€\u0081‚ƒ„…†‡ˆ‰Š‹Œ\u008dŽ\u008f\u0090‘’“”•–—˜™š›œ\u009džŸ"
        + "\u00a0¡¢£¤¥¦§¨©ª«¬\u00ad®¯°±²³´µ¶·¸¹º»¼½¾¿"
        + "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞß"
        + "àáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ");

    /// <summary>ISO 8859-1.</summary>
    public static SingleByteEncoding Latin1 { get; } = new(0, sloppy: false, Controls + Windows1252.upperHalf[32..]);

    /// <summary>
    /// All encodings in the order in which they are tried: Latin-1, Windows-1252, Windows-1250, ISO 8859-2, Windows-1251, Mac Roman, code
    /// page 437.
    /// </summary>
    public static IReadOnlyList<SingleByteEncoding> All { get; } =
    [
        Latin1,
        Windows1252,
        new(2, sloppy: true,
            "€\u0081‚\u0083„…†‡\u0088‰Š‹ŚŤŽŹ\u0090‘’“”•–—\u0098™š›śťžź"
            + "\u00a0ˇ˘Ł¤Ą¦§¨©Ş«¬\u00ad®Ż°±˛ł´µ¶·¸ąş»Ľ˝ľż"
            + "ŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢß"
            + "ŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙"),
        new(2, sloppy: false,
            Controls
            + "\u00a0Ą˘Ł¤ĽŚ§¨ŠŞŤŹ\u00adŽŻ°ą˛ł´ľśˇ¸šşťź˝žż"
            + "ŔÁÂĂÄĹĆÇČÉĘËĚÍÎĎĐŃŇÓÔŐÖ×ŘŮÚŰÜÝŢß"
            + "ŕáâăäĺćçčéęëěíîďđńňóôőö÷řůúűüýţ˙"),
        new(3, sloppy: true,
            "ЂЃ‚ѓ„…†‡€‰Љ‹ЊЌЋЏђ‘’“”•–—\u0098™љ›њќћџ"
            + "\u00a0ЎўЈ¤Ґ¦§Ё©Є«¬\u00ad®Ї°±Ііґµ¶·ё№є»јЅѕї"
            + "АБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯ"
            + "абвгдежзийклмнопрстуфхцчшщъыьэюя"),
        new(2, sloppy: false,
            "ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü"
            + "†°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø"
            + "¿¡¬√ƒ≈∆«»…\u00a0ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ"
            + "‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\uf8ffÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ"),
        new(3, sloppy: false,
            "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒ"
            + "áíóúñÑªº¿⌐¬½¼¡«»░▒▓│┤╡╢╖╕╣║╗╝╜╛┐"
            + "└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀"
            + "αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u00a0"),
    ];

    private readonly string upperHalf;
    private readonly Dictionary<char, byte> bytes = [];

    private SingleByteEncoding(int cost, bool sloppy, string upperHalf)
    {
        Cost = cost;
        IsSloppy = sloppy;
        this.upperHalf = upperHalf;
        for (int i = 0; i < upperHalf.Length; i++) bytes.Add(upperHalf[i], (byte)(0x80 + i));
        if (sloppy) bytes.Add('\uFFFD', 0x1A);
    }

    /// <summary>What a repair through this encoding adds to the cost of its result: rare encodings need more evidence.</summary>
    public int Cost { get; }

    /// <summary>Whether byte 1A stands for a lost character.</summary>
    public bool IsSloppy { get; }

    /// <summary>The character that byte 80..FF stands for.</summary>
    public char Decode(byte value) => upperHalf[value - 0x80];

    /// <summary>The byte of a character, or -1 where the encoding has none.</summary>
    public int Encode(char c)
    {
        if (c < 0x80) return IsSloppy && c == '\u001A' ? -1 : c;
        return bytes.TryGetValue(c, out byte value) ? value : -1;
    }

    /// <summary>The whole text as bytes, or null where one of its characters has none.</summary>
    public byte[]? Encode(string text)
    {
        foreach (char c in text)
            if (Encode(c) < 0) return null;
        byte[] result = new byte[text.Length];
        for (int i = 0; i < result.Length; i++) result[i] = (byte)Encode(text[i]);
        return result;
    }
}
